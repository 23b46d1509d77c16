//! Attempts in SQLite, and the questions to immune memory.

use crate::error::storage;
use crate::memories;
use crate::open::Database;
use crate::rows::{Reader, encode, filter_limit, page_limit};
use async_trait::async_trait;
use immune_domain::diagnosis::Diagnosis;
use immune_domain::healing::{Action, Healing};
use immune_domain::memory::{Memory, Pin};
use immune_domain::{AgentKey, HealingId, RunId, Timestamp};
use immune_store::error::Result;
use immune_store::healings::{HealingFilter, HealingStore, HealingTotals, ended_at};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};
use std::sync::Arc;

/// The [`HealingStore`] of a SQLite file.
pub(crate) struct SqliteHealings(pub(crate) Arc<Database>);

fn read(row: &SqliteRow) -> Result<Healing> {
    Reader::new(row, "healing", "id").json("body")
}

#[async_trait]
impl HealingStore for SqliteHealings {
    async fn begin(&self, healing: &Healing) -> Result<()> {
        const DOING: &str = "beginning a healing";
        let (healing, body) = (healing.clone(), encode(DOING, healing)?);
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let sql = "INSERT INTO healings (id, run, agent, case_id, started_at, is_ended, body) \
                           VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
                let query = sqlx::query(sql)
                    .bind(healing.id.as_str())
                    .bind(healing.key.run.as_str());
                let query = query.bind(healing.key.agent.as_str()).bind(healing.case.as_str());
                let query = query.bind(healing.started_at.as_micros());
                let query = query
                    .bind(i64::from(ended_at(&healing.outcome).is_some()))
                    .bind(body);
                let done = query.execute(&mut *conn).await.map_err(storage(DOING))?;
                if done.rows_affected() > 0 {
                    memories::learn(conn, &healing).await.map_err(storage(DOING))?;
                }
                Ok(())
            })
        });
        work.await
    }

    async fn finish(&self, healing: &Healing) -> Result<bool> {
        const DOING: &str = "finishing a healing";
        let healing = healing.clone();
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let query = sqlx::query("SELECT * FROM healings WHERE id = ?").bind(healing.id.as_str());
                let row = query.fetch_optional(&mut *conn).await.map_err(storage(DOING))?;
                let Some(stored) = row.map(|row| read(&row)).transpose()? else {
                    return Ok(false);
                };
                if ended_at(&stored.outcome).is_some() || stored.outcome == healing.outcome {
                    return Ok(false);
                }
                let changed = Healing {
                    outcome: healing.outcome,
                    ..stored
                };
                let query = sqlx::query("UPDATE healings SET is_ended = ?, body = ? WHERE id = ?");
                let query = query.bind(i64::from(ended_at(&changed.outcome).is_some()));
                let query = query.bind(encode(DOING, &changed)?).bind(changed.id.as_str());
                query.execute(&mut *conn).await.map_err(storage(DOING))?;
                memories::learn(conn, &changed).await.map_err(storage(DOING))?;
                Ok(true)
            })
        });
        work.await
    }

    async fn get(&self, id: &HealingId) -> Result<Option<Healing>> {
        let query = sqlx::query("SELECT * FROM healings WHERE id = ?").bind(id.as_str());
        let row = query
            .fetch_optional(&self.0.reads)
            .await
            .map_err(storage("reading a healing"))?;
        row.map(|row| read(&row)).transpose()
    }

    async fn list(&self, filter: &HealingFilter) -> Result<Vec<Healing>> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM healings WHERE TRUE");
        if let Some(run) = &filter.run {
            query.push(" AND run = ").push_bind(run.as_str());
        }
        if let Some(agent) = &filter.agent {
            query.push(" AND run = ").push_bind(agent.run.as_str());
            query.push(" AND agent = ").push_bind(agent.agent.as_str());
        }
        if let Some(case) = &filter.case {
            query.push(" AND case_id = ").push_bind(case.as_str());
        }
        if let Some(before) = filter.before {
            query.push(" AND started_at < ").push_bind(before.as_micros());
        }
        query
            .push(" ORDER BY started_at DESC, id DESC LIMIT ")
            .push_bind(filter_limit(filter.limit));
        let rows = query
            .build()
            .fetch_all(&self.0.reads)
            .await
            .map_err(storage("listing healings"))?;
        rows.iter().map(read).collect()
    }

    async fn memories(&self, key: &AgentKey, diagnosis: Diagnosis) -> Result<Vec<Memory>> {
        let sql = "SELECT * FROM memories WHERE run = ? AND agent = ? AND diagnosis = ? ORDER BY action";
        let query = sqlx::query(sql)
            .bind(key.run.as_str())
            .bind(key.agent.as_str())
            .bind(diagnosis.as_str());
        let rows = query
            .fetch_all(&self.0.reads)
            .await
            .map_err(storage("reading memories"))?;
        rows.iter().map(memories::read).collect()
    }

    async fn all_memories(&self, run: &RunId, limit: u32) -> Result<Vec<Memory>> {
        let sql = "SELECT * FROM memories WHERE run = ? ORDER BY agent, diagnosis, action LIMIT ?";
        let query = sqlx::query(sql).bind(run.as_str()).bind(page_limit(limit));
        let rows = query
            .fetch_all(&self.0.reads)
            .await
            .map_err(storage("listing memories"))?;
        rows.iter().map(memories::read).collect()
    }

    async fn pin(
        &self,
        key: &AgentKey,
        diagnosis: Diagnosis,
        action: Action,
        pin: Option<Pin>,
        now: Timestamp,
    ) -> Result<()> {
        const DOING: &str = "pinning a memory";
        let key = key.clone();
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                memories::pin(conn, &key, diagnosis, action, pin, now)
                    .await
                    .map_err(storage(DOING))
            })
        });
        work.await
    }

    async fn forget(&self, key: &AgentKey, diagnosis: Diagnosis, action: Option<Action>) -> Result<u64> {
        const DOING: &str = "forgetting a memory";
        let key = key.clone();
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let sql = "DELETE FROM memories WHERE run = ? AND agent = ? AND diagnosis = ? \
                           AND action = coalesce(?, action)";
                let query = sqlx::query(sql).bind(key.run.as_str()).bind(key.agent.as_str());
                let query = query.bind(diagnosis.as_str()).bind(action.map(Action::as_str));
                query
                    .execute(conn)
                    .await
                    .map(|done| done.rows_affected())
                    .map_err(storage(DOING))
            })
        });
        work.await
    }

    async fn totals(&self, run: &RunId) -> Result<HealingTotals> {
        let query = sqlx::query("SELECT * FROM run_totals WHERE run = ?").bind(run.as_str());
        let row = query
            .fetch_optional(&self.0.reads)
            .await
            .map_err(storage("counting healings"))?;
        let Some(row) = row else {
            return Ok(HealingTotals::default());
        };
        let row = Reader::new(&row, "totals", "run");
        Ok(HealingTotals {
            succeeded: row.number("healings_succeeded")?,
            failed: row.number("healings_failed")?,
        })
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        let sql = "DELETE FROM healings WHERE id IN (\
                       SELECT id FROM healings WHERE started_at < ? AND is_ended = 1 LIMIT ?)";
        self.0.purge("purging healings", sql, before).await
    }
}
