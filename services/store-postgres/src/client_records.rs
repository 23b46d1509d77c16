//! Records of client-deployed immune systems, in PostgreSQL.

use crate::database::{Database, Repeat};
use crate::nul;
use crate::rows::{Reader, json, page_limit};
use crate::types::{At, Json};
use async_trait::async_trait;
use immune_domain::{AgentId, AgentKey, RunId, Timestamp};
use immune_store::StorageError;
use immune_store::client_records::{ClientRecord, ClientRecordStore, RecordKind, latest_allows};
use immune_store::error::Result;
use sqlx::postgres::PgRow;
use std::sync::Arc;

/// How often a conditional append looks again after someone else was first.
const ROUNDS_MAX: u32 = 32;

/// The [`ClientRecordStore`] of a PostgreSQL database.
pub(crate) struct PgClientRecords(pub(crate) Arc<Database>);

/// Reads a record of a known kind back.
fn read(row: &PgRow, kind: RecordKind) -> Result<ClientRecord> {
    let row = Reader::new(row, "client record", "sequence");
    Ok(ClientRecord {
        key: row.key()?,
        kind,
        at: row.time("at")?,
        body: row.json("body")?,
    })
}

impl PgClientRecords {
    /// Appends a record; with `after`, only when the latest one is still that. Whether it did.
    async fn append_after(&self, record: &ClientRecord, body: &Json, after: Option<i64>) -> Result<bool> {
        const DOING: &str = "appending a client record";
        let query = || {
            sqlx::query("SELECT immune.append_client_record($1, $2, $3, $4, $5, $6) AS appended")
                .bind(nul::hide(record.key.run.as_str()))
                .bind(record.kind.as_str())
                .bind(nul::hide(record.key.agent.as_str()))
                .bind(At(record.at))
                .bind(body.clone())
                .bind(after)
        };
        let answer = self.0.run(DOING, Repeat::IfUndone, query).await?;
        let Some(row) = answer.rows.first() else {
            return Err(StorageError::refused(
                DOING,
                "the database answered without a row",
            ));
        };
        Reader::new(row, "answer", "appended").get("appended")
    }

    /// The latest record with its number.
    async fn numbered_latest(&self, key: &AgentKey, kind: RecordKind) -> Result<Option<(i64, ClientRecord)>> {
        let sql = "SELECT r.* FROM immune.client_latest l JOIN immune.client_records r USING (sequence) \
                   WHERE l.run = $1 AND l.kind = $2 AND l.agent = $3";
        let query = || {
            sqlx::query(sql)
                .bind(nul::hide(key.run.as_str()))
                .bind(kind.as_str())
                .bind(nul::hide(key.agent.as_str()))
        };
        let rows = self.0.read("reading a client record", query).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let sequence = Reader::new(row, "client record", "sequence").get("sequence")?;
        Ok(Some((sequence, read(row, kind)?)))
    }

    async fn number(
        &self,
        doing: &'static str,
        sql: &'static str,
        run: &RunId,
        kind: RecordKind,
    ) -> Result<u64> {
        let query = || sqlx::query(sql).bind(nul::hide(run.as_str())).bind(kind.as_str());
        let rows = self.0.read(doing, query).await?;
        rows.first()
            .map_or(Ok(0), |row| Reader::new(row, "count", "count").number("count"))
    }
}

#[async_trait]
impl ClientRecordStore for PgClientRecords {
    async fn append(&self, record: &ClientRecord) -> Result<()> {
        let body = json("appending a client record", &record.body)?;
        self.append_after(record, &body, None).await.map(|_| ())
    }

    async fn append_if_latest(&self, record: &ClientRecord, field: &str, allowed: &[&str]) -> Result<bool> {
        const DOING: &str = "appending a client record";
        let body = json(DOING, &record.body)?;
        for _round in 0..ROUNDS_MAX {
            let latest = self.numbered_latest(&record.key, record.kind).await?;
            let Some((sequence, latest)) = latest else {
                return Ok(false);
            };
            if !latest_allows(&latest, field, allowed) {
                return Ok(false);
            }
            if self.append_after(record, &body, Some(sequence)).await? {
                return Ok(true);
            }
        }
        Err(StorageError::Unavailable {
            doing: DOING,
            source: format!("others were first {ROUNDS_MAX} times").into(),
        })
    }

