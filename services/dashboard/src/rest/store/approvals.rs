//! `/api/v1/approvals`: what client-deployed systems ask people for, and what people answered.

use super::events::NAME_BYTES_MAX;
use crate::app::App;
use crate::approvals::{self, APPROVED, HEAL_NOW, PENDING, REJECTED};
use crate::audit;
use crate::problems::Answer;
use crate::rest::read::body::JsonObject;
use crate::rest::read::context::Context;
use crate::rest::read::fields::{Fields, POSITIVE, TEXT_BYTES_MAX};
use crate::rest::read::params::Params;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use immune_runtime::access::Role;
use immune_store::client_records::RecordKind;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use utoipa::ToSchema;

/// Where it is posted.
const PATH: &str = "/api/v1/approvals";

/// An approval that a client-deployed system asks for, or a decision that was taken there.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `post` reads it")]
pub struct NewApproval {
    /// Whose.
    agent_id: String,
    /// `pending`, `approved`, `rejected`, `heal_now`.
    decision: String,
    /// 0 to 10; newer clients send `max_deviation` instead.
    severity: Option<f64>,
    /// Standard deviations.
    max_deviation: Option<f64>,
    /// What departed.
    anomalies: Option<Vec<String>>,
    /// The diagnosis.
    diagnosis_type: Option<String>,
    /// Why.
    reasoning: Option<String>,
    /// Whatever the client wants back.
    #[schema(value_type = Option<Object>)]
    infection_payload: Option<Value>,
}

/// Records a request for approval or a decision.
#[utoipa::path(post, path = "/api/v1/approvals", tag = "store", request_body = NewApproval,
    responses((status = 204, description = "Recorded")))]
pub async fn post(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(mut body): JsonObject,
) -> Answer<StatusCode> {
    let mut fields = Fields::of(&body);
    let agent = fields.agent();
    let decision = fields.required_word("decision", &[PENDING, APPROVED, REJECTED, HEAL_NOW]);
    fields.number("severity", POSITIVE);
    fields.number("max_deviation", POSITIVE);
    fields.texts("anomalies");
    fields.text("diagnosis_type", NAME_BYTES_MAX);
    fields.text("reasoning", TEXT_BYTES_MAX);
    fields.object("infection_payload");
    fields.done()?;
    let caller = &context.caller;
    if decision != PENDING && caller.role == Role::Ingest {
        let detail = format!(
            "{} has role ingest, which may ask for approvals and not decide them",
            caller.person.subject
        );
        return Err(audit::forbidden(&app, &context, PATH, "role", "access.role", detail).await);
    }
    // Who decided comes from the verified caller, whatever the body says.
    body.remove("decided_by");
    if decision != PENDING {
        body.insert("decided_by".to_owned(), json!(caller.person.subject));
    }
    let field = |name: &str| body.get(name).cloned().unwrap_or(Value::Null);
    let details = json!({
        "severity": field("severity"), "diagnosis_type": field("diagnosis_type"), "decision": decision,
        "reason": field("reasoning"), "posted": true,
    });
    app.keep(context.agent(agent.clone()), RecordKind::Approval, body)
        .await?;
    let kind = match decision {
        APPROVED => "user_approved",
        REJECTED => "user_rejected",
        HEAL_NOW => "explicit_heal_requested",
        // Who asks decides nothing.
        _pending => return Ok(StatusCode::NO_CONTENT),
    };
    audit::done(&app, &context, kind, Some(agent), details).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The latest word on an agent, an empty object when there is none; without an agent, on each agent by its id.
#[utoipa::path(get, path = "/api/v1/approvals/latest", tag = "store",
    params(("agent_id" = Option<String>, Query, description = "Which agent; without it all")),
    responses((status = 200, description = "The record, or an object of records by agent id", body = Object)))]
pub async fn latest(State(app): State<Arc<App>>, context: Context, params: Params) -> Answer<Json<Value>> {
    if let Some(agent) = params.agent("agent_id")? {
        let latest = approvals::latest(&app, &context.agent(agent)).await?;
        return Ok(Json(
            latest.map_or_else(|| json!({}), |approval| approval.to_latest()),
        ));
    }
    let all = approvals::latest_all(&app, &context.run).await?;
    let by_agent: Map<String, Value> = all
        .into_iter()
        .map(|(agent, approval)| (agent.to_string(), approval.to_latest()))
        .collect();
    Ok(Json(Value::Object(by_agent)))
}

/// Agents that wait for a person, the oldest first.
#[utoipa::path(get, path = "/api/v1/approvals/pending", tag = "store",
    responses((status = 200, description = "Who waits, since when and why", body = Vec<Object>)))]
pub async fn pending(State(app): State<Arc<App>>, context: Context) -> Answer<Json<Vec<Value>>> {
    listed(&app, &context, PENDING, "requested_at").await
}

/// Agents that a person refused to heal, the oldest first.
#[utoipa::path(get, path = "/api/v1/approvals/rejected", tag = "store",
    responses((status = 200, description = "Who was rejected, when and why", body = Vec<Object>)))]
pub async fn rejected(State(app): State<Arc<App>>, context: Context) -> Answer<Json<Vec<Value>>> {
    listed(&app, &context, REJECTED, "rejected_at").await
}

/// Agents whose latest word is this one.
pub(crate) async fn listed(
    app: &App,
    context: &Context,
    decision: &str,
    at: &str,
) -> Answer<Json<Vec<Value>>> {
    let found = approvals::with_decision(app, &context.run, decision).await?;
    Ok(Json(
        found.iter().map(|approval| approval.to_listed(at)).collect(),
    ))
}
