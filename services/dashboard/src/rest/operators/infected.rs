//! `POST /api/agents/{agent_id}/infected`: the platform's own word.

use crate::app::App;
use crate::audit;
use crate::problems::Answer;
use crate::rest::read::body::JsonObject;
use crate::rest::read::context::Context;
use crate::rest::read::fields::Fields;
use crate::rest::read::path::AgentPath;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;

/// The longest reason, bytes.
const REASON_BYTES_MAX: usize = 2_048;

/// The platform's own word that an agent is infected.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `post` reads it")]
pub struct NewReport {
    /// How the platform knows.
    reason: String,
}

/// The case that is open now.
#[derive(Serialize, ToSchema)]
pub struct Reported {
    /// True.
    ok: bool,
    /// The case; null when the agent's policy keeps the report from opening one.
    case_id: Option<String>,
}

/// Reports an agent as infected, whatever its vitals say.
#[utoipa::path(post, path = "/api/agents/{agent_id}/infected", tag = "operators", request_body = NewReport,
    params(("agent_id" = String, Path, description = "Which agent, percent-encoded")),
    responses((status = 200, description = "The case that is open now", body = Reported)))]
pub async fn post(
    State(app): State<Arc<App>>,
    context: Context,
    AgentPath(agent): AgentPath,
    JsonObject(body): JsonObject,
) -> Answer<Json<Reported>> {
    let mut fields = Fields::of(&body);
    let reason = fields.required_text("reason", REASON_BYTES_MAX);
    fields.done()?;
    let case = app
        .roles
        .report_infected(
            &context.agent(agent.clone()),
            reason.clone(),
            &context.caller.person,
        )
        .await?;
    let details = json!({ "reason": reason, "case_id": case });
    audit::done(&app, &context, "agent_reported_infected", Some(agent), details).await?;
    Ok(Json(Reported {
        ok: true,
        case_id: Some(case).filter(|case| !case.is_empty()),
    }))
}
