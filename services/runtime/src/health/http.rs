//! `/livez`, `/readyz` and `/metrics` on one listener.

use super::Readiness;
use crate::metrics;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use prometheus_client::registry::Registry;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves until the token is cancelled. `/livez` answers 200 as long as the process runs; `/readyz` 200 or 503 with
/// the conditions as JSON; `/metrics` the registry.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    registry: Arc<Registry>,
    readiness: Readiness,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(readiness)
        .merge(metrics::router(registry));
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let report = readiness.report();
    let status = match report.ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(report)).into_response()
}
