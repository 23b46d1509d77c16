//! `/api/events`: what happens to cases, as server-sent events.
//!
//! A reader first gets the open cases (`case`), then `snapshot`, then each event under its own name with its sequence
//! as id. A reader that comes back with `Last-Event-ID` gets what it missed instead.

use crate::app::App;
use crate::problems::{Answer, field};
use crate::rest::read::context::Context;
use crate::rest::read::params::Params;
use crate::view::case::CaseView;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt};
use immune_domain::ErrorKind;
use immune_domain::case::Case;
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
use tonic::Streaming;

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

/// What happens to cases of the run, as it happens.
#[utoipa::path(get, path = "/api/events", tag = "operators",
    params(("Last-Event-ID" = Option<u64>, Header, description = "Go on after this event"),
           ("after" = Option<u64>, Query, description = "The same, for readers that cannot set headers")),
    responses((status = 200, description = "Server-sent events: `case`, `snapshot`, then `case_opened`, \
        `case_waiting`, `case_contained`, `case_decided`, `case_healing`, `case_healed`, `case_failed`, \
        `case_breached`, `case_released`", content_type = "text/event-stream", body = String)))]
pub async fn watch(
    State(app): State<Arc<App>>,
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
    let changes = app.roles.watch_cases(after).await?;
    let events = events(changes, context, place).take_until(app.stopped.clone().cancelled_owned());
    Ok(Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// The events of a watch; they end when quarantine ends the watch, and the reader comes back with the last id.
fn events(
    changes: Streaming<v1::WatchCasesResponse>,
    context: Context,
    place: Place,
) -> impl Stream<Item = Event> {
    futures::stream::unfold(
        (changes, context, place),
        |(mut changes, context, place)| async move {
            loop {
                let change = match changes.message().await {
                    Ok(Some(change)) => change.change,
                    Ok(None) => return None,
                    Err(status) => {
                        tracing::debug!(%status, "a watch of cases ended");
                        return None;
                    }
                };
                if let Some(event) = change.and_then(|change| event(change, &context)) {
                    return Some((event, (changes, context, place)));
                }
            }
        },
    )
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
