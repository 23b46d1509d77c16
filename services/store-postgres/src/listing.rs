//! Listings with filters: one text per combination, so that each gets the plan and the index that fit.

use crate::database::Query;
use crate::nul;
use crate::rows::{filter_limit, place};
use crate::types::At;
use immune_domain::{AgentKey, RunId};
use immune_store::StorageError;
use immune_store::action_log::LogFilter;
use immune_store::cases::CaseFilter;
use immune_store::error::Result;
use immune_store::healings::HealingFilter;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, AssertSqlSafe, Encode, Postgres, Type};
use std::fmt::Write;

/// A statement whose conditions come one after another.
pub(crate) struct Listing {
    doing: &'static str,
    sql: String,
    values: PgArguments,
}

impl Listing {
    fn of(doing: &'static str, table: &str) -> Self {
        Listing::columns(doing, "id, body", table)
    }

    fn columns(doing: &'static str, columns: &str, table: &str) -> Self {
        Listing {
            doing,
            sql: format!("SELECT {columns} FROM immune.{table} WHERE TRUE"),
            values: PgArguments::default(),
        }
    }

    /// Adds a piece of the statement that needs one value, its place written as `#`.
    fn with<'v, T>(&mut self, piece: &str, value: T) -> Result<()>
    where
        T: Encode<'v, Postgres> + Type<Postgres>,
    {
        let doing = self.doing;
        let failed = |source| StorageError::Failed { doing, source };
        self.values.add(value).map_err(failed)?;
        let place = format!("${}", self.values.len());
        write!(self.sql, " {}", piece.replace('#', &place)).map_err(|error| failed(error.into()))
    }

    fn of_run(&mut self, run: Option<&RunId>) -> Result<()> {
        match run {
            Some(run) => self.with("AND run = #", nul::hide(run.as_str())),
            None => Ok(()),
        }
    }

    fn of_agent(&mut self, agent: Option<&AgentKey>) -> Result<()> {
        let Some(key) = agent else { return Ok(()) };
        self.of_run(Some(&key.run))?;
        self.with("AND agent = #", nul::hide(key.agent.as_str()))
    }

    /// The statement, as often as it is tried.
    pub(crate) fn query(&self) -> Query {
        // Made of the pieces in this file; what comes from outside is a value.
        sqlx::query_with(AssertSqlSafe(self.sql.clone()), self.values.clone())
    }
}

/// Cases that match, newest first.
pub(crate) fn cases(doing: &'static str, filter: &CaseFilter) -> Result<Listing> {
    let mut listing = Listing::of(doing, "cases");
    listing.of_run(filter.run.as_ref())?;
    listing.of_agent(filter.agent.as_ref())?;
    match filter.open {
        Some(true) => listing.sql.push_str(" AND is_open"),
        Some(false) => listing.sql.push_str(" AND NOT is_open"),
        None => {}
    }
    if !filter.states.is_empty() {
        listing.with("AND state = ANY (#)", filter.states.as_slice())?;
    }
    if let Some((at, id)) = &filter.before {
        listing.with("AND (opened_at, id) < (#,", At(*at))?;
        listing.with("#)", nul::hide(id.as_str()))?;
    }
    listing.with(
        "ORDER BY opened_at DESC, id DESC LIMIT #",
        filter_limit(filter.limit),
    )?;
    Ok(listing)
}

/// Healings that match, newest first.
pub(crate) fn healings(doing: &'static str, filter: &HealingFilter) -> Result<Listing> {
    let mut listing = Listing::of(doing, "healings");
    listing.of_run(filter.run.as_ref())?;
    listing.of_agent(filter.agent.as_ref())?;
    if let Some(case) = &filter.case {
        listing.with("AND case_id = #", nul::hide(case.as_str()))?;
    }
    if let Some(before) = filter.before {
        listing.with("AND started_at < #", At(before))?;
    }
    listing.with(
        "ORDER BY started_at DESC, id DESC LIMIT #",
        filter_limit(filter.limit),
    )?;
    Ok(listing)
}

/// Rows of the action log that match, newest first; those without a place yet are left out.
pub(crate) fn log(doing: &'static str, run: &RunId, filter: &LogFilter) -> Result<Listing> {
    let mut listing = Listing::columns(doing, "*", "action_log");
    listing.of_run(Some(run))?;
    if let Some(actor) = &filter.actor {
        listing.with("AND actor = #", nul::hide(actor))?;
    }
    if !filter.kinds.is_empty() {
        let kinds: Vec<_> = filter
            .kinds
            .iter()
            .map(|kind| nul::hide(kind).into_owned())
            .collect();
        listing.with("AND kind = ANY (#)", kinds)?;
    }
    if let Some(agent) = &filter.agent {
        listing.with("AND agent = #", nul::hide(agent.as_str()))?;
    }
    if let Some(outcome) = &filter.outcome {
        listing.with("AND outcome = #", nul::hide(outcome))?;
    }
    if let Some(from) = filter.from {
        listing.with("AND at >= #", At(from))?;
    }
    if let Some(to) = filter.to {
        listing.with("AND at < #", At(to))?;
    }
    if let Some(like) = filter.like() {
        // By bytes: letters beyond ASCII match as they are, whatever the database's collation.
        let like = nul::hide_json(like);
        listing.with("AND (kind COLLATE \"C\" ILIKE #", like.clone())?;
        listing.with("OR actor COLLATE \"C\" ILIKE #", like.clone())?;
        listing.with("OR agent ILIKE #", like.clone())?;
        listing.with("OR payload::text COLLATE \"C\" ILIKE #)", like)?;
    }
    listing.with("AND sequence < #", filter.before.map_or(i64::MAX, place))?;
    listing.with("ORDER BY sequence DESC LIMIT #", filter_limit(filter.limit))?;
    Ok(listing)
}
