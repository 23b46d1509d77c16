//! Profiles in SQLite.

use crate::case_rows::ready_log;
use crate::error::storage;
use crate::log_chain;
use crate::open::Database;
use crate::rows::{Reader, count, encode, encode_unchecked, page_limit, signed};
use async_trait::async_trait;
use immune_domain::{AgentKey, RunId};
use immune_store::action_log::LogRow;
use immune_store::baselines::{BaselineStore, Put, StoredProfile, Tenure};
use immune_store::error::Result;
use sqlx::sqlite::SqliteRow;
use std::sync::Arc;

/// The [`BaselineStore`] of a SQLite file.
pub(crate) struct SqliteBaselines(pub(crate) Arc<Database>);

struct Ready {
    key: AgentKey,
    version: i64,
    is_ready: bool,
    profile: String,
    learner: String,
}

fn ready(doing: &'static str, stored: &StoredProfile) -> Result<Ready> {
    Ok(Ready {
        key: stored.profile.key.clone(),
        version: signed(doing, stored.profile.version)?,
        is_ready: stored.profile.state.is_ready(),
        profile: encode(doing, &stored.profile)?,
        learner: encode_unchecked(doing, &stored.learner)?,
    })
}

fn read(row: &SqliteRow) -> Result<StoredProfile> {
    let row = Reader::new(row, "profile", "agent");
    Ok(StoredProfile {
        profile: row.json("profile")?,
        learner: row.json("learner")?,
    })
}

#[async_trait]
impl BaselineStore for SqliteBaselines {
    async fn take_over(&self, partition: u16) -> Result<Tenure> {
        const DOING: &str = "taking a partition over";
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let sql = "INSERT INTO partitions (partition, fence) VALUES (?, 1) \
                           ON CONFLICT (partition) DO UPDATE SET fence = fence + 1 RETURNING *";
                let query = sqlx::query(sql).bind(i64::from(partition));
                let row = query.fetch_one(conn).await.map_err(storage(DOING))?;
                let row = Reader::new(&row, "partition", "partition");
                Ok(Tenure {
                    partition,
                    fence: row.number("fence")?,
                    place: row.get("place")?,
                })
            })
        });
        work.await
    }

    async fn put_with(&self, batch: &[StoredProfile], tenures: &[Tenure], rows: &[LogRow]) -> Result<Put> {
        const DOING: &str = "storing profiles";
        if batch.is_empty() && tenures.is_empty() && rows.is_empty() {
            return Ok(Put::Done);
        }
        let rows = ready_log(DOING, rows)?;
        let tenures = tenures.to_vec();
        let batch: Vec<Ready> = batch
            .iter()
            .map(|stored| ready(DOING, stored))
            .collect::<Result<_>>()?;
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                for tenure in &tenures {
                    let sql = "SELECT 1 FROM partitions WHERE partition = ? AND fence = ?";
                    let query = sqlx::query(sql).bind(i64::from(tenure.partition));
                    let query = query.bind(signed(DOING, tenure.fence)?);
                    let latest = query.fetch_optional(&mut *conn).await.map_err(storage(DOING))?;
                    if latest.is_none() {
                        let partition = tenure.partition;
                        return Ok(Put::Overtaken { partition });
                    }
                }
                for tenure in tenures.iter().filter(|tenure| tenure.place.is_some()) {
                    let query = sqlx::query("UPDATE partitions SET place = ? WHERE partition = ?")
                        .bind(tenure.place.as_deref())
                        .bind(i64::from(tenure.partition));
                    query.execute(&mut *conn).await.map_err(storage(DOING))?;
                }
                let sql = "INSERT INTO profiles (run, agent, version, is_ready, profile, learner) \
                           VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (run, agent) DO UPDATE \
                           SET version = excluded.version, is_ready = excluded.is_ready, \
                               profile = excluded.profile, learner = excluded.learner \
                           WHERE excluded.version > profiles.version";
                for ready in batch {
                    let query = sqlx::query(sql)
                        .bind(ready.key.run.as_str())
                        .bind(ready.key.agent.as_str());
                    let query = query.bind(ready.version).bind(i64::from(ready.is_ready));
                    let query = query.bind(ready.profile).bind(ready.learner);
                    query.execute(&mut *conn).await.map_err(storage(DOING))?;
                }
                log_chain::append(conn, DOING, rows).await?;
                Ok(Put::Done)
            })
        });
        work.await
    }

    async fn get(&self, key: &AgentKey) -> Result<Option<StoredProfile>> {
        let query = sqlx::query("SELECT * FROM profiles WHERE run = ? AND agent = ?");
        let query = query.bind(key.run.as_str()).bind(key.agent.as_str());
        let row = query
            .fetch_optional(&self.0.reads)
            .await
            .map_err(storage("reading a profile"))?;
        row.map(|row| read(&row)).transpose()
    }

    async fn page(&self, after: Option<&AgentKey>, limit: u32) -> Result<Vec<StoredProfile>> {
        let (run, agent) = after.map_or(("", ""), |key| (key.run.as_str(), key.agent.as_str()));
        let sql = "SELECT * FROM profiles WHERE (run, agent) > (?, ?) ORDER BY run, agent LIMIT ?";
        let query = sqlx::query(sql).bind(run).bind(agent).bind(page_limit(limit));
        let rows = query
            .fetch_all(&self.0.reads)
            .await
            .map_err(storage("listing profiles"))?;
        rows.iter().map(read).collect()
    }

    async fn count_ready(&self, run: &RunId) -> Result<u64> {
        let sql = "SELECT count(*) FROM profiles WHERE run = ? AND is_ready = 1";
        let query = sqlx::query_scalar::<_, i64>(sql).bind(run.as_str());
        query
            .fetch_one(&self.0.reads)
            .await
            .map(count)
            .map_err(storage("counting profiles"))
    }
}
