//! Vitals in SQLite. Triggers keep the agents' counts, so that no question here scans records.

use crate::error::storage;
use crate::open::Database;
use crate::purge::STEP;
use crate::rows::{count, page_limit};
use crate::vitals_rows::{self, COLUMNS, Ready};
use crate::vitals_series;
use async_trait::async_trait;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, AgentKey, ExecutionId, RunId, Timestamp};
use immune_store::error::Result;
use immune_store::series::{Buckets, Latencies};
use immune_store::vitals::{AgentSummary, VitalsStore};
use sqlx::{QueryBuilder, SqliteConnection};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Rows per statement at most: far below SQLite's limit of 32,766 values.
const ROWS_PER_STATEMENT: usize = 128;

/// Cuts rows into chunks whose lengths are powers of two, so that few different statements are ever prepared.
fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = rows
            .len()
            .min(ROWS_PER_STATEMENT)
            .checked_ilog2()
            .map(|power| 1 << power)?;
        let (chunk, rest) = rows.split_at(length);
        rows = rest;
        Some(chunk)
    })
}

/// The [`VitalsStore`] of a SQLite file.
pub(crate) struct SqliteVitals(pub(crate) Arc<Database>);

async fn insert_agents(conn: &mut SqliteConnection, keys: &[AgentKey]) -> sqlx::Result<()> {
    let runs: BTreeSet<&RunId> = keys.iter().map(|key| &key.run).collect();
    for run in runs {
        let sql = "INSERT INTO run_totals (run) VALUES (?) ON CONFLICT DO NOTHING";
        sqlx::query(sql).bind(run.as_str()).execute(&mut *conn).await?;
    }
    for chunk in chunks(keys) {
        let sql = "INSERT INTO agents (run, agent, executions, first_received_at, last_received_at) ";
        let mut query = QueryBuilder::new(sql);
        query.push_values(chunk, |mut values, key| {
            // The trigger replaces these by the first record's time.
            let (latest, earliest) = (i64::MAX, i64::MIN);
            values.push_bind(key.run.as_str()).push_bind(key.agent.as_str());
            values.push_bind(0_i64).push_bind(latest).push_bind(earliest);
        });
        query.push(" ON CONFLICT DO NOTHING");
        query.build().execute(&mut *conn).await?;
    }
    Ok(())
}

async fn insert_vitals(conn: &mut SqliteConnection, records: &[Ready]) -> sqlx::Result<()> {
    for chunk in chunks(records) {
        let mut query = QueryBuilder::new(format!("INSERT INTO vitals (agent_id, {COLUMNS}) VALUES "));
        for (n, record) in chunk.iter().enumerate() {
            query.push(if n == 0 { "(" } else { ", (" });
            query.push("(SELECT id FROM agents WHERE run = ");
            query
                .push_bind(record.vitals.key.run.as_str())
                .push(" AND agent = ");
            query.push_bind(record.vitals.key.agent.as_str()).push("), ");
            vitals_rows::push(&mut query.separated(", "), record);
            query.push(")");
        }
        query.push(" ON CONFLICT (agent_id, execution) DO UPDATE SET ");
        for (n, column) in COLUMNS.split(", ").skip(1).enumerate() {
            query
                .push(if n == 0 { "" } else { ", " })
                .push(format!("{column} = excluded.{column}"));
        }
        query.push(" WHERE excluded.revision > vitals.revision");
        query.build().execute(&mut *conn).await?;
    }
    Ok(())
}

