//! `/api/action-log`: who did what, to what, when, why, with what outcome.

use crate::app::App;
use crate::problems::{Answer, stored};
use crate::rest::read::LIMIT_DEFAULT;
use crate::rest::read::context::Context;
use crate::rest::read::params::Params;
use crate::rest::store::action_log::short;
use axum::Json;
use axum::extract::State;
use immune_store::PAGE_MAX;
use serde_json::{Value, json};
use std::sync::Arc;

/// Rows of the action log, newest first.
#[utoipa::path(get, path = "/api/action-log", tag = "operators",
    params(("before" = Option<u64>, Query, description = "Only rows older than the one with this sequence"),
           ("limit" = Option<u32>, Query, description = "How many; default 100, at most 10,000")),
    responses((status = 200, description = "Each with sequence, type, agent_id, actor, outcome, timestamp, reason, \
        payload", body = Vec<Object>)))]
pub async fn list(State(app): State<Arc<App>>, context: Context, params: Params) -> Answer<Json<Vec<Value>>> {
    let before = params.parsed("before", "the sequence of a row")?;
    let limit = params.limit(LIMIT_DEFAULT, PAGE_MAX)?;
    let rows = app
        .action_log
        .recent(&context.run, before, limit)
        .await
        .map_err(stored)?;
    let whole = rows.iter().map(|stored| {
        let row = &stored.row;
        let mut whole = short(stored);
        whole["sequence"] = json!(stored.sequence);
        whole["actor"] = json!(row.actor);
        whole["outcome"] = json!(row.outcome);
        whole["reason"] = row.payload.get("reason").cloned().unwrap_or(Value::Null);
        whole["payload"] = row.payload.clone();
        whole
    });
    Ok(Json(whole.collect()))
}
