//! Cases in PostgreSQL.

use crate::database::{Answer, Database, Query, Repeat};
use crate::rows::{Reader, page_limit, place};
use crate::types::At;
use crate::{action_log, case_rows, listing, nul};
use async_trait::async_trait;
use immune_domain::case::Case;
use immune_domain::{AgentKey, CaseId, InfectionId, RunId, Timestamp};
use immune_store::StorageError;
use immune_store::cases::{Alongside, CaseFilter, CaseStore, CaseTotals, Event, Opened, Saved};
use immune_store::error::Result;
use sqlx::postgres::PgRow;
use std::sync::Arc;
use tokio::sync::watch;

/// A limit from which on there is none, so that openings need not wait for each other.
const UNLIMITED: u32 = i32::MAX as u32;

/// The [`CaseStore`] of a PostgreSQL database.
pub(crate) struct PgCases(pub(crate) Arc<Database>);

impl PgCases {
    async fn one(
        &self,
        doing: &'static str,
        query: impl Fn() -> Query + Send + Sync,
    ) -> Result<Option<Case>> {
        let rows = self.0.read(doing, query).await?;
        rows.first().map(case_rows::read).transpose()
    }

    async fn many(&self, doing: &'static str, query: impl Fn() -> Query + Send + Sync) -> Result<Vec<Case>> {
        self.0
            .read(doing, query)
            .await?
            .iter()
            .map(case_rows::read)
            .collect()
    }
}

/// The one row that a function answers with.
fn only<'a>(doing: &'static str, answer: &'a Answer) -> Result<&'a PgRow> {
    let none = || StorageError::refused(doing, "the database answered without a row");
    answer.rows.first().ok_or_else(none)
}

fn unknown(doing: &'static str, word: &str) -> StorageError {
    StorageError::refused(doing, format!("the database answered {word:?}"))
}

#[async_trait]
impl CaseStore for PgCases {
    async fn open_case(&self, case: &Case, contained_max: u32, alongside: &Alongside) -> Result<Opened> {
        const DOING: &str = "opening a case";
        if case.version != 1 {
            let what = format!("case {} has version {}", case.id, case.version);
            return Err(StorageError::refused(DOING, what));
        }
        let ready = case_rows::ready(DOING, case)?;
        let log = action_log::entries(DOING, &alongside.log)?;
        let events = case_rows::events(DOING, &alongside.events)?;
        let limit = (contained_max < UNLIMITED).then(|| i64::from(contained_max));
        let query = || {
            let sql = "SELECT * FROM immune.open_case(\
                           $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
            let query = case_rows::named(sqlx::query(sql), &ready).bind(At(case.opened_at));
            case_rows::timed(query, &ready)
                .bind(limit)
                .bind(log.clone())
                .bind(events.clone())
        };
        // Repeated after a lost answer, the case finds itself by its infection.
        let answer = self.0.run(DOING, Repeat::Always, query).await?;
        let row = Reader::new(only(DOING, &answer)?, "answer", "answer");
        let stored: Option<Box<Case>> = match row.get::<&str>("answer")? {
            "already_reported" | "already_open" => row.json_if_any("stored")?,
            _other => None,
        };
        let opened = match (row.get::<&str>("answer")?, stored) {
            ("new", _) => Opened::New,
            ("already_reported", Some(stored)) if answer.after_doubt && stored.id == case.id => Opened::New,
            ("already_reported", Some(stored)) => Opened::AlreadyReported(stored),
            ("already_open", Some(stored)) => Opened::AlreadyOpen(stored),
            ("crowded", _) => {
                Opened::Crowded(u32::try_from(row.get::<i64>("contained")?).unwrap_or(u32::MAX))
            }
            ("id_used", _) => return Err(StorageError::refused(DOING, format!("case {} exists", case.id))),
            (word, _) => return Err(unknown(DOING, word)),
        };
        if opened == Opened::New && !alongside.events.is_empty() {
            self.0.announce();
        }
        if opened == Opened::New && log.is_some() {
            self.0.chain_soon();
        }
        Ok(opened)
    }

