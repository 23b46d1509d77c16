//! Many agents or many records in one question.

use crate::error::storage;
use crate::open::Database;
use crate::rows::{Reader, encode_unchecked, page_limit};
use crate::vitals_rows;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, AgentKey, RunId, Timestamp};
use immune_store::PAGE_MAX;
use immune_store::error::Result;
use immune_store::series::{Bucket, Buckets, Latencies, Words};
use immune_store::vitals::AgentSummary;
use sqlx::sqlite::SqliteRow;
use std::time::Duration;

/// Ids as one parameter, however many there are.
fn names(doing: &'static str, agents: &[AgentId]) -> Result<String> {
    encode_unchecked(doing, &&agents[..agents.len().min(PAGE_MAX as usize)])
}

/// A row with an agent, what is kept of it, and its latest record.
pub(crate) fn summary(row: &SqliteRow, run: &RunId) -> Result<AgentSummary> {
    let reader = Reader::new(row, "agent", "agent");
    let key = AgentKey {
        run: run.clone(),
        agent: AgentId::new(reader.get::<String>("agent")?),
    };
    Ok(AgentSummary {
        executions: reader.number("executions")?,
        latest: vitals_rows::read(row, &key)?,
        first_received_at: reader.time("first_received_at")?,
        key,
    })
}

pub(crate) async fn summaries(db: &Database, run: &RunId, agents: &[AgentId]) -> Result<Vec<AgentSummary>> {
    const DOING: &str = "summing up agents";
    if agents.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT agents.agent, agents.executions, agents.first_received_at, vitals.* \
               FROM agents JOIN vitals ON vitals.id = (\
                   SELECT id FROM vitals WHERE agent_id = agents.id \
                   ORDER BY timestamp DESC, execution DESC LIMIT 1) \
               WHERE agents.run = ? AND agents.agent IN (SELECT value FROM json_each(?)) ORDER BY agents.agent";
    let names = names(DOING, agents)?;
    let rows = sqlx::query(sql)
        .bind(run.as_str())
        .bind(names)
        .fetch_all(&db.reads);
    let rows = rows.await.map_err(storage(DOING))?;
    rows.iter().map(|row| summary(row, run)).collect()
}

pub(crate) async fn recent_latencies(
    db: &Database,
    run: &RunId,
    agents: &[AgentId],
    limit: u32,
) -> Result<Vec<Latencies>> {
    const DOING: &str = "reading recent latencies";
    if agents.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT agents.agent, vitals.timestamp, vitals.latency_ms \
               FROM agents JOIN vitals ON vitals.id IN (\
                   SELECT id FROM vitals WHERE agent_id = agents.id \
                   ORDER BY timestamp DESC, execution DESC LIMIT ?) \
               WHERE agents.run = ? AND agents.agent IN (SELECT value FROM json_each(?)) \
               ORDER BY agents.agent, vitals.timestamp, vitals.execution";
    let names = names(DOING, agents)?;
    let query = sqlx::query(sql)
        .bind(page_limit(limit))
        .bind(run.as_str())
        .bind(names);
    let rows = query.fetch_all(&db.reads).await.map_err(storage(DOING))?;
    let mut found: Vec<Latencies> = Vec::new();
    for row in &rows {
        let row = Reader::new(row, "vitals", "agent");
        let agent: &str = row.get("agent")?;
        // SQLite keeps "not a number" as NULL.
        let latency = row.get::<Option<f64>>("latency_ms")?.unwrap_or(f64::NAN);
        let point = (row.time("timestamp")?, latency);
        match found.last_mut() {
            Some(last) if last.agent.as_str() == agent => last.points.push(point),
            Some(_) | None => found.push(Latencies {
                agent: AgentId::new(agent),
                points: vec![point],
            }),
        }
    }
    Ok(found)
}

pub(crate) async fn between(
    db: &Database,
    key: &AgentKey,
    from: Timestamp,
    to: Timestamp,
    limit: u32,
) -> Result<Vec<Vitals>> {
    let sql = "SELECT * FROM vitals \
               WHERE agent_id = (SELECT id FROM agents WHERE run = ? AND agent = ?) \
                     AND timestamp >= ? AND timestamp < ? \
               ORDER BY timestamp DESC, execution DESC LIMIT ?";
    let query = sqlx::query(sql).bind(key.run.as_str()).bind(key.agent.as_str());
    let query = query.bind(from.as_micros()).bind(to.as_micros());
    let rows = query.bind(page_limit(limit)).fetch_all(&db.reads).await;
    let rows = rows.map_err(storage("reading a stretch of vitals"))?;
    rows.iter().rev().map(|row| vitals_rows::read(row, key)).collect()
}

pub(crate) async fn buckets(
    db: &Database,
    key: &AgentKey,
    from: Timestamp,
    to: Timestamp,
    width: Duration,
) -> Result<Buckets> {
    // Infinite numbers have no mean; tokens beyond 2^63 - 1 are negative here.
    let sql = "SELECT (timestamp - ?) / ? AS step, count(*) AS count, \
                      avg(CASE WHEN abs(latency_ms) < 9e999 THEN latency_ms END) AS latency_ms, \
                      avg(CASE WHEN token_count >= 0 THEN token_count END) AS tokens, \
                      avg(tool_calls) AS tools, sum(retries) AS retries, sum(success = 0) AS failures, \
                      min(json_extract(context, '$.model')) AS model_low, \
                      max(json_extract(context, '$.model')) AS model_high, \
                      min(json_extract(context, '$.prompt_hash')) AS prompt_low, \
                      max(json_extract(context, '$.prompt_hash')) AS prompt_high \
               FROM vitals WHERE agent_id = (SELECT id FROM agents WHERE run = ? AND agent = ?) \
                     AND timestamp >= ? AND timestamp < ? \
               GROUP BY step ORDER BY step LIMIT ?";
    let step = i64::try_from(width.as_micros()).unwrap_or(i64::MAX).max(1);
    let query = sqlx::query(sql).bind(from.as_micros()).bind(step);
    let query = query.bind(key.run.as_str()).bind(key.agent.as_str());
    let query = query.bind(from.as_micros()).bind(to.as_micros());
    let rows = query.bind(i64::from(PAGE_MAX)).fetch_all(&db.reads).await;
    let rows = rows.map_err(storage("summing vitals up"))?;
    let read = |row: &SqliteRow| {
        let row = Reader::new(row, "vitals", "step");
        let at = row.get::<i64>("step")?.saturating_mul(step);
        Ok(Bucket {
            start: Timestamp::from_micros(from.as_micros().saturating_add(at)),
            count: row.number("count")?,
            latency_ms: row.get("latency_ms")?,
            tokens: row.get("tokens")?,
            tools: row.get("tools")?,
            retries: row.number_if_any("retries")?,
            failures: row.number("failures")?,
            models: Words::of(row.get("model_low")?, row.get("model_high")?),
            prompts: Words::of(row.get("prompt_low")?, row.get("prompt_high")?),
        })
    };
    Ok(Buckets {
        buckets: rows.iter().map(read).collect::<Result<_>>()?,
        is_truncated: false,
    })
}
