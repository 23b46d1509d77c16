//! Attempts and immune memory in PostgreSQL.

use crate::database::{Database, Repeat};
use crate::rows::{Reader, jsonb, page_limit};
use crate::types::At;
use crate::{listing, nul};
use async_trait::async_trait;
use immune_domain::diagnosis::Diagnosis;
use immune_domain::healing::{Action, Healing};
use immune_domain::memory::{Memory, Pin};
use immune_domain::{AgentKey, HealingId, RunId, Timestamp};
use immune_store::StorageError;
use immune_store::error::Result;
use immune_store::healings::{HealingFilter, HealingStore, HealingTotals, Lesson, ended_at, lesson};
use sqlx::postgres::PgRow;
use std::sync::Arc;

/// The [`HealingStore`] of a PostgreSQL database.
pub(crate) struct PgHealings(pub(crate) Arc<Database>);

fn read(row: &PgRow) -> Result<Healing> {
    Reader::new(row, "healing", "id").json("body")
}

fn read_memory(row: &PgRow) -> Result<Memory> {
    let row = Reader::new(row, "memory", "agent");
    let diagnosis: &str = row.get("diagnosis")?;
    let action: &str = row.get("action")?;
    let pin: Option<&str> = row.get("pin")?;
    Ok(Memory {
        key: row.key()?,
        diagnosis: diagnosis.parse().map_err(|error| row.damaged(error))?,
        action: action.parse().map_err(|error| row.damaged(error))?,
        successes: row.number("successes")?,
        failures: row.number("failures")?,
        last_at: row.time("last_at")?,
        pin: match pin {
            None => None,
            Some("prefer") => Some(Pin::Prefer),
            Some("avoid") => Some(Pin::Avoid),
            Some(other) => return Err(row.damaged(format!("pin is {other:?}"))),
        },
    })
}

fn pin_word(pin: Pin) -> &'static str {
    match pin {
        Pin::Prefer => "prefer",
        Pin::Avoid => "avoid",
    }
}

/// Whether an attempt helped; `None` when it teaches nothing.
fn helped(healing: &Healing) -> Option<bool> {
    lesson(&healing.outcome).map(|lesson| match lesson {
        Lesson::Helped => true,
        Lesson::DidNotHelp => false,
    })
}

