//! Cases in SQLite.

use crate::case_rows::{self, Before};
use crate::error::storage;
use crate::open::Database;
use crate::rows::{Reader, count, filter_limit, page_limit, place};
use async_trait::async_trait;
use immune_domain::case::Case;
use immune_domain::{AgentKey, CaseId, InfectionId, RunId, Timestamp};
use immune_store::StorageError;
use immune_store::cases::{self, Alongside, CaseFilter, CaseStore, CaseTotals, Event, Opened, Saved};
use immune_store::error::Result;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use std::sync::Arc;
use tokio::sync::watch;

const OF_INFECTION: &str =
    "SELECT cases.* FROM cases JOIN case_infections ON cases.id = case_id WHERE infection = ?";
const OPEN_OF_AGENT: &str = "SELECT * FROM cases WHERE run = ? AND agent = ? AND is_open = 1";
const CONTAINED: &str = "SELECT count(*) FROM cases WHERE run = ? AND is_open = 1 AND is_contained = 1";
const BY_ID: &str = "SELECT * FROM cases WHERE id = ?";

/// The [`CaseStore`] of a SQLite file.
pub(crate) struct SqliteCases(pub(crate) Arc<Database>);

impl SqliteCases {
    /// Wakes those who wait for events; once too often when nothing was written, which a hint may.
    fn announce(&self, has_events: bool) {
        if has_events {
            self.0
                .changes
                .send_modify(|changes| *changes = changes.wrapping_add(1));
        }
    }

