//! `GET /api/v1/agents/{agent_id}/admission`: may this agent act?

use crate::app::App;
use crate::problems::Answer;
use crate::rest::read::context::Context;
use crate::rest::read::path::AgentPath;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Whether an agent may act.
#[derive(Serialize, ToSchema)]
pub struct Admission {
    /// Which agent.
    agent_id: String,
    /// Whether it may act.
    allowed: bool,
    /// Why not.
    reason: Option<String>,
    /// The case that denies it.
    case_id: Option<String>,
}

/// May this agent act? An agent that nobody knows may.
#[utoipa::path(get, path = "/api/v1/agents/{agent_id}/admission", tag = "operators",
    params(("agent_id" = String, Path, description = "Which agent, percent-encoded")),
    responses((status = 200, description = "Whether it may, and why not", body = Admission)))]
pub async fn check(
    State(app): State<Arc<App>>,
    context: Context,
    AgentPath(agent): AgentPath,
) -> Answer<Json<Admission>> {
    let key = context.agent(agent);
    let answer = app.roles.admission(&key).await?;
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(Json(Admission {
        agent_id: key.agent.to_string(),
        allowed: answer.allowed,
        reason: given(answer.reason),
        case_id: given(answer.case_id),
    }))
}