    async fn save_case(&self, case: &Case, expected_version: u64, alongside: &Alongside) -> Result<Saved> {
        const DOING: &str = "saving a case";
        if expected_version.checked_add(1) != Some(case.version) {
            let what = format!(
                "case {} has version {} after {expected_version}",
                case.id, case.version
            );
            return Err(StorageError::refused(DOING, what));
        }
        let ready = case_rows::ready(DOING, case)?;
        let log = action_log::entries(DOING, &alongside.log)?;
        let events = case_rows::events(DOING, &alongside.events)?;
        let query = || {
            let sql = "SELECT * FROM immune.save_case(\
                           $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
            let query = case_rows::timed(case_rows::named(sqlx::query(sql), &ready), &ready);
            query
                .bind(ready.version - 1)
                .bind(log.clone())
                .bind(events.clone())
        };
        // Repeated after a lost answer, the case finds itself in its own way.
        let answer = self.0.run_raw(Repeat::Always, query).await.map_err(|trouble| {
            if trouble.violates("cases_one_open") {
                let what = format!(
                    "case {} cannot be open beside another case of agent {}",
                    case.id, case.key
                );
                return StorageError::refused(DOING, what);
            }
            trouble.told(DOING)
        })?;
        let row = Reader::new(only(DOING, &answer)?, "answer", "answer");
        let saved = match row.get::<&str>("answer")? {
            "done" => Saved::Done,
            "missing" => Saved::Missing,
            "conflict" => {
                let stored: Box<Case> = row.json("stored")?;
                if answer.after_doubt && *stored == *case {
                    Saved::Done
                } else {
                    Saved::Conflict(stored)
                }
            }
            "other_agent" => {
                let agent: String = row.json("stored")?;
                let what = format!("case {} is of agent {agent}", case.id);
                return Err(StorageError::refused(DOING, what));
            }
            word => return Err(unknown(DOING, word)),
        };
        if saved == Saved::Done && !alongside.events.is_empty() {
            self.0.announce();
        }
        if saved == Saved::Done && log.is_some() {
            self.0.chain_soon();
        }
        Ok(saved)
    }

    async fn get(&self, id: &CaseId) -> Result<Option<Case>> {
        let sql = "SELECT id, body FROM immune.cases WHERE id = $1";
        self.one("reading a case", || sqlx::query(sql).bind(nul::hide(id.as_str())))
            .await
    }

    async fn cases(&self, ids: &[CaseId]) -> Result<Vec<Case>> {
        let ids: Vec<_> = ids.iter().map(|id| nul::hide(id.as_str())).collect();
        let sql = "SELECT id, body FROM immune.cases WHERE id = ANY ($1)";
        self.many("reading cases", || sqlx::query(sql).bind(ids.as_slice()))
            .await
    }

    async fn open_case_of(&self, key: &AgentKey) -> Result<Option<Case>> {
        let sql = "SELECT id, body FROM immune.cases WHERE run = $1 AND agent = $2 AND is_open";
        let query = || {
            sqlx::query(sql)
                .bind(nul::hide(key.run.as_str()))
                .bind(nul::hide(key.agent.as_str()))
        };
        self.one("reading an open case", query).await
    }

    async fn case_of_infection(&self, infection: &InfectionId) -> Result<Option<Case>> {
        let sql = "SELECT id, body FROM immune.cases \
                   WHERE id = (SELECT case_id FROM immune.case_infections i WHERE i.infection = $1)";
        let query = || sqlx::query(sql).bind(nul::hide(infection.as_str()));
        self.one("reading the case of an infection", query).await
    }

    async fn list(&self, filter: &CaseFilter) -> Result<Vec<Case>> {
        const DOING: &str = "listing cases";
        let listing = listing::cases(DOING, filter)?;
        self.many(DOING, || listing.query()).await
    }

    async fn claimable(&self, now: Timestamp, limit: u32) -> Result<Vec<Case>> {
        let sql = "SELECT id, body FROM immune.cases WHERE due_at <= $1 ORDER BY opened_at, id LIMIT $2";
        let query = || sqlx::query(sql).bind(At(now)).bind(page_limit(limit));
        self.many("finding claimable cases", query).await
    }