    async fn latest(&self, key: &AgentKey, kind: RecordKind) -> Result<Option<ClientRecord>> {
        let latest = self.numbered_latest(key, kind).await?;
        Ok(latest.map(|(_, record)| record))
    }

    async fn latest_per_agent(&self, run: &RunId, kind: RecordKind, limit: u32) -> Result<Vec<ClientRecord>> {
        let sql = "SELECT r.* FROM immune.client_latest l JOIN immune.client_records r USING (sequence) \
                   WHERE l.run = $1 AND l.kind = $2 ORDER BY l.agent LIMIT $3";
        let query = || {
            sqlx::query(sql)
                .bind(nul::hide(run.as_str()))
                .bind(kind.as_str())
                .bind(page_limit(limit))
        };
        let rows = self.0.read("listing client records", query).await?;
        rows.iter().map(|row| read(row, kind)).collect()
    }

    async fn list(
        &self,
        run: &RunId,
        agent: Option<&AgentId>,
        kind: RecordKind,
        limit: u32,
    ) -> Result<Vec<ClientRecord>> {
        let query = || {
            match agent {
            None => sqlx::query(
                "SELECT * FROM immune.client_records WHERE run = $1 AND kind = $2 ORDER BY sequence DESC LIMIT $3",
            )
            .bind(nul::hide(run.as_str()))
            .bind(kind.as_str())
            .bind(page_limit(limit)),
            Some(agent) => sqlx::query(
                "SELECT * FROM immune.client_records WHERE run = $1 AND kind = $2 AND agent = $3 \
                 ORDER BY sequence DESC LIMIT $4",
            )
            .bind(nul::hide(run.as_str()))
            .bind(kind.as_str())
            .bind(nul::hide(agent.as_str()))
            .bind(page_limit(limit)),
        }
        };
        let rows = self.0.read("listing client records", query).await?;
        rows.iter().map(|row| read(row, kind)).collect()
    }

    async fn count(&self, run: &RunId, kind: RecordKind) -> Result<u64> {
        let sql = "SELECT count(*) FROM immune.client_records WHERE run = $1 AND kind = $2";
        self.number("counting client records", sql, run, kind).await
    }

    async fn count_agents(&self, run: &RunId, kind: RecordKind) -> Result<u64> {
        let sql = "SELECT count(*) FROM immune.client_latest WHERE run = $1 AND kind = $2";
        self.number("counting agents with records", sql, run, kind).await
    }

    async fn register_run(&self, run: &RunId, at: Timestamp) -> Result<()> {
        let sql = "INSERT INTO immune.runs (run, known_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let query = || sqlx::query(sql).bind(nul::hide(run.as_str())).bind(At(at));
        self.0
            .run("registering a run", Repeat::Always, query)
            .await
            .map(|_| ())
    }

    async fn runs(&self, limit: u32) -> Result<Vec<(RunId, Timestamp)>> {
        let sql = "SELECT run, known_at FROM immune.runs ORDER BY known_at DESC, run LIMIT $1";
        let query = || sqlx::query(sql).bind(page_limit(limit));
        let rows = self.0.read("listing runs", query).await?;
        let read = |row| {
            let row = Reader::new(row, "run", "run");
            Ok((RunId::new(row.text("run")?), row.time("known_at")?))
        };
        rows.iter().map(read).collect()
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        const DOING: &str = "purging client records";
        let sql = "SELECT immune.purge_client_records($1, $2) AS count";
        let removed = self.0.purge(DOING, sql, before).await?;
        let sql = "WITH old AS MATERIALIZED (\
                       SELECT run FROM immune.runs u WHERE known_at < $1 \
                       AND NOT EXISTS (SELECT FROM immune.client_records r WHERE r.run = u.run) \
                       LIMIT $2 FOR UPDATE SKIP LOCKED), \
                   removed AS (DELETE FROM immune.runs u USING old WHERE u.run = old.run RETURNING 1) \
                   SELECT count(*) FROM removed";
        self.0.purge(DOING, sql, before).await?;
        Ok(removed)
    }
}
