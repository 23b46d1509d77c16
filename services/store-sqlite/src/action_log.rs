//! The action log in SQLite. A trigger forbids changing a row; only the sweeper removes old ones.

use crate::case_rows::{insert_log, ready_log};
use crate::error::storage;
use crate::open::Database;
use crate::rows::{Reader, page_limit, place};
use async_trait::async_trait;
use immune_domain::{AgentId, RunId, Timestamp};
use immune_store::action_log::{ActionLog, LogRow, StoredRow};
use immune_store::error::Result;
use sqlx::sqlite::SqliteRow;
use std::sync::Arc;

/// The [`ActionLog`] of a SQLite file.
pub(crate) struct SqliteActionLog(pub(crate) Arc<Database>);

fn read(row: &SqliteRow) -> Result<StoredRow> {
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
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move { insert_log(conn, rows).await.map_err(storage(DOING)) })
        });
        work.await
    }

    async fn recent(&self, run: &RunId, before: Option<u64>, limit: u32) -> Result<Vec<StoredRow>> {
        let sql = "SELECT * FROM action_log WHERE run = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?";
        let query = sqlx::query(sql)
            .bind(run.as_str())
            .bind(before.map_or(i64::MAX, place));
        let rows = query.bind(page_limit(limit)).fetch_all(&self.0.reads).await;
        rows.map_err(storage("reading the action log"))?
            .iter()
            .map(read)
            .collect()
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        let sql =
            "DELETE FROM action_log WHERE sequence IN (SELECT sequence FROM action_log WHERE at < ? LIMIT ?)";
        self.0.purge("purging the action log", sql, before).await
    }
}
