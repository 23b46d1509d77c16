//! The action log in PostgreSQL. A trigger forbids changing a row; only the sweeper removes old ones, from the beginning.

use crate::database::{Database, PURGE_STEP, Repeat};
use crate::rows::{Reader, jsonb_unchecked, page_limit, place};
use crate::types::{At, Jsonb};
use crate::{listing, log_chain};
use async_trait::async_trait;
use immune_domain::{AgentId, RunId, Timestamp};
use immune_store::action_log::{ActionLog, Chain, LogFilter, LogRow, StoredRow, checkpoint};
use immune_store::error::Result;
use serde::Serialize;
use sqlx::postgres::PgRow;
use std::sync::Arc;

/// The [`ActionLog`] of a PostgreSQL database.
pub(crate) struct PgActionLog(pub(crate) Arc<Database>);

/// A row as `immune.append_action_log` reads it.
#[derive(Serialize)]
struct Entry<'a> {
    run: &'a str,
    at: i64,
    kind: &'a str,
    agent: Option<&'a str>,
    actor: &'a str,
    outcome: &'a str,
    payload: &'a serde_json::Value,
}

/// Rows for `immune.append_action_log`; `None` when there are none.
pub(crate) fn entries(doing: &'static str, rows: &[LogRow]) -> Result<Option<Jsonb>> {
    if rows.is_empty() {
        return Ok(None);
    }
    let entries: Vec<Entry<'_>> = rows
        .iter()
        .map(|row| Entry {
            run: row.run.as_str(),
            at: At::micros(row.at),
            kind: &row.kind,
            agent: row.agent.as_ref().map(AgentId::as_str),
            actor: &row.actor,
            outcome: &row.outcome,
            payload: &row.payload,
        })
        .collect();
    jsonb_unchecked(doing, &entries).map(Some)
}

pub(crate) fn read(row: &PgRow) -> Result<StoredRow> {
    let row = Reader::new(row, "action log row", "sequence");
    Ok(StoredRow {
        sequence: row.number("sequence")?,
        row: read_row(&row)?,
        hash: log_chain::hash(&row, "hash")?,
    })
}

/// What was written, without its place.
pub(crate) fn read_row(row: &Reader<'_>) -> Result<LogRow> {
    Ok(LogRow {
        run: row.text("run")?.into(),
        at: row.time("at")?,
        kind: row.text("kind")?,
        agent: row.text_if_any("agent")?.map(AgentId::from),
        actor: row.text("actor")?,
        outcome: row.text("outcome")?,
        payload: row.json("payload")?,
    })
}

#[async_trait]
impl ActionLog for PgActionLog {
    async fn append(&self, rows: &[LogRow]) -> Result<()> {
        const DOING: &str = "appending to the action log";
        let Some(entries) = entries(DOING, rows)? else {
            return Ok(());
        };
        let query = || sqlx::query("SELECT immune.append_action_log($1)").bind(entries.clone());
        self.0.run(DOING, Repeat::IfUndone, query).await?;
        self.0.chain_soon();
        Ok(())
    }

    async fn list(&self, run: &RunId, filter: &LogFilter) -> Result<Vec<StoredRow>> {
        const DOING: &str = "reading the action log";
        self.0.number_log().await?;
        let listing = listing::log(DOING, run, filter)?;
        let rows = self.0.read(DOING, || listing.query()).await?;
        rows.iter().map(read).collect()
    }

    async fn after(&self, sequence: u64, limit: u32) -> Result<Vec<StoredRow>> {
        let sql = "SELECT * FROM immune.action_log WHERE sequence > $1 ORDER BY sequence LIMIT $2";
        let query = || sqlx::query(sql).bind(place(sequence)).bind(page_limit(limit));
        let rows = self.0.read("reading the action log", query).await?;
        rows.iter().map(read).collect()
    }

    async fn chain(&self) -> Result<Chain> {
        self.0.chain_log().await?;
        self.0.log_chain().await
    }

    async fn purge(&self, before: Timestamp, now: Timestamp) -> Result<u64> {
        const DOING: &str = "purging the action log";
        let mut start = self.chain().await?.start;
        // In the order of the rows: it ends at the first that stays.
        let sql = "SELECT r.sequence, r.hash FROM immune.action_log r \
                    WHERE r.hash IS NOT NULL AND r.sequence < coalesce(\
                          (SELECT s.sequence FROM immune.action_log s WHERE s.at >= $1 AND s.sequence IS NOT NULL \
                            ORDER BY s.sequence LIMIT 1), 9223372036854775807) \
                    ORDER BY r.sequence DESC LIMIT 1";
        let rows = self.0.read(DOING, || sqlx::query(sql).bind(At(before))).await?;
        let last = rows.first().map(log_chain::link).transpose()?;
        if let Some(last) = last.filter(|last| last.sequence > start.sequence) {
            // Noted, and the note chained, first, so that the log verifies at every moment.
            self.append(&[checkpoint(last, before, now)]).await?;
            start = self.chain().await?.start;
        }
        let sql = "WITH old AS MATERIALIZED (\
                       SELECT id FROM immune.action_log WHERE sequence <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED), \
                   removed AS (DELETE FROM immune.action_log r USING old WHERE r.id = old.id RETURNING 1) \
                   SELECT count(*) FROM removed";
        let query = || sqlx::query(sql).bind(place(start.sequence)).bind(PURGE_STEP);
        self.0.purge_by(DOING, query).await
    }
}
