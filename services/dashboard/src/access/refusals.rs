//! Refused writes go into the action log, too. Strangers cannot fill it: beyond a number of rows per minute, refusals
//! are counted and the count goes into the next row.

use axum::http::Method;
use immune_domain::{RunId, Timestamp};
use immune_runtime::access::Caller;
use immune_store::ActionLog;
use immune_store::action_log::{LogRow, RowLimit};
use serde_json::json;

/// The longest path that is recorded, characters.
const PATH_CHARS_MAX: usize = 300;

/// A write that was refused at the door.
pub(crate) struct Refused<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    /// `None`: nobody was verified.
    pub caller: Option<&'a Caller>,
    pub because: &'static str,
}

/// Writes refusals down, within a limit.
#[derive(Debug, Default)]
pub(crate) struct Refusals(RowLimit);

impl Refusals {
    pub async fn record(&self, refused: Refused<'_>, now: Timestamp, log: &dyn ActionLog) {
        let Some(unwritten) = self.0.admit(now) else {
            return;
        };
        // Never the run that the request names: nobody has shown that the caller may write there.
        let run = refused
            .caller
            .and_then(|caller| caller.runs.first().cloned())
            .unwrap_or_default();
        let path: String = refused.path.chars().take(PATH_CHARS_MAX).collect();
        let row = row(
            run,
            now,
            refused.caller,
            refused.method,
            &path,
            refused.because,
            unwritten,
        );
        if let Err(error) = log.append(&[row]).await {
            tracing::error!(%error, because = refused.because, "a refused write could not be recorded");
        }
    }
}

fn row(
    run: RunId,
    at: Timestamp,
    caller: Option<&Caller>,
    method: &Method,
    path: &str,
    because: &str,
    unwritten: u64,
) -> LogRow {
    let (actor, via) = match caller {
        Some(caller) => (caller.person.subject.clone(), caller.person.via.clone()),
        None => ("unknown".to_owned(), "none".to_owned()),
    };
    let reason = format!("{method} {path}: {because}");
    LogRow {
        run,
        at,
        kind: "request_refused".to_owned(),
        agent: None,
        actor,
        outcome: "refused".to_owned(),
        payload: json!({ "reason": reason, "refused_because": because, "via": via, "unwritten_before": unwritten }),
    }
}
