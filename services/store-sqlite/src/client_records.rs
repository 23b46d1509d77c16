//! Records of client-deployed immune systems, in SQLite.

use crate::error::storage;
use crate::open::Database;
use crate::rows::{Reader, count, encode_unchecked, page_limit};
use async_trait::async_trait;
use immune_domain::{AgentId, AgentKey, RunId, Timestamp};
use immune_store::client_records::{ClientRecord, ClientRecordStore, RecordKind, latest_allows};
use immune_store::error::Result;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use std::sync::Arc;

const LATEST: &str = "SELECT client_records.* FROM client_latest JOIN client_records USING (sequence) \
                      WHERE client_latest.run = ? AND client_latest.kind = ? AND client_latest.agent = ?";

/// The [`ClientRecordStore`] of a SQLite file.
pub(crate) struct SqliteClientRecords(pub(crate) Arc<Database>);

/// Reads a record of a known kind back.
fn read(row: &SqliteRow, kind: RecordKind) -> Result<ClientRecord> {
    let row = Reader::new(row, "client record", "sequence");
    Ok(ClientRecord {
        key: row.key()?,
        kind,
        at: row.time("at")?,
        body: row.json("body")?,
    })
}

async fn insert(conn: &mut SqliteConnection, record: &ClientRecord, body: &str) -> sqlx::Result<()> {
    let (run, kind, agent) = (
        record.key.run.as_str(),
        record.kind.as_str(),
        record.key.agent.as_str(),
    );
    let sql = "INSERT INTO client_records (run, kind, agent, at, body) VALUES (?, ?, ?, ?, ?)";
    let query = sqlx::query(sql)
        .bind(run)
        .bind(kind)
        .bind(agent)
        .bind(record.at.as_micros())
        .bind(body);
    let sequence = query.execute(&mut *conn).await?.last_insert_rowid();
    let sql = "INSERT INTO client_latest (run, kind, agent, sequence) VALUES (?, ?, ?, ?) \
               ON CONFLICT (run, kind, agent) DO UPDATE SET sequence = excluded.sequence";
    sqlx::query(sql)
        .bind(run)
        .bind(kind)
        .bind(agent)
        .bind(sequence)
        .execute(&mut *conn)
        .await?;
    know_run(conn, &record.key.run, record.at).await
}

async fn know_run(conn: &mut SqliteConnection, run: &RunId, at: Timestamp) -> sqlx::Result<()> {
    let query = sqlx::query("INSERT INTO runs (run, known_at) VALUES (?, ?) ON CONFLICT DO NOTHING");
    query
        .bind(run.as_str())
        .bind(at.as_micros())
        .execute(conn)
        .await
        .map(|_| ())
}