#[async_trait]
impl HealingStore for PgHealings {
    async fn begin(&self, healing: &Healing) -> Result<()> {
        const DOING: &str = "beginning a healing";
        let body = jsonb(DOING, healing)?;
        let ended_at = ended_at(&healing.outcome);
        let query = || {
            sqlx::query("SELECT immune.begin_healing($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
                .bind(nul::hide(healing.id.as_str()))
                .bind(nul::hide(healing.key.run.as_str()))
                .bind(nul::hide(healing.key.agent.as_str()))
                .bind(nul::hide(healing.case.as_str()))
                .bind(healing.diagnosis.as_str())
                .bind(healing.action.as_str())
                .bind(At(healing.started_at))
                .bind(ended_at.is_some())
                .bind(body.clone())
                .bind(helped(healing))
                .bind(ended_at.map(At))
        };
        self.0.run(DOING, Repeat::Always, query).await.map(|_| ())
    }

    async fn finish(&self, healing: &Healing) -> Result<bool> {
        const DOING: &str = "finishing a healing";
        let outcome = jsonb(DOING, &healing.outcome)?;
        let ended_at = ended_at(&healing.outcome);
        let query = || {
            sqlx::query("SELECT * FROM immune.finish_healing($1, $2, $3, $4, $5)")
                .bind(nul::hide(healing.id.as_str()))
                .bind(ended_at.is_some())
                .bind(outcome.clone())
                .bind(helped(healing))
                .bind(ended_at.map(At))
        };
        let answer = self.0.run(DOING, Repeat::Always, query).await?;
        let Some(row) = answer.rows.first() else {
            return Err(StorageError::refused(
                DOING,
                "the database answered without a row",
            ));
        };
        let row = Reader::new(row, "answer", "is_changed");
        // After a lost answer, an outcome that is there already was most likely brought by this call.
        Ok(row.get("is_changed")? || (answer.after_doubt && row.get("is_same")?))
    }

    async fn get(&self, id: &HealingId) -> Result<Option<Healing>> {
        let sql = "SELECT id, body FROM immune.healings WHERE id = $1";
        let query = || sqlx::query(sql).bind(nul::hide(id.as_str()));
        let rows = self.0.read("reading a healing", query).await?;
        rows.first().map(read).transpose()
    }

    async fn list(&self, filter: &HealingFilter) -> Result<Vec<Healing>> {
        const DOING: &str = "listing healings";
        let listing = listing::healings(DOING, filter)?;
        let rows = self.0.read(DOING, || listing.query()).await?;
        rows.iter().map(read).collect()
    }

    async fn memories(&self, key: &AgentKey, diagnosis: Diagnosis) -> Result<Vec<Memory>> {
        let sql =
            "SELECT * FROM immune.memories WHERE run = $1 AND agent = $2 AND diagnosis = $3 ORDER BY action";
        let query = || {
            sqlx::query(sql)
                .bind(nul::hide(key.run.as_str()))
                .bind(nul::hide(key.agent.as_str()))
                .bind(diagnosis.as_str())
        };
        let rows = self.0.read("reading memories", query).await?;
        rows.iter().map(read_memory).collect()
    }

    async fn all_memories(&self, run: &RunId, limit: u32) -> Result<Vec<Memory>> {
        let sql = "SELECT * FROM immune.memories WHERE run = $1 ORDER BY agent, diagnosis, action LIMIT $2";
        let query = || {
            sqlx::query(sql)
                .bind(nul::hide(run.as_str()))
                .bind(page_limit(limit))
        };
        let rows = self.0.read("listing memories", query).await?;
        rows.iter().map(read_memory).collect()
    }

    async fn pin(
        &self,
        key: &AgentKey,
        diagnosis: Diagnosis,
        action: Action,
        pin: Option<Pin>,
        now: Timestamp,
    ) -> Result<()> {
        let query = || {
            sqlx::query("SELECT immune.pin_memory($1, $2, $3, $4, $5, $6)")
                .bind(nul::hide(key.run.as_str()))
                .bind(nul::hide(key.agent.as_str()))
                .bind(diagnosis.as_str())
                .bind(action.as_str())
                .bind(pin.map(pin_word))
                .bind(At(now))
        };
        self.0
            .run("pinning a memory", Repeat::Always, query)
            .await
            .map(|_| ())
    }

    async fn forget(&self, key: &AgentKey, diagnosis: Diagnosis, action: Option<Action>) -> Result<u64> {
        let sql = "DELETE FROM immune.memories WHERE run = $1 AND agent = $2 AND diagnosis = $3 \
                   AND ($4::text IS NULL OR action = $4) RETURNING 1";
        let query = || {
            sqlx::query(sql)
                .bind(nul::hide(key.run.as_str()))
                .bind(nul::hide(key.agent.as_str()))
                .bind(diagnosis.as_str())
                .bind(action.map(Action::as_str))
        };
        let answer = self.0.run("forgetting a memory", Repeat::Always, query).await?;
        Ok(answer.rows.len() as u64)
    }

    async fn totals(&self, run: &RunId) -> Result<HealingTotals> {
        let sql = "SELECT coalesce(sum(succeeded), 0)::bigint AS succeeded, coalesce(sum(failed), 0)::bigint AS failed \
                   FROM immune.healing_totals WHERE run = $1";
        let query = || sqlx::query(sql).bind(nul::hide(run.as_str()));
        let rows = self.0.read("counting healings", query).await?;
        let Some(row) = rows.first() else {
            return Ok(HealingTotals::default());
        };
        let row = Reader::new(row, "totals", "succeeded");
        Ok(HealingTotals {
            succeeded: row.number("succeeded")?,
            failed: row.number("failed")?,
        })
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        let sql = "WITH old AS MATERIALIZED (\
                       SELECT id FROM immune.healings WHERE started_at < $1 AND is_ended \
                       LIMIT $2 FOR UPDATE SKIP LOCKED), \
                   removed AS (DELETE FROM immune.healings h USING old WHERE h.id = old.id RETURNING 1) \
                   SELECT count(*) FROM removed";
        self.0.purge("purging healings", sql, before).await
    }
}
