//! Cases as rows, with what is written beside them. The body is the case; the columns are what is searched by.

use crate::error::storage;
use crate::log_chain;
use crate::rows::{Reader, encode, encode_unchecked, signed};
use immune_domain::case::{Case, State};
use immune_store::action_log::LogRow;
use immune_store::cases::{self, Alongside, Event, NewEvent};
use immune_store::error::Result;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

/// A case ready to be written.
pub(crate) struct Ready {
    pub(crate) case: Case,
    pub(crate) version: i64,
    body: String,
}

/// What comes alongside, ready to be written.
pub(crate) struct ReadyAlongside {
    pub(crate) log: Vec<(LogRow, String)>,
    events: Vec<(NewEvent, String)>,
}

pub(crate) fn ready(doing: &'static str, case: &Case) -> Result<Ready> {
    Ok(Ready {
        case: case.clone(),
        version: signed(doing, case.version)?,
        body: encode(doing, case)?,
    })
}

pub(crate) fn ready_alongside(doing: &'static str, alongside: &Alongside) -> Result<ReadyAlongside> {
    let event = |event: &NewEvent| Ok((event.clone(), encode_unchecked(doing, &event.payload)?));
    Ok(ReadyAlongside {
        log: ready_log(doing, &alongside.log)?,
        events: alongside.events.iter().map(event).collect::<Result<_>>()?,
    })
}

pub(crate) fn ready_log(doing: &'static str, rows: &[LogRow]) -> Result<Vec<(LogRow, String)>> {
    rows.iter()
        .map(|row| Ok((row.clone(), encode_unchecked(doing, &row.payload)?)))
        .collect()
}

/// Reads a case back.
pub(crate) fn read(row: &SqliteRow) -> Result<Case> {
    let row = Reader::new(row, "case", "id");
    row.json("body")
}

/// Reads an event back.
pub(crate) fn read_event(row: &SqliteRow) -> Result<Event> {
    let row = Reader::new(row, "event", "sequence");
    Ok(Event {
        sequence: row.number("sequence")?,
        event: NewEvent {
            kind: row.get("kind")?,
            case: row.get::<String>("case_id")?.into(),
            key: row.key()?,
            at: row.time("at")?,
            text: row.get("text")?,
            payload: row.json("payload")?,
        },
    })
}

/// Inserts a new case. Its totals and its infection are the caller's next step.
pub(crate) async fn insert(conn: &mut SqliteConnection, ready: &Ready) -> sqlx::Result<()> {
    let case = &ready.case;
    let sql = "INSERT INTO cases (version, state, is_open, is_unsettled, was_quarantined, is_contained, updated_at, \
                                  due_at, closed_at, body, run, agent, opened_at, id) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let query = searched(sqlx::query(sql), ready);
    let query = query.bind(case.key.run.as_str()).bind(case.key.agent.as_str());
    query
        .bind(case.opened_at.as_micros())
        .bind(case.id.as_str())
        .execute(conn)
        .await
        .map(|_| ())
}

/// Replaces a stored case. `was_quarantined` only ever grows.
pub(crate) async fn update(conn: &mut SqliteConnection, ready: &Ready) -> sqlx::Result<()> {
    let sql = "UPDATE cases SET version = ?, state = ?, is_open = ?, is_unsettled = ?, \
                                was_quarantined = max(was_quarantined, ?), is_contained = ?, updated_at = ?, due_at = ?, \
                                closed_at = ?, body = ? \
               WHERE id = ?";
    searched(sqlx::query(sql), ready)
        .bind(ready.case.id.as_str())
        .execute(conn)
        .await
        .map(|_| ())
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// Binds what is searched by, and the body.
fn searched<'q>(query: Query<'q>, ready: &'q Ready) -> Query<'q> {
    let case = &ready.case;
    query
        .bind(ready.version)
        .bind(case.state.as_str())
        .bind(i64::from(!case.state.is_closed()))
        .bind(i64::from(cases::is_unsettled(case)))
        .bind(i64::from(cases::wants_containment(case)))
        .bind(i64::from(cases::wants_containment(case)))
        .bind(case.updated_at.as_micros())
        .bind(cases::due_at(case).map(|at| at.as_micros()))
        .bind(cases::closed_at(case).map(|at| at.as_micros()))
        .bind(ready.body.as_str())
}

/// What was true of a case before it was stored.
#[derive(Clone, Copy, Default)]
pub(crate) struct Before {
    pub(crate) existed: bool,
    pub(crate) was_quarantined: bool,
    pub(crate) was_healed: bool,
}

/// Counts a stored case into the totals of its run and remembers its infection.
pub(crate) async fn account(conn: &mut SqliteConnection, case: &Case, before: Before) -> sqlx::Result<()> {
    let sql = "INSERT INTO case_infections (infection, case_id) VALUES (?, ?) ON CONFLICT DO NOTHING";
    let query = sqlx::query(sql)
        .bind(case.infection.id.as_str())
        .bind(case.id.as_str());
    query.execute(&mut *conn).await?;
    let sql = "INSERT INTO run_totals (run, cases_opened, cases_quarantined, cases_healed) VALUES (?, ?, ?, ?) \
               ON CONFLICT (run) DO UPDATE SET cases_opened = cases_opened + excluded.cases_opened, \
                   cases_quarantined = cases_quarantined + excluded.cases_quarantined, \
                   cases_healed = cases_healed + excluded.cases_healed";
    let is_healed = matches!(case.state, State::Healed { .. });
    sqlx::query(sql)
        .bind(case.key.run.as_str())
        .bind(i64::from(!before.existed))
        .bind(i64::from(
            cases::wants_containment(case) && !before.was_quarantined,
        ))
        .bind(i64::from(is_healed && !before.was_healed))
        .execute(conn)
        .await
        .map(|_| ())
}

/// Writes what comes alongside.
pub(crate) async fn write(
    conn: &mut SqliteConnection,
    doing: &'static str,
    alongside: ReadyAlongside,
) -> Result<()> {
    log_chain::append(conn, doing, alongside.log).await?;
    for (event, payload) in alongside.events {
        let sql =
            "INSERT INTO events (at, kind, case_id, run, agent, text, payload) VALUES (?, ?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(sql)
            .bind(event.at.as_micros())
            .bind(event.kind)
            .bind(event.case.as_str());
        let query = query.bind(event.key.run.as_str()).bind(event.key.agent.as_str());
        query
            .bind(event.text)
            .bind(payload)
            .execute(&mut *conn)
            .await
            .map_err(storage(doing))?;
    }
    Ok(())
}
