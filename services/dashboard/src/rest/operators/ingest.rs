//! `POST /api/v1/ingest` and `/api/v1/agents/register`: what newer clients of the original use.

use crate::app::App;
use crate::audit;
use crate::problems::Answer;
use crate::rest::operators::{DONE, Done};
use crate::rest::read::body::JsonObject;
use crate::rest::read::context::Context;
use crate::rest::read::fields::Fields;
use crate::rest::store::{Limits, read_vitals};
use axum::Json;
use axum::extract::State;
use immune_store::client_records::RecordKind;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// How far an execution may lie from now.
const LIMITS: Limits = Limits {
    ahead: Some(Duration::from_secs(5 * 60)),
    behind: Some(Duration::from_secs(3_600)),
};
/// The longest text of a registration, bytes.
const WORD_BYTES_MAX: usize = 512;

/// What was taken in.
#[derive(Serialize, ToSchema)]
pub struct Ingested {
    /// True.
    ok: bool,
    /// The execution's id.
    execution_id: String,
}

/// An agent that is expected.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `register` reads it")]
pub struct NewAgent {
    /// Which agent.
    agent_id: String,
    /// Kind of agent.
    agent_type: Option<String>,
    /// Model that it uses.
    model: Option<String>,
    /// MCP servers that it uses.
    mcp_servers: Option<Vec<String>>,
}

/// Records one execution that ended within the last hour.
#[utoipa::path(post, path = "/api/v1/ingest", tag = "operators", request_body = crate::rest::store::NewVitals,
    responses((status = 200, description = "Recorded", body = Ingested)))]
pub async fn ingest(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(body): JsonObject,
) -> Answer<Json<Ingested>> {
    let vitals = read_vitals(&app, &context, &body, LIMITS)?;
    let execution_id = vitals.execution.to_string();
    app.roles.record_vitals(vitals).await?;
    Ok(Json(Ingested {
        ok: true,
        execution_id,
    }))
}

/// Registers an agent, so that it is listed before its first execution.
#[utoipa::path(post, path = "/api/v1/agents/register", tag = "operators", request_body = NewAgent,
    responses((status = 200, description = "Registered", body = Done)))]
pub async fn register(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(body): JsonObject,
) -> Answer<Json<Done>> {
    let mut fields = Fields::of(&body);
    let agent = fields.agent();
    fields.text("agent_type", WORD_BYTES_MAX);
    fields.text("type", WORD_BYTES_MAX);
    fields.text("model", WORD_BYTES_MAX);
    fields.texts("mcp_servers");
    fields.done()?;
    let details = json!({ "model": body.get("model"), "agent_type": body.get("agent_type") });
    app.keep(context.agent(agent.clone()), RecordKind::Registration, body)
        .await?;
    audit::done(&app, &context, "agent_registered", Some(agent), details).await?;
    Ok(Json(DONE))
}
