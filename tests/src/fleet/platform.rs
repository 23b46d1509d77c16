//! The Agent Lifecycle API of the fleet, over HTTP.

use super::Shared;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Order {
    action: String,
    case_id: String,
    idempotency_key: String,
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new()
        .route("/agents/{agent_id}", get(state))
        .route("/agents/{agent_id}/actions", axum::routing::post(act))
        .with_state(shared);
    // Ends only with the task.
    let _ = axum::serve(listener, router).await;
}

async fn act(
    State(shared): State<Arc<Shared>>,
    Path(agent): Path<String>,
    Json(order): Json<Order>,
) -> (StatusCode, Json<Value>) {
    let outcome = shared
        .lock()
        .act(&agent, &order.action, &order.case_id, &order.idempotency_key);
    match outcome {
        Some(outcome) => {
            let detail = format!("{} of {agent}", order.action);
            (
                StatusCode::OK,
                Json(json!({ "outcome": outcome, "detail": detail })),
            )
        }
        None => (StatusCode::NOT_FOUND, Json(json!({ "title": "no such agent" }))),
    }
}

async fn state(State(shared): State<Arc<Shared>>, Path(agent): Path<String>) -> (StatusCode, Json<Value>) {
    match shared.lock().is_contained(&agent) {
        Some(is_contained) => {
            let state = if is_contained { "quarantined" } else { "running" };
            (
                StatusCode::OK,
                Json(json!({ "agent_id": agent, "contained": is_contained, "state": state })),
            )
        }
        None => (StatusCode::NOT_FOUND, Json(json!({ "title": "no such agent" }))),
    }
}
