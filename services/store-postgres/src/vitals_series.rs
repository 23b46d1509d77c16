//! Many agents or many records in one question.

use crate::database::Database;
use crate::nul;
use crate::rows::{Reader, page_limit};
use crate::vitals_rows;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, AgentKey, RunId, Timestamp};
use immune_store::PAGE_MAX;
use immune_store::error::Result;
use immune_store::series::{Bucket, Buckets, Latencies, Words};
use immune_store::vitals::AgentSummary;
use sqlx::postgres::PgRow;
use std::time::Duration;

/// Ids as they are stored.
fn names(agents: &[AgentId]) -> Vec<String> {
    let agents = agents.iter().take(PAGE_MAX as usize);
    agents
        .map(|agent| nul::hide(agent.as_str()).into_owned())
        .collect()
}

/// A row with an agent, what is kept of it, and its latest record.
pub(crate) fn summary(row: &PgRow, run: &RunId) -> Result<AgentSummary> {
    let latest = vitals_rows::read(row, run)?;
    let row = Reader::new(row, "agent", "agent");
    Ok(AgentSummary {
        key: latest.key.clone(),
        executions: row.number("executions")?,
        latest,
        first_received_at: Timestamp::from_micros(row.get("first_received_at")?),
    })
}

pub(crate) async fn summaries(db: &Database, run: &RunId, agents: &[AgentId]) -> Result<Vec<AgentSummary>> {
    if agents.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT a.agent, a.executions, a.first_received_at, v.* FROM immune.vitals_agents a \
               CROSS JOIN LATERAL (\
                   SELECT * FROM immune.vitals v WHERE v.agent_id = a.id \
                   ORDER BY v.timestamp DESC, v.execution DESC LIMIT 1) v \
               WHERE a.run = $1 AND a.agent = ANY ($2) ORDER BY a.agent";
    let names = names(agents);
    let query = || {
        sqlx::query(sql)
            .bind(nul::hide(run.as_str()))
            .bind(names.as_slice())
    };
    let rows = db.read("summing up agents", query).await?;
    rows.iter().map(|row| summary(row, run)).collect()
}

pub(crate) async fn recent_latencies(
    db: &Database,
    run: &RunId,
    agents: &[AgentId],
    limit: u32,
) -> Result<Vec<Latencies>> {
    if agents.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT a.agent, v.timestamp, v.latency_ms FROM immune.vitals_agents a \
               CROSS JOIN LATERAL (\
                   SELECT timestamp, execution, latency_ms FROM immune.vitals v WHERE v.agent_id = a.id \
                   ORDER BY v.timestamp DESC, v.execution DESC LIMIT $3) v \
               WHERE a.run = $1 AND a.agent = ANY ($2) ORDER BY a.agent, v.timestamp, v.execution";
    let names = names(agents);
    let query = || {
        sqlx::query(sql)
            .bind(nul::hide(run.as_str()))
            .bind(names.as_slice())
            .bind(page_limit(limit))
    };
    let rows = db.read("reading recent latencies", query).await?;
    let mut found: Vec<Latencies> = Vec::new();
    for row in &rows {
        let row = Reader::new(row, "vitals", "agent");
        let agent = AgentId::new(row.text("agent")?);
        let point = (
            Timestamp::from_micros(row.get("timestamp")?),
            row.get("latency_ms")?,
        );
        match found.last_mut() {
            Some(last) if last.agent == agent => last.points.push(point),
            Some(_) | None => found.push(Latencies {
                agent,
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
    let sql = "SELECT a.agent, v.* FROM immune.vitals_agents a JOIN immune.vitals v ON v.agent_id = a.id \
               WHERE a.run = $1 AND a.agent = $2 AND v.timestamp >= $3 AND v.timestamp < $4 \
               ORDER BY v.timestamp DESC, v.execution DESC LIMIT $5";
    let query = || {
        sqlx::query(sql)
            .bind(nul::hide(key.run.as_str()))
            .bind(nul::hide(key.agent.as_str()))
            .bind(from.as_micros())
            .bind(to.as_micros())
            .bind(page_limit(limit))
    };
    let rows = db.read("reading a stretch of vitals", query).await?;
    let newest_last = rows.iter().rev();
    newest_last.map(|row| vitals_rows::read(row, &key.run)).collect()
}

pub(crate) async fn buckets(
    db: &Database,
    key: &AgentKey,
    from: Timestamp,
    to: Timestamp,
    width: Duration,
) -> Result<Buckets> {
    // What is infinite or no number has no mean (a NaN is above everything here); tokens beyond 2^63 - 1 are
    // negative.
    let sql = "SELECT (v.timestamp - $3) / $5 AS step, count(*) AS count, \
                      avg(v.latency_ms) FILTER (WHERE v.latency_ms > '-Infinity' AND v.latency_ms < 'Infinity') \
                          AS latency_ms, \
                      (avg(v.token_count) FILTER (WHERE v.token_count >= 0))::double precision AS tokens, \
                      avg(v.tool_calls)::double precision AS tools, sum(v.retries)::bigint AS retries, \
                      count(*) FILTER (WHERE NOT v.success) AS failures, \
                      min((v.context ->> 'model') COLLATE \"C\") AS model_low, \
                      max((v.context ->> 'model') COLLATE \"C\") AS model_high, \
                      min((v.context ->> 'prompt_hash') COLLATE \"C\") AS prompt_low, \
                      max((v.context ->> 'prompt_hash') COLLATE \"C\") AS prompt_high \
               FROM immune.vitals_agents a JOIN immune.vitals v ON v.agent_id = a.id \
               WHERE a.run = $1 AND a.agent = $2 AND v.timestamp >= $3 AND v.timestamp < $4 \
               GROUP BY step ORDER BY step LIMIT $6";
    let step = i64::try_from(width.as_micros()).unwrap_or(i64::MAX).max(1);
    let query = || {
        sqlx::query(sql)
            .bind(nul::hide(key.run.as_str()))
            .bind(nul::hide(key.agent.as_str()))
            .bind(from.as_micros())
            .bind(to.as_micros())
            .bind(step)
            .bind(i64::from(PAGE_MAX))
    };
    let rows = db.read("summing vitals up", query).await?;
    let read = |row: &PgRow| {
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
            models: Words::of(row.text_if_any("model_low")?, row.text_if_any("model_high")?),
            prompts: Words::of(row.text_if_any("prompt_low")?, row.text_if_any("prompt_high")?),
        })
    };
    Ok(Buckets {
        buckets: rows.iter().map(read).collect::<Result<_>>()?,
        is_truncated: false,
    })
}