    async fn claim_unsettled(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Case>> {
        // Nothing is written, and nothing waits for the disk, while there is nothing to claim. What is held for long
        // enough is only read: renewing it at every look would make every save of a case wait for the renewal.
        let sql = "WITH wanted AS MATERIALIZED (\
                       SELECT id, coalesce(claimed_by = $1 AND claimed_until > $5, false) AS is_held \
                       FROM immune.cases \
                       WHERE is_unsettled AND (claimed_by IS NULL OR claimed_by = $1 OR claimed_until <= $2) \
                       ORDER BY updated_at, id LIMIT $4\
                   ), free AS MATERIALIZED (\
                       SELECT c.id FROM immune.cases c JOIN wanted w ON w.id = c.id AND NOT w.is_held \
                       WHERE c.is_unsettled AND (c.claimed_by IS NULL OR c.claimed_by = $1 OR c.claimed_until <= $2) \
                       FOR NO KEY UPDATE OF c SKIP LOCKED\
                   ), claimed AS (\
                       UPDATE immune.cases c SET claimed_by = $1, claimed_until = $3 FROM free \
                       WHERE c.id = free.id RETURNING c.id, c.updated_at, c.body\
                   ) SELECT id, body FROM (\
                       SELECT * FROM claimed UNION ALL \
                       SELECT c.id, c.updated_at, c.body FROM immune.cases c JOIN wanted w ON w.id = c.id AND w.is_held\
                   ) mine ORDER BY updated_at, id";
        let enough = now.plus(until.since(now) / 2);
        let query = || {
            sqlx::query(sql)
                .bind(nul::hide(worker))
                .bind(At(now))
                .bind(At(until))
                .bind(page_limit(limit))
                .bind(At(enough))
        };
        self.many("claiming unsettled cases", query).await
    }

    async fn unclaim(&self, worker: &str) -> Result<()> {
        // Only unsettled cases are claimed.
        let sql = "UPDATE immune.cases SET claimed_by = NULL, claimed_until = NULL \
                   WHERE is_unsettled AND claimed_by = $1";
        let query = || sqlx::query(sql).bind(nul::hide(worker));
        self.0
            .run("giving claims back", Repeat::Always, query)
            .await
            .map(|_| ())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes()
    }

    async fn totals(&self, run: &RunId) -> Result<CaseTotals> {
        let sql = "SELECT coalesce(sum(opened), 0)::bigint AS opened, \
                          coalesce(sum(quarantined), 0)::bigint AS quarantined, \
                          coalesce(sum(healed), 0)::bigint AS healed, \
                          (SELECT count(*) FROM immune.cases WHERE run = $1 AND is_open) AS open \
                   FROM immune.case_totals WHERE run = $1";
        let query = || sqlx::query(sql).bind(nul::hide(run.as_str()));
        let rows = self.0.read("counting cases", query).await?;
        let Some(row) = rows.first() else {
            return Ok(CaseTotals::default());
        };
        let row = Reader::new(row, "totals", "opened");
        Ok(CaseTotals {
            opened: row.number("opened")?,
            open: row.number("open")?,
            quarantined: row.number("quarantined")?,
            healed: row.number("healed")?,
        })
    }

    async fn events_after(&self, sequence: u64, limit: u32) -> Result<Vec<Event>> {
        let sql = "SELECT * FROM immune.events_after($1, $2) ORDER BY sequence";
        let query = || sqlx::query(sql).bind(place(sequence)).bind(page_limit(limit));
        let rows = self.0.read("reading events", query).await?;
        rows.iter().map(case_rows::read_event).collect()
    }

    async fn last_event(&self) -> Result<u64> {
        let query = || sqlx::query("SELECT immune.number_events() AS last");
        let rows = self.0.read("reading the last event", query).await?;
        rows.first()
            .map_or(Ok(0), |row| Reader::new(row, "event", "last").number("last"))
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        let sql = "WITH old AS MATERIALIZED (\
                       SELECT id FROM immune.cases WHERE closed_at < $1 AND NOT is_unsettled \
                       LIMIT $2 FOR UPDATE SKIP LOCKED), \
                   removed AS (DELETE FROM immune.cases c USING old WHERE c.id = old.id RETURNING 1) \
                   SELECT count(*) FROM removed";
        self.0.purge("purging cases", sql, before).await
    }

    async fn purge_events(&self, before: Timestamp) -> Result<u64> {
        // An event that has no place yet may still be waited for.
        let sql = "WITH old AS MATERIALIZED (\
                       SELECT id FROM immune.events WHERE at < $1 AND sequence IS NOT NULL \
                       LIMIT $2 FOR UPDATE SKIP LOCKED), \
                   removed AS (DELETE FROM immune.events e USING old WHERE e.id = old.id RETURNING 1) \
                   SELECT count(*) FROM removed";
        self.last_event().await?;
        self.0.purge("purging events", sql, before).await
    }
}
