//! `/api/v1/action-log`: the audit record as the original's clients write and read it.

use crate::app::App;
use crate::problems::{Answer, stored};
use crate::rest::read::body::JsonObject;
use crate::rest::read::context::Context;
use crate::rest::read::fields::Fields;
use crate::rest::read::params::Params;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use immune_store::PAGE_MAX;
use immune_store::action_log::{LogRow, StoredRow};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use utoipa::ToSchema;

/// Rows when the caller names no number.
const LIMIT_DEFAULT: u32 = 50;
/// The longest name of an action, bytes.
const KIND_BYTES_MAX: usize = 128;

/// A row that a client-deployed system writes.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `post` reads it")]
pub struct NewLogRow {
    /// What: `approval_requested`, `user_approved`, `user_rejected`, `explicit_heal_requested`, `healing_attempt`, ...
    action_type: String,
    /// To whom.
    agent_id: String,
    /// severity, diagnosis_type, action, success, trigger, and whatever else.
    #[schema(value_type = Object)]
    payload: Value,
}

/// Writes a row. Its actor is the verified caller.
#[utoipa::path(post, path = "/api/v1/action-log", tag = "store", request_body = NewLogRow,
    responses((status = 204, description = "Written")))]
pub async fn post(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(body): JsonObject,
) -> Answer<StatusCode> {
    let mut fields = Fields::of(&body);
    let kind = fields.required_text("action_type", KIND_BYTES_MAX);
    let agent = fields.agent();
    if !body.contains_key("payload") {
        fields.mistake("payload", "is missing");
    }
    let mut payload: Map<String, Value> = fields.object("payload").cloned().unwrap_or_default();
    fields.done()?;
    // Told apart from what this system did itself.
    payload.insert("posted".to_owned(), json!(true));
    let row = LogRow {
        run: context.run.clone(),
        at: app.clock.now(),
        kind,
        agent: Some(agent),
        actor: context.caller.person.subject.clone(),
        outcome: "done".to_owned(),
        payload: Value::Object(payload),
    };
    app.action_log.append(&[row]).await.map_err(stored)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The latest rows, newest first.
#[utoipa::path(get, path = "/api/v1/action-log/recent", tag = "store",
    params(("limit" = Option<u32>, Query, description = "How many, at least 1; default 50, at most 10,000")),
    responses((status = 200, description = "Each with type, agent_id, timestamp, severity, diagnosis_type, action, \
        success and trigger", body = Vec<Object>)))]
pub async fn recent(
    State(app): State<Arc<App>>,
    context: Context,
    params: Params,
) -> Answer<Json<Vec<Value>>> {
    let limit = params.limit(LIMIT_DEFAULT, PAGE_MAX)?;
    let rows = app
        .action_log
        .recent(&context.run, None, limit)
        .await
        .map_err(stored)?;
    Ok(Json(rows.iter().map(short).collect()))
}

/// A row as the original's clients read it.
pub(crate) fn short(stored: &StoredRow) -> Value {
    let row = &stored.row;
    let field = |name: &str| row.payload.get(name).cloned().unwrap_or(Value::Null);
    json!({
        "type": row.kind,
        "agent_id": row.agent,
        "timestamp": row.at.as_epoch_seconds(),
        "severity": field("severity"),
        "diagnosis_type": field("diagnosis_type"),
        "action": field("action"),
        "success": field("success"),
        "trigger": field("trigger"),
    })
}
