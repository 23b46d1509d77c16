//! `/api/memory`: what helped whom against what, and people's word on it.

use crate::app::App;
use crate::problems::Answer;
use crate::rest::operators::{DONE, Done};
use crate::rest::read::body::JsonObject;
use crate::rest::read::context::Context;
use crate::rest::read::fields::Fields;
use crate::rest::read::params::Params;
use crate::view::agent::MemoryView;
use axum::Json;
use axum::extract::State;
use immune_domain::diagnosis::Diagnosis;
use immune_domain::healing::Action;
use immune_domain::memory::Pin;
use immune_store::PAGE_MAX;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Rows when the caller names no number.
const LIMIT_DEFAULT: u32 = 1_000;

/// A person's word on an action.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `pin` reads it")]
pub struct NewPin {
    /// Which agent.
    agent_id: String,
    /// Against what.
    diagnosis_type: String,
    /// Which action.
    action: String,
    /// `prefer`, `avoid`, or null for neither.
    pin: Option<String>,
}

/// What is to be forgotten.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `forget` reads it")]
pub struct NewForget {
    /// Which agent.
    agent_id: String,
    /// Against what.
    diagnosis_type: String,
    /// Which action; null means every one.
    action: Option<String>,
}

/// What was forgotten.
#[derive(Serialize, ToSchema)]
pub struct Forgotten {
    /// True.
    ok: bool,
    /// How many memories.
    forgotten: u64,
}

/// Immune memory of the run.
#[utoipa::path(get, path = "/api/memory", tag = "operators",
    params(("agent_id" = Option<String>, Query, description = "Only of this agent"),
           ("diagnosis_type" = Option<String>, Query, description = "Only of this diagnosis"),
           ("limit" = Option<u32>, Query, description = "How many; default 1,000, at most 10,000")),
    responses((status = 200, description = "What helped whom against what", body = Vec<MemoryView>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    context: Context,
    params: Params,
) -> Answer<Json<Vec<MemoryView>>> {
    let agent = params.agent("agent_id")?;
    let diagnosis = params.parsed::<Diagnosis>("diagnosis_type", "a diagnosis")?;
    let limit = params.limit(LIMIT_DEFAULT, PAGE_MAX)?;
    let word = diagnosis.map(Diagnosis::as_str).unwrap_or_default();
    let memories = app
        .roles
        .memories(&context.run, agent.as_ref(), word, limit)
        .await?;
    Ok(Json(memories.iter().map(MemoryView::from).collect()))
}

/// Prefers or avoids an action, whatever its outcomes.
#[utoipa::path(post, path = "/api/memory/pin", tag = "operators", request_body = NewPin,
    responses((status = 200, description = "Pinned", body = Done)))]
pub async fn pin(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(body): JsonObject,
) -> Answer<Json<Done>> {
    let mut fields = Fields::of(&body);
    let agent = fields.agent();
    let diagnosis = diagnosis(&mut fields);
    let action = fields.required_word("action", &Action::ALL.map(Action::as_str));
    let pin = fields.word("pin", &[Pin::Prefer.as_str(), Pin::Avoid.as_str()]);
    fields.done()?;
    let action = action
        .parse()
        .map_err(|_| crate::problems::field("action", "is not an action"))?;
    let pin = pin.and_then(|pin| pin.parse::<Pin>().ok());
    app.roles
        .pin_memory(
            &context.agent(agent),
            diagnosis,
            action,
            pin,
            &context.caller.person,
        )
        .await?;
    Ok(Json(DONE))
}

/// Forgets outcomes, so that actions are tried anew.
#[utoipa::path(post, path = "/api/memory/forget", tag = "operators", request_body = NewForget,
    responses((status = 200, description = "Forgotten", body = Forgotten)))]
pub async fn forget(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(body): JsonObject,
) -> Answer<Json<Forgotten>> {
    let mut fields = Fields::of(&body);
    let agent = fields.agent();
    let diagnosis = diagnosis(&mut fields);
    let action = fields.word("action", &Action::ALL.map(Action::as_str));
    fields.done()?;
    let action = action.and_then(|action| action.parse::<Action>().ok());
    let key = context.agent(agent);
    let forgotten = app
        .roles
        .forget_memory(&key, diagnosis, action, &context.caller.person)
        .await?;
    Ok(Json(Forgotten { ok: true, forgotten }))
}

fn diagnosis(fields: &mut Fields<'_>) -> String {
    fields
        .required_word("diagnosis_type", &Diagnosis::ALL.map(Diagnosis::as_str))
        .to_owned()
}
