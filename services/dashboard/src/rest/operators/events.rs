//! `/api/events`: what happens to cases and agents, as server-sent events.
//!
//! A reader first gets the open cases (`case`), then `snapshot`, then each event under its own name with its sequence
//! as id. A reader that comes back with `Last-Event-ID` gets what it missed instead; when that is not kept any more,
//! `reset` and then as one who begins.
//!
//! Beside them, without ids: `agents`, what changed in the fleet, see [`crate::live`]; `reset`, when some of it may
//! have been missed and `/api/fleet` has to be asked; `system`, when the guard goes blind or sees again.

use crate::access::left;
use crate::app::App;
use crate::blind::{Blind, Waiting};
use crate::live::{Reader, Update};
use crate::problems::{Answer, field};
use crate::rest::read::context::Context;
use crate::rest::read::params::Params;
use crate::view::case::CaseView;
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt};
use immune_domain::ErrorKind;
use immune_domain::case::Case;
use immune_door::Identity;
use immune_proto::convert::{nested, time};
use immune_proto::v1;
use immune_proto::v1::watch_cases_response::Change;
use immune_runtime::http::problem::Problem;
use prometheus_client::metrics::gauge::Gauge;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Status, Streaming};

/// Time between two signs of life on a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A reader's place; given back when the reader goes.
struct Place {
    _permit: OwnedSemaphorePermit,
    readers: Gauge,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.readers.dec();
    }
}

/// What a reader's stream is made of.
struct Sources {
    cases: Streaming<v1::WatchCasesResponse>,
    agents: Reader,
    system: Waiting,
    /// Whether the reader knows the open cases: the rest comes afterwards.
    knows_cases: bool,
    context: Context,
    _place: Place,
}

/// What happens to cases of the run, as it happens.
#[utoipa::path(get, path = "/api/events", tag = "operators",
    params(("Last-Event-ID" = Option<u64>, Header, description = "Go on after this event"),
           ("after" = Option<u64>, Query, description = "The same, for readers that cannot set headers")),
    responses((status = 200, description = "Server-sent events: `case`, `snapshot`, then `case_opened`, \
        `case_waiting`, `case_contained`, `case_decided`, `case_healing`, `case_healed`, `case_failed`, \
        `case_breached`, `case_released`; and without ids `agents` (agents in brief that are new or have changed), \
        `reset` (`what`: `cases`, forget them, they follow; `agents`, ask /api/fleet), `system` (`blind`)",
        content_type = "text/event-stream", body = String)))]
pub async fn watch(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    context: Context,
    params: Params,
    headers: HeaderMap,
) -> Answer<impl IntoResponse> {
    let last = headers.get("last-event-id").filter(|id| !id.is_empty());
    let after = match last {
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse().ok());
            Some(id.ok_or_else(|| field("Last-Event-ID", "is not the id of an event"))?)
        }
        None => params.parsed("after", "the id of an event")?,
    };
    let permit = app.event_streams.clone().try_acquire_owned().map_err(|_| {
        app.metrics.refuse("busy");
        Problem::new(
            ErrorKind::Overloaded,
            "dashboard.too_many_readers",
            "too many readers of live events; try again",
        )
    })?;
    app.metrics.event_streams.inc();
    let place = Place {
        _permit: permit,
        readers: app.metrics.event_streams.clone(),
    };
    // Before the cases: what changes from now on is told.
    let agents = app.live.join(&app, &context.run);
    let sources = Sources {
        cases: app.roles.watch_cases(after, Some(&context.run)).await?,
        agents,
        system: app.lookout.join(&app),
        knows_cases: after.is_some(),
        context,
        _place: place,
    };
    let events = events(sources).take_until(left(app.clone(), identity));
    Ok(Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// The events of a reader; they end when quarantine ends the watch, and the reader comes back with the last id.
fn events(sources: Sources) -> impl Stream<Item = Event> {
    futures::stream::unfold(sources, |mut sources| async move {
        loop {
            let knows_cases = sources.knows_cases;
            let event = tokio::select! {
                change = sources.cases.message() => sources.case(change)?,
                update = sources.agents.next(), if knows_cases => agents(update),
                blind = sources.system.next(), if knows_cases => system(&blind),
            };
            if let Some(event) = event {
                return Some((event, sources));
            }
        }
    })
}

impl Sources {
    /// What the reader sees of a message about cases: `None` at the end of them, `Some(None)` when it is not for this
    /// reader.
    fn case(&mut self, message: Result<Option<v1::WatchCasesResponse>, Status>) -> Option<Option<Event>> {
        let change = match message {
            Ok(message) => message?.change,
            Err(status) => {
                tracing::debug!(%status, "a watch of cases ended");
                return None;
            }
        };
        match &change {
            Some(Change::Missed(_)) => self.knows_cases = false,
            Some(Change::SnapshotDone(_)) => self.knows_cases = true,
            Some(Change::Existing(_) | Change::Event(_)) | None => {}
        }
        Some(change.and_then(|change| event(change, &self.context)))
    }
}

/// What a reader sees of changes in the fleet.
fn agents(update: Update) -> Option<Event> {
    match update {
        Update::Agents(document) => Some(Event::default().event("agents").data(&*document)),
        Update::Reset => reset("agents", "changes may have been missed: ask /api/fleet"),
    }
}

fn system(blind: &Blind) -> Option<Event> {
    Event::default()
        .event("system")
        .json_data(json!({ "blind": blind }))
        .ok()
}

/// Tells a reader that what it knows is void.
fn reset(what: &str, why: &str) -> Option<Event> {
    Event::default()
        .event("reset")
        .json_data(json!({ "what": what, "why": why }))
        .ok()
}

/// What a reader of a run sees of a change; `None` when it is not for this reader.
fn event(change: Change, context: &Context) -> Option<Event> {
    match change {
        Change::Existing(case) => {
            let case = readable(Some(case), context)?;
            Event::default()
                .event("case")
                .json_data(json!({ "case": CaseView::from(&case) }))
                .ok()
        }
        Change::SnapshotDone(snapshot) => {
            let last = snapshot.last_sequence;
            Event::default()
                .event("snapshot")
                .id(last.to_string())
                .json_data(json!({ "last_sequence": last }))
                .ok()
        }
        Change::Missed(_) => reset(
            "cases",
            "events after the one that was named are not kept any more",
        ),
        Change::Event(event) => {
            let at = time::from_wire("at", event.at).ok()?;
            let case = readable(event.case, context)?;
            let data = json!({
                "sequence": event.sequence,
                "kind": event.kind,
                "at": at.as_epoch_seconds(),
                "text": event.text,
                "run_id": case.key.run,
                "agent_id": case.key.agent,
                "case_id": case.id,
                "payload": serde_json::from_str::<Value>(&event.payload).unwrap_or(Value::Null),
                "case": CaseView::from(&case),
            });
            Event::default()
                .event(event.kind)
                .id(event.sequence.to_string())
                .json_data(data)
                .ok()
        }
    }
}

fn readable(case: Option<v1::Case>, context: &Context) -> Option<Case> {
    let case: Case = nested("case", case)
        .inspect_err(|error| tracing::error!(%error, "a watched case cannot be read"))
        .ok()?;
    (case.key.run == context.run).then_some(case)
}
