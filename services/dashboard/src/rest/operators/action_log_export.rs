//! `/api/action-log/export`: the whole log as JSON lines, for keeping elsewhere and for `immune verify-log --file`.

use crate::app::App;
use crate::problems::{Answer, stored};
use crate::rest::read::context::Context;
use crate::rest::read::params::Params;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use futures::StreamExt;
use immune_domain::ErrorKind;
use immune_runtime::access::Caller;
use immune_runtime::http::problem::Problem;
use immune_store::action_log::{Link, LinkHash, StoredRow, line, other_run_line};
use std::io;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Rows that are held at a time.
const PAGE: u32 = 100;

/// The last link of the chain when the export began.
const HEAD: HeaderName = HeaderName::from_static("x-action-log-head");
/// The link after which the export begins.
const START: HeaderName = HeaderName::from_static("x-action-log-start");

/// An export under way.
struct Export {
    app: Arc<App>,
    caller: Caller,
    at: Link,
    head: Link,
    /// A reader's place; given back at the end.
    _permit: OwnedSemaphorePermit,
}

/// Every row that the caller may see, oldest first, of all runs, as JSON lines. Each has its hash and that of the row
/// before it; of rows of other runs than the caller's only these are given, so that the chain does not break.
#[utoipa::path(get, path = "/api/action-log/export", tag = "operators",
    params(("after" = Option<String>, Query, description = "Only rows after this link, `SEQUENCE:HASH`, the last of \
        an earlier export")),
    responses((status = 200, description = "One JSON object a line: sequence, at, run_id, type, agent_id, actor, \
        outcome, payload, previous_hash, hash; for rows of other runs sequence, other_run, previous_hash, hash. The \
        headers `x-action-log-start` and `x-action-log-head` hold the links between which they lie",
        content_type = "application/x-ndjson", body = String)))]
pub async fn export(
    State(app): State<Arc<App>>,
    context: Context,
    params: Params,
) -> Answer<impl IntoResponse> {
    let after: Option<Link> = params.parsed("after", "a link as SEQUENCE:HASH")?;
    let permit = app.event_streams.clone().try_acquire_owned().map_err(|_| {
        app.metrics.refuse("busy");
        Problem::new(
            ErrorKind::Overloaded,
            "dashboard.too_many_readers",
            "too many readers of live events and exports; try again",
        )
    })?;
    let chain = app.action_log.chain().await.map_err(stored)?;
    // What retention has removed is not there to be exported.
    let start = after.filter(|after| after.sequence >= chain.start.sequence);
    let export = Export {
        at: start.unwrap_or(chain.start),
        head: chain.head,
        caller: context.caller,
        _permit: permit,
        app: app.clone(),
    };
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"action-log.jsonl\"".to_owned(),
        ),
        (START, export.at.to_string()),
        (HEAD, export.head.to_string()),
    ];
    let lines = futures::stream::unfold(Some(export), |export| async move { export?.page().await });
    let stopped = app.stopped.clone().cancelled_owned();
    Ok((headers, Body::from_stream(lines.take_until(stopped))))
}

impl Export {
    /// The next lines; after an error the answer breaks off, so that nobody takes a part for the whole.
    async fn page(mut self) -> Option<(io::Result<Bytes>, Option<Self>)> {
        if self.at.sequence >= self.head.sequence {
            return None;
        }
        let rows = match self.app.action_log.after(self.at.sequence, PAGE).await {
            Ok(rows) => rows,
            Err(error) => {
                let problem = stored(error);
                return Some((Err(io::Error::other(problem.detail)), None));
            }
        };
        let mut lines = String::new();
        for row in rows.iter().filter(|row| row.sequence <= self.head.sequence) {
            // A row among others without a hash was put there; verification says so.
            let hash = row.hash.unwrap_or(LinkHash::ZERO);
            lines.push_str(&self.line(row, hash));
            lines.push('\n');
            self.at = Link {
                sequence: row.sequence,
                hash,
            };
        }
        if lines.is_empty() {
            return None;
        }
        Some((Ok(Bytes::from(lines)), Some(self)))
    }

    fn line(&self, row: &StoredRow, hash: LinkHash) -> String {
        if self.caller.may_use(&row.row.run) {
            line(self.at.hash, row, hash)
        } else {
            other_run_line(self.at.hash, row.sequence, hash)
        }
    }
}
