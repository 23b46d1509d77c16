//! Cases and events between rows and values.

use crate::database::Query;
use crate::nul;
use crate::rows::{Reader, jsonb, jsonb_unchecked, signed};
use crate::types::{At, Jsonb};
use immune_domain::case::Case;
use immune_store::cases::{self, Event, NewEvent};
use immune_store::error::Result;
use serde::Serialize;
use sqlx::postgres::PgRow;

/// A case ready to be written.
pub(crate) struct Ready<'a> {
    pub(crate) case: &'a Case,
    pub(crate) version: i64,
    pub(crate) body: Jsonb,
}

pub(crate) fn ready<'a>(doing: &'static str, case: &'a Case) -> Result<Ready<'a>> {
    Ok(Ready {
        case,
        version: signed(doing, case.version)?,
        body: jsonb(doing, case)?,
    })
}

/// Binds what names the case and its state, the first eight parameters of both functions that write cases.
pub(crate) fn named(query: Query, ready: &Ready<'_>) -> Query {
    let case = ready.case;
    query
        .bind(nul::hide(case.id.as_str()))
        .bind(nul::hide(case.key.run.as_str()))
        .bind(nul::hide(case.key.agent.as_str()))
        .bind(case.state.as_str())
        .bind(nul::hide(case.infection.id.as_str()))
        .bind(!case.state.is_closed())
        .bind(cases::is_unsettled(case))
        .bind(cases::wants_containment(case))
}

/// Binds when the case changed, when it is due, when it closed, and the case itself: the next four parameters.
pub(crate) fn timed(query: Query, ready: &Ready<'_>) -> Query {
    let case = ready.case;
    query
        .bind(At(case.updated_at))
        .bind(cases::due_at(case).map(At))
        .bind(cases::closed_at(case).map(At))
        .bind(ready.body.clone())
}

/// Reads a case back.
pub(crate) fn read(row: &PgRow) -> Result<Case> {
    Reader::new(row, "case", "id").json("body")
}

/// An event as `immune.add_events` reads it.
#[derive(Serialize)]
struct Entry<'a> {
    at: i64,
    kind: &'a str,
    case_id: &'a str,
    run: &'a str,
    agent: &'a str,
    text: &'a str,
    payload: &'a serde_json::Value,
}

/// Events for `immune.add_events`; `None` when there are none.
pub(crate) fn events(doing: &'static str, events: &[NewEvent]) -> Result<Option<Jsonb>> {
    if events.is_empty() {
        return Ok(None);
    }
    let entries: Vec<Entry<'_>> = events
        .iter()
        .map(|event| Entry {
            at: At::micros(event.at),
            kind: &event.kind,
            case_id: event.case.as_str(),
            run: event.key.run.as_str(),
            agent: event.key.agent.as_str(),
            text: &event.text,
            payload: &event.payload,
        })
        .collect();
    jsonb_unchecked(doing, &entries).map(Some)
}

/// Reads an event back.
pub(crate) fn read_event(row: &PgRow) -> Result<Event> {
    let row = Reader::new(row, "event", "sequence");
    Ok(Event {
        sequence: row.number("sequence")?,
        event: NewEvent {
            kind: row.text("kind")?,
            case: row.text("case_id")?.into(),
            key: row.key()?,
            at: row.time("at")?,
            text: row.text("text")?,
            payload: row.json("payload")?,
        },
    })
}