#[async_trait]
impl VitalsStore for SqliteVitals {
    async fn append(&self, batch: &[Vitals]) -> Result<()> {
        const DOING: &str = "appending vitals";
        if batch.is_empty() {
            return Ok(());
        }
        let records = vitals_rows::ready(DOING, batch)?;
        let keys: BTreeSet<&AgentKey> = batch.iter().map(|vitals| &vitals.key).collect();
        let keys: Vec<AgentKey> = keys.into_iter().cloned().collect();
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                insert_agents(conn, &keys).await.map_err(storage(DOING))?;
                insert_vitals(conn, &records).await.map_err(storage(DOING))
            })
        });
        work.await
    }

    async fn retract(&self, executions: &[(AgentKey, ExecutionId)]) -> Result<()> {
        const DOING: &str = "retracting vitals";
        if executions.is_empty() {
            return Ok(());
        }
        let executions = executions.to_vec();
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let sql = "DELETE FROM vitals WHERE execution = ? \
                           AND agent_id = (SELECT id FROM agents WHERE run = ? AND agent = ?)";
                for (key, execution) in executions {
                    let query = sqlx::query(sql).bind(execution.as_str());
                    let query = query.bind(key.run.as_str()).bind(key.agent.as_str());
                    query.execute(&mut *conn).await.map_err(storage(DOING))?;
                }
                Ok(())
            })
        });
        work.await
    }

    async fn recent(&self, key: &AgentKey, since: Timestamp, limit: u32) -> Result<Vec<Vitals>> {
        let sql = "SELECT * FROM vitals \
                   WHERE agent_id = (SELECT id FROM agents WHERE run = ? AND agent = ?) AND timestamp >= ? \
                   ORDER BY timestamp DESC, execution DESC LIMIT ?";
        let query = sqlx::query(sql).bind(key.run.as_str()).bind(key.agent.as_str());
        let query = query.bind(since.as_micros()).bind(page_limit(limit));
        let rows = query
            .fetch_all(&self.0.reads)
            .await
            .map_err(storage("reading recent vitals"))?;
        rows.iter().rev().map(|row| vitals_rows::read(row, key)).collect()
    }

    async fn latest(&self, key: &AgentKey) -> Result<Option<Vitals>> {
        let sql = "SELECT * FROM vitals \
                   WHERE agent_id = (SELECT id FROM agents WHERE run = ? AND agent = ?) \
                   ORDER BY timestamp DESC, execution DESC LIMIT 1";
        let query = sqlx::query(sql).bind(key.run.as_str()).bind(key.agent.as_str());
        let row = query
            .fetch_optional(&self.0.reads)
            .await
            .map_err(storage("reading the latest vitals"))?;
        row.map(|row| vitals_rows::read(&row, key)).transpose()
    }

    async fn execution_count(&self, key: &AgentKey) -> Result<u64> {
        let sql = "SELECT executions FROM agents WHERE run = ? AND agent = ?";
        let query = sqlx::query_scalar::<_, i64>(sql)
            .bind(key.run.as_str())
            .bind(key.agent.as_str());
        let found = query
            .fetch_optional(&self.0.reads)
            .await
            .map_err(storage("counting executions"))?;
        Ok(found.map_or(0, count))
    }

    async fn total_executions(&self, run: &RunId) -> Result<u64> {
        let query = sqlx::query_scalar::<_, i64>("SELECT executions FROM run_totals WHERE run = ?");
        let found = query.bind(run.as_str()).fetch_optional(&self.0.reads).await;
        Ok(found.map_err(storage("counting executions"))?.map_or(0, count))
    }

    async fn agents(&self, run: &RunId, after: Option<&str>, limit: u32) -> Result<Vec<AgentSummary>> {
        let sql = "SELECT agents.agent, agents.executions, agents.first_received_at, vitals.* \
                   FROM agents JOIN vitals ON vitals.id = (\
                       SELECT id FROM vitals WHERE agent_id = agents.id \
                       ORDER BY timestamp DESC, execution DESC LIMIT 1) \
                   WHERE agents.run = ? AND agents.agent > ? ORDER BY agents.agent LIMIT ?";
        let query = sqlx::query(sql)
            .bind(run.as_str())
            .bind(after.unwrap_or(""))
            .bind(page_limit(limit));
        let rows = query
            .fetch_all(&self.0.reads)
            .await
            .map_err(storage("listing agents"))?;
        rows.iter().map(|row| vitals_series::summary(row, run)).collect()
    }

    async fn summaries(&self, run: &RunId, agents: &[AgentId]) -> Result<Vec<AgentSummary>> {
        vitals_series::summaries(&self.0, run, agents).await
    }

    async fn recent_latencies(&self, run: &RunId, agents: &[AgentId], limit: u32) -> Result<Vec<Latencies>> {
        vitals_series::recent_latencies(&self.0, run, agents, limit).await
    }

    async fn between(
        &self,
        key: &AgentKey,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<Vitals>> {
        vitals_series::between(&self.0, key, from, to, limit).await
    }

    async fn buckets(
        &self,
        key: &AgentKey,
        from: Timestamp,
        to: Timestamp,
        width: Duration,
    ) -> Result<Buckets> {
        vitals_series::buckets(&self.0, key, from, to, width).await
    }

    async fn agents_seen(&self, run: &RunId, since: Timestamp) -> Result<u64> {
        let sql = "SELECT count(*) FROM agents WHERE run = ? AND last_received_at >= ?";
        let query = sqlx::query_scalar::<_, i64>(sql)
            .bind(run.as_str())
            .bind(since.as_micros());
        query
            .fetch_one(&self.0.reads)
            .await
            .map(count)
            .map_err(storage("counting agents"))
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        const DOING: &str = "purging vitals";
        // Agent by agent: each has its records in the order of reception, and the whole table has not.
        let (mut removed, mut agent) = (0, i64::MIN);
        loop {
            let sql = "SELECT min(id) FROM agents WHERE id > ? AND first_received_at < ?";
            let query = sqlx::query_scalar::<_, Option<i64>>(sql)
                .bind(agent)
                .bind(before.as_micros());
            let next = query.fetch_one(&self.0.reads).await.map_err(storage(DOING))?;
            let Some(next) = next else { return Ok(removed) };
            agent = next;
            loop {
                let step = self.0.writer.write(DOING, move |conn| {
                    Box::pin(async move {
                        let sql = "DELETE FROM vitals WHERE id IN (\
                                       SELECT id FROM vitals WHERE agent_id = ? AND received_at < ? LIMIT ?)";
                        let query = sqlx::query(sql).bind(agent).bind(before.as_micros()).bind(STEP);
                        query
                            .execute(conn)
                            .await
                            .map(|done| done.rows_affected())
                            .map_err(storage(DOING))
                    })
                });
                let gone = step.await?;
                removed += gone;
                if gone < STEP as u64 {
                    break;
                }
            }
        }
    }

    async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1 FROM agents LIMIT 1")
            .fetch_optional(&self.0.reads)
            .await
            .map(|_| ())
            .map_err(storage("answering a ping"))
    }
}