    async fn one(&self, doing: &'static str, query: Query<'_>) -> Result<Option<Case>> {
        let row = query
            .fetch_optional(&self.0.reads)
            .await
            .map_err(storage(doing))?;
        row.map(|row| case_rows::read(&row)).transpose()
    }
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, sqlx::sqlite::SqliteArguments>;

async fn found(
    conn: &mut SqliteConnection,
    doing: &'static str,
    query: Query<'_>,
) -> Result<Option<SqliteRow>> {
    query.fetch_optional(conn).await.map_err(storage(doing))
}

#[async_trait]
impl CaseStore for SqliteCases {
    async fn open_case(&self, case: &Case, contained_max: u32, alongside: &Alongside) -> Result<Opened> {
        const DOING: &str = "opening a case";
        if case.version != 1 {
            return Err(StorageError::refused(
                DOING,
                format!("case {} has version {}", case.id, case.version),
            ));
        }
        let ready = case_rows::ready(DOING, case)?;
        let has_events = !alongside.events.is_empty();
        let alongside = case_rows::ready_alongside(DOING, alongside)?;
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let case = &ready.case;
                let query = sqlx::query(OF_INFECTION).bind(case.infection.id.as_str());
                if let Some(reported) = found(conn, DOING, query).await? {
                    return Ok(Opened::AlreadyReported(Box::new(case_rows::read(&reported)?)));
                }
                let query = sqlx::query(OPEN_OF_AGENT)
                    .bind(case.key.run.as_str())
                    .bind(case.key.agent.as_str());
                if let Some(open) = found(conn, DOING, query).await? {
                    return Ok(Opened::AlreadyOpen(Box::new(case_rows::read(&open)?)));
                }
                if cases::wants_containment(case) {
                    let query = sqlx::query_scalar::<_, i64>(CONTAINED).bind(case.key.run.as_str());
                    let contained = query.fetch_one(&mut *conn).await.map_err(storage(DOING))?;
                    let contained = u32::try_from(contained).unwrap_or(u32::MAX);
                    if contained > contained_max {
                        return Ok(Opened::Crowded(contained));
                    }
                }
                case_rows::insert(conn, &ready).await.map_err(storage(DOING))?;
                case_rows::account(conn, case, Before::default())
                    .await
                    .map_err(storage(DOING))?;
                case_rows::write(conn, DOING, alongside).await?;
                Ok(Opened::New)
            })
        });
        let opened = work.await;
        self.announce(has_events);
        opened
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
        let has_events = !alongside.events.is_empty();
        let alongside = case_rows::ready_alongside(DOING, alongside)?;
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let case = &ready.case;
                let query = sqlx::query(BY_ID).bind(case.id.as_str());
                let Some(row) = found(conn, DOING, query).await? else {
                    return Ok(Saved::Missing);
                };
                let stored = Reader::new(&row, "case", "id");
                if stored.number::<u64>("version")? != expected_version {
                    return Ok(Saved::Conflict(Box::new(case_rows::read(&row)?)));
                }
                let key = stored.key()?;
                if key != case.key {
                    return Err(StorageError::refused(
                        DOING,
                        format!("case {} is of agent {key}", case.id),
                    ));
                }
                let before = Before {
                    existed: true,
                    was_quarantined: stored.flag("was_quarantined")?,
                    was_healed: stored.get::<&str>("state")? == "healed",
                };
                case_rows::update(conn, &ready).await.map_err(storage(DOING))?;
                case_rows::account(conn, case, before)
                    .await
                    .map_err(storage(DOING))?;
                case_rows::write(conn, DOING, alongside).await?;
                Ok(Saved::Done)
            })
        });
        let saved = work.await;
        self.announce(has_events);
        saved
    }

    async fn get(&self, id: &CaseId) -> Result<Option<Case>> {
        self.one("reading a case", sqlx::query(BY_ID).bind(id.as_str()))
            .await
    }

    async fn cases(&self, ids: &[CaseId]) -> Result<Vec<Case>> {
        let ids = serde_json::to_string(ids).map_err(|error| StorageError::Failed {
            doing: "reading cases",
            source: error.into(),
        })?;
        let sql = "SELECT * FROM cases WHERE id IN (SELECT value FROM json_each(?))";
        let rows = sqlx::query(sql).bind(ids).fetch_all(&self.0.reads).await;
        let rows = rows.map_err(storage("reading cases"))?;
        rows.iter().map(case_rows::read).collect()
    }

    async fn open_case_of(&self, key: &AgentKey) -> Result<Option<Case>> {
        let query = sqlx::query(OPEN_OF_AGENT)
            .bind(key.run.as_str())
            .bind(key.agent.as_str());
        self.one("reading an open case", query).await
    }

    async fn case_of_infection(&self, infection: &InfectionId) -> Result<Option<Case>> {
        self.one(
            "reading the case of an infection",
            sqlx::query(OF_INFECTION).bind(infection.as_str()),
        )
        .await
    }

    async fn list(&self, filter: &CaseFilter) -> Result<Vec<Case>> {
        // Open cases are few among many closed ones, which SQLite cannot know by itself.
        let mut query = QueryBuilder::<Sqlite>::new(match filter.open {
            Some(true) if filter.agent.is_none() => "SELECT * FROM cases INDEXED BY cases_open WHERE TRUE",
            Some(_) | None => "SELECT * FROM cases WHERE TRUE",
        });
        if let Some(run) = &filter.run {
            query.push(" AND run = ").push_bind(run.as_str());
        }
        if let Some(agent) = &filter.agent {
            query.push(" AND run = ").push_bind(agent.run.as_str());
            query.push(" AND agent = ").push_bind(agent.agent.as_str());
        }
        if let Some(open) = filter.open {
            query.push(if open {
                " AND is_open = 1"
            } else {
                " AND is_open = 0"
            });
        }
        if !filter.states.is_empty() {
            query.push(" AND state IN (");
            let mut states = query.separated(", ");
            for state in &filter.states {
                states.push_bind(state.as_str());
            }
            query.push(")");
        }
        if let Some((at, id)) = &filter.before {
            query.push(" AND (opened_at, id) < (").push_bind(at.as_micros());
            query.push(", ").push_bind(id.as_str()).push(")");
        }
        query
            .push(" ORDER BY opened_at DESC, id DESC LIMIT ")
            .push_bind(filter_limit(filter.limit));
        let rows = query
            .build()
            .fetch_all(&self.0.reads)
            .await
            .map_err(storage("listing cases"))?;
        rows.iter().map(case_rows::read).collect()
    }

    async fn claimable(&self, now: Timestamp, limit: u32) -> Result<Vec<Case>> {
        let sql = "SELECT * FROM cases WHERE due_at <= ? ORDER BY opened_at, id LIMIT ?";
        let query = sqlx::query(sql).bind(now.as_micros()).bind(page_limit(limit));
        let rows = query
            .fetch_all(&self.0.reads)
            .await
            .map_err(storage("finding claimable cases"))?;
        rows.iter().map(case_rows::read).collect()
    }

    async fn claim_unsettled(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Case>> {
        const DOING: &str = "claiming unsettled cases";
        const FREE: &str =
            "is_unsettled = 1 AND (claimed_by IS NULL OR claimed_by = ? OR claimed_until <= ?)";
        // Nothing is written, and nothing waits for the disk, while there is nothing to claim.
        let sql = format!("SELECT 1 FROM cases WHERE {FREE} LIMIT 1");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(worker)
            .bind(now.as_micros());
        let found = query
            .fetch_optional(&self.0.reads)
            .await
            .map_err(storage(DOING))?;
        if found.is_none() {
            return Ok(Vec::new());
        }
        let worker = worker.to_owned();
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let sql = format!(
                    "UPDATE cases SET claimed_by = ?1, claimed_until = ?3 WHERE id IN \
                       (SELECT id FROM cases WHERE {} ORDER BY updated_at, id LIMIT ?4) \
                     RETURNING *",
                    FREE.replacen('?', "?1", 1).replacen("<= ?", "<= ?2", 1)
                );
                let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(worker);
                let query = query.bind(now.as_micros()).bind(until.as_micros());
                let rows = query.bind(page_limit(limit)).fetch_all(conn).await;
                let rows = rows.map_err(storage(DOING))?;
                let mut cases: Vec<Case> = rows.iter().map(case_rows::read).collect::<Result<_>>()?;
                cases.sort_by(|a, b| (a.updated_at, &a.id).cmp(&(b.updated_at, &b.id)));
                Ok(cases)
            })
        });
        work.await
    }

    async fn unclaim(&self, worker: &str) -> Result<()> {
        const DOING: &str = "giving claims back";
        let worker = worker.to_owned();
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let sql = "UPDATE cases SET claimed_by = NULL, claimed_until = NULL WHERE claimed_by = ?";
                let query = sqlx::query(sql).bind(worker);
                query.execute(conn).await.map(|_| ()).map_err(storage(DOING))
            })
        });
        work.await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    async fn totals(&self, run: &RunId) -> Result<CaseTotals> {
        let sql = "SELECT run, cases_opened, cases_quarantined, cases_healed, \
                          (SELECT count(*) FROM cases INDEXED BY cases_one_open \
                            WHERE cases.run = run_totals.run AND is_open = 1) AS open \
                   FROM run_totals WHERE run = ?";
        let row = sqlx::query(sql)
            .bind(run.as_str())
            .fetch_optional(&self.0.reads)
            .await;
        let Some(row) = row.map_err(storage("counting cases"))? else {
            return Ok(CaseTotals::default());
        };
        let row = Reader::new(&row, "totals", "run");
        Ok(CaseTotals {
            opened: row.number("cases_opened")?,
            open: row.number("open")?,
            quarantined: row.number("cases_quarantined")?,
            healed: row.number("cases_healed")?,
        })
    }

    async fn events_after(&self, sequence: u64, limit: u32) -> Result<Vec<Event>> {
        let sql = "SELECT * FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?";
        let query = sqlx::query(sql).bind(place(sequence)).bind(page_limit(limit));
        let rows = query
            .fetch_all(&self.0.reads)
            .await
            .map_err(storage("reading events"))?;
        rows.iter().map(case_rows::read_event).collect()
    }

    async fn last_event(&self) -> Result<u64> {
        // SQLite remembers the last place also when the events are purged.
        let query = sqlx::query_scalar::<_, i64>("SELECT seq FROM sqlite_sequence WHERE name = 'events'");
        let last = query
            .fetch_optional(&self.0.reads)
            .await
            .map_err(storage("reading the last event"))?;
        Ok(last.map_or(0, count))
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        let sql = "DELETE FROM cases WHERE id IN (\
                       SELECT id FROM cases WHERE closed_at < ? AND is_unsettled = 0 LIMIT ?)";
        self.0.purge("purging cases", sql, before).await
    }

    async fn purge_events(&self, before: Timestamp) -> Result<u64> {
        let sql = "DELETE FROM events WHERE sequence IN (SELECT sequence FROM events WHERE at < ? LIMIT ?)";
        self.0.purge("purging events", sql, before).await
    }
}
