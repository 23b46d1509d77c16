//! The action log in PostgreSQL. A trigger forbids changing a row; only the sweeper removes old ones.

use crate::database::{Database, Repeat};
use crate::nul;
use crate::rows::{Reader, jsonb_unchecked, page_limit, place};
use crate::types::{At, Jsonb};
use async_trait::async_trait;
use immune_domain::{AgentId, RunId, Timestamp};
use immune_store::action_log::{ActionLog, LogRow, StoredRow};
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

fn read(row: &PgRow) -> Result<StoredRow> {
    let row = Reader::new(row, "action log row", "sequence");
    Ok(StoredRow {
        sequence: row.number("sequence")?,
        row: LogRow {
            run: row.text("run")?.into(),
            at: row.time("at")?,
            kind: row.text("kind")?,
            agent: row.text_if_any("agent")?.map(AgentId::from),
            actor: row.text("actor")?,
            outcome: row.text("outcome")?,
            payload: row.json("payload")?,
        },
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
        self.0.run(DOING, Repeat::IfUndone, query).await.map(|_| ())
    }

    async fn recent(&self, run: &RunId, before: Option<u64>, limit: u32) -> Result<Vec<StoredRow>> {
        let sql = "SELECT * FROM immune.action_log WHERE run = $1 AND sequence < $2 \
                   ORDER BY sequence DESC LIMIT $3";
        let query = || {
            sqlx::query(sql)
                .bind(nul::hide(run.as_str()))
                .bind(before.map_or(i64::MAX, place))
                .bind(page_limit(limit))
        };
        let rows = self.0.read("reading the action log", query).await?;
        rows.iter().map(read).collect()
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        let sql = "WITH old AS MATERIALIZED (\
                       SELECT sequence FROM immune.action_log WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED), \
                   removed AS (DELETE FROM immune.action_log r USING old WHERE r.sequence = old.sequence RETURNING 1) \
                   SELECT count(*) FROM removed";
        self.0.purge("purging the action log", sql, before).await
    }
}
