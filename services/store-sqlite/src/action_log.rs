//! The action log in SQLite. A trigger forbids changing a row; only the sweeper removes old ones, from the beginning.

use crate::case_rows::ready_log;
use crate::error::storage;
use crate::log_chain;
use crate::open::Database;
use crate::rows::{Reader, filter_limit, page_limit, place};
use async_trait::async_trait;
use immune_domain::{AgentId, RunId, Timestamp};
use immune_store::action_log::{ActionLog, Chain, LogFilter, LogRow, StoredRow, checkpoint};
use immune_store::error::Result;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};
use std::sync::Arc;

/// The [`ActionLog`] of a SQLite file.
pub(crate) struct SqliteActionLog(pub(crate) Arc<Database>);

pub(crate) fn read(row: &SqliteRow) -> Result<StoredRow> {
    let row = Reader::new(row, "action log row", "sequence");
    Ok(StoredRow {
        sequence: row.number("sequence")?,
        row: LogRow {
            run: row.get::<String>("run")?.into(),
            at: row.time("at")?,
            kind: row.get("kind")?,
            agent: row.get::<Option<String>>("agent")?.map(AgentId::from),
            actor: row.get("actor")?,
            outcome: row.get("outcome")?,
            payload: row.json("payload")?,
        },
        hash: log_chain::hash(&row)?,
    })
}

#[async_trait]
impl ActionLog for SqliteActionLog {
    async fn append(&self, rows: &[LogRow]) -> Result<()> {
        const DOING: &str = "appending to the action log";
        if rows.is_empty() {
            return Ok(());
        }
        let rows = ready_log(DOING, rows)?;
        let work = self
            .0
            .writer
            .write(DOING, move |conn| Box::pin(log_chain::append(conn, DOING, rows)));
        work.await
    }

    async fn list(&self, run: &RunId, filter: &LogFilter) -> Result<Vec<StoredRow>> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM action_log WHERE run = ");
        query.push_bind(run.as_str());
        if let Some(actor) = &filter.actor {
            query.push(" AND actor = ").push_bind(actor);
        }
        if !filter.kinds.is_empty() {
            query.push(" AND kind IN (");
            let mut kinds = query.separated(", ");
            for kind in &filter.kinds {
                kinds.push_bind(kind);
            }
            query.push(")");
        }
        if let Some(agent) = &filter.agent {
            query.push(" AND agent = ").push_bind(agent.as_str());
        }
        if let Some(outcome) = &filter.outcome {
            query.push(" AND outcome = ").push_bind(outcome);
        }
        if let Some(from) = filter.from {
            query.push(" AND at >= ").push_bind(from.as_micros());
        }
        if let Some(to) = filter.to {
            query.push(" AND at < ").push_bind(to.as_micros());
        }
        if let Some(like) = filter.like() {
            query.push(" AND (kind LIKE ").push_bind(like.clone());
            query.push(" ESCAPE '\\' OR actor LIKE ").push_bind(like.clone());
            query.push(" ESCAPE '\\' OR agent LIKE ").push_bind(like.clone());
            query.push(" ESCAPE '\\' OR payload LIKE ").push_bind(like);
            query.push(" ESCAPE '\\')");
        }
        if let Some(before) = filter.before {
            query.push(" AND sequence < ").push_bind(place(before));
        }
        query
            .push(" ORDER BY sequence DESC LIMIT ")
            .push_bind(filter_limit(filter.limit));
        let rows = query.build().fetch_all(&self.0.reads).await;
        rows.map_err(storage("reading the action log"))?
            .iter()
            .map(read)
            .collect()
    }

    async fn after(&self, sequence: u64, limit: u32) -> Result<Vec<StoredRow>> {
        let sql = "SELECT * FROM action_log WHERE sequence > ? ORDER BY sequence LIMIT ?";
        let query = sqlx::query(sql).bind(place(sequence)).bind(page_limit(limit));
        let rows = query.fetch_all(&self.0.reads).await;
        rows.map_err(storage("reading the action log"))?
            .iter()
            .map(read)
            .collect()
    }

    async fn chain(&self) -> Result<Chain> {
        let conn = self.0.reads.acquire().await;
        let mut conn = conn.map_err(storage("reading the chain of the action log"))?;
        log_chain::chain(&mut conn).await
    }

    async fn purge(&self, before: Timestamp, now: Timestamp) -> Result<u64> {
        const DOING: &str = "purging the action log";
        let noting = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                // In the order of the rows: it ends at the first that stays.
                let sql = "SELECT r.sequence, r.hash FROM action_log r WHERE r.hash IS NOT NULL AND r.sequence < \
                               coalesce((SELECT s.sequence FROM action_log s WHERE +s.at >= ? \
                                          ORDER BY s.sequence LIMIT 1), 9223372036854775807) \
                           ORDER BY r.sequence DESC LIMIT 1";
                let query = sqlx::query(sql).bind(before.as_micros());
                let last = query.fetch_optional(&mut *conn).await.map_err(storage(DOING))?;
                let start = log_chain::chain(&mut *conn).await?.start;
                let last = last.as_ref().map(log_chain::link).transpose()?;
                match last.filter(|last| last.sequence > start.sequence) {
                    Some(last) => {
                        let note = ready_log(DOING, &[checkpoint(last, before, now)])?;
                        log_chain::append(conn, DOING, note).await?;
                        Ok(last.sequence)
                    }
                    None => Ok(start.sequence),
                }
            })
        });
        // Noted first, so that the log verifies at every moment.
        let gone = noting.await?;
        let sql = "DELETE FROM action_log WHERE sequence IN \
                       (SELECT sequence FROM action_log WHERE sequence <= ? LIMIT ?)";
        self.0.purge_up_to(DOING, sql, place(gone)).await
    }
}