#[async_trait]
impl ClientRecordStore for SqliteClientRecords {
    async fn append(&self, record: &ClientRecord) -> Result<()> {
        const DOING: &str = "appending a client record";
        let (record, body) = (record.clone(), encode_unchecked(DOING, &record.body)?);
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move { insert(conn, &record, &body).await.map_err(storage(DOING)) })
        });
        work.await
    }

    async fn append_if_latest(&self, record: &ClientRecord, field: &str, allowed: &[&str]) -> Result<bool> {
        const DOING: &str = "appending a client record";
        let (record, body) = (record.clone(), encode_unchecked(DOING, &record.body)?);
        let field = field.to_owned();
        let allowed: Vec<String> = allowed.iter().map(|value| (*value).to_owned()).collect();
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let query = sqlx::query(LATEST).bind(record.key.run.as_str());
                let query = query.bind(record.kind.as_str()).bind(record.key.agent.as_str());
                let row = query.fetch_optional(&mut *conn).await.map_err(storage(DOING))?;
                let Some(row) = row else { return Ok(false) };
                let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
                if !latest_allows(&read(&row, record.kind)?, &field, &allowed) {
                    return Ok(false);
                }
                insert(conn, &record, &body).await.map_err(storage(DOING))?;
                Ok(true)
            })
        });
        work.await
    }

    async fn latest(&self, key: &AgentKey, kind: RecordKind) -> Result<Option<ClientRecord>> {
        let query = sqlx::query(LATEST)
            .bind(key.run.as_str())
            .bind(kind.as_str())
            .bind(key.agent.as_str());
        let row = query
            .fetch_optional(&self.0.reads)
            .await
            .map_err(storage("reading a client record"))?;
        row.map(|row| read(&row, kind)).transpose()
    }

    async fn latest_per_agent(&self, run: &RunId, kind: RecordKind, limit: u32) -> Result<Vec<ClientRecord>> {
        let sql = "SELECT client_records.* FROM client_latest JOIN client_records USING (sequence) \
                   WHERE client_latest.run = ? AND client_latest.kind = ? ORDER BY client_latest.agent LIMIT ?";
        let query = sqlx::query(sql)
            .bind(run.as_str())
            .bind(kind.as_str())
            .bind(page_limit(limit));
        let rows = query
            .fetch_all(&self.0.reads)
            .await
            .map_err(storage("listing client records"))?;
        rows.iter().map(|row| read(row, kind)).collect()
    }

    async fn list(
        &self,
        run: &RunId,
        agent: Option<&AgentId>,
        kind: RecordKind,
        limit: u32,
    ) -> Result<Vec<ClientRecord>> {
        let query = match agent {
            None => sqlx::query(
                "SELECT * FROM client_records WHERE run = ? AND kind = ? ORDER BY sequence DESC LIMIT ?",
            )
            .bind(run.as_str())
            .bind(kind.as_str()),
            Some(agent) => sqlx::query(
                "SELECT * FROM client_records WHERE run = ? AND kind = ? AND agent = ? \
                 ORDER BY sequence DESC LIMIT ?",
            )
            .bind(run.as_str())
            .bind(kind.as_str())
            .bind(agent.as_str()),
        };
        let rows = query.bind(page_limit(limit)).fetch_all(&self.0.reads).await;
        rows.map_err(storage("listing client records"))?
            .iter()
            .map(|row| read(row, kind))
            .collect()
    }

    async fn count(&self, run: &RunId, kind: RecordKind) -> Result<u64> {
        let sql = "SELECT count(*) FROM client_records WHERE run = ? AND kind = ?";
        let query = sqlx::query_scalar::<_, i64>(sql)
            .bind(run.as_str())
            .bind(kind.as_str());
        query
            .fetch_one(&self.0.reads)
            .await
            .map(count)
            .map_err(storage("counting client records"))
    }

    async fn count_agents(&self, run: &RunId, kind: RecordKind) -> Result<u64> {
        let sql = "SELECT count(*) FROM client_latest WHERE run = ? AND kind = ?";
        let query = sqlx::query_scalar::<_, i64>(sql)
            .bind(run.as_str())
            .bind(kind.as_str());
        query
            .fetch_one(&self.0.reads)
            .await
            .map(count)
            .map_err(storage("counting agents with records"))
    }

    async fn register_run(&self, run: &RunId, at: Timestamp) -> Result<()> {
        const DOING: &str = "registering a run";
        let run = run.clone();
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move { know_run(conn, &run, at).await.map_err(storage(DOING)) })
        });
        work.await
    }

    async fn runs(&self, limit: u32) -> Result<Vec<(RunId, Timestamp)>> {
        let query = sqlx::query("SELECT run, known_at FROM runs ORDER BY known_at DESC, run LIMIT ?");
        let rows = query.bind(page_limit(limit)).fetch_all(&self.0.reads).await;
        let rows = rows.map_err(storage("listing runs"))?;
        let read = |row| {
            let row = Reader::new(row, "run", "run");
            Ok((RunId::new(row.get::<String>("run")?), row.time("known_at")?))
        };
        rows.iter().map(read).collect()
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        const DOING: &str = "purging client records";
        let sql = "DELETE FROM client_records WHERE sequence IN (\
                       SELECT sequence FROM client_records WHERE at < ? LIMIT ?)";
        let removed = self.0.purge(DOING, sql, before).await?;
        let sql = "DELETE FROM runs WHERE run IN (\
                       SELECT run FROM runs WHERE known_at < ? \
                       AND NOT EXISTS (SELECT 1 FROM client_records WHERE client_records.run = runs.run) LIMIT ?)";
        self.0.purge(DOING, sql, before).await?;
        Ok(removed)
    }
}
