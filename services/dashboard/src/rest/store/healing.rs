//! `/api/v1/healing`: healings that client-deployed systems did, and what healings of both kinds teach.

use super::events::NAME_BYTES_MAX;
use crate::app::App;
use crate::healings::{self, Pattern};
use crate::problems::Answer;
use crate::rest::read::body::JsonObject;
use crate::rest::read::context::Context;
use crate::rest::read::fields::{Fields, TEXT_BYTES_MAX};
use crate::rest::read::params::Params;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use immune_store::PAGE_MAX;
use immune_store::client_records::RecordKind;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// A healing that a client-deployed system did.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `post` reads it")]
pub struct NewHealing {
    /// Whose.
    agent_id: String,
    /// What was treated.
    diagnosis_type: String,
    /// What was done.
    healing_action: String,
    /// Whether it helped.
    success: bool,
    /// Whether the agent was seen to be well afterwards.
    validation_passed: bool,
    /// `auto`, `after_approval`, `explicit_after_reject`; null means `auto`.
    trigger: Option<String>,
    /// Details.
    message: Option<String>,
}

/// Actions.
#[derive(Serialize, ToSchema)]
pub struct Actions {
    /// In the order of their names.
    actions: Vec<String>,
}

/// How many healings.
#[derive(Serialize, ToSchema)]
pub struct Total {
    /// How many.
    total: u64,
}

/// A share of successes.
#[derive(Serialize, ToSchema)]
pub struct Rate {
    /// 0.0 to 1.0; 0.0 when there was no healing.
    rate: f64,
}

/// Records a healing.
#[utoipa::path(post, path = "/api/v1/healing/events", tag = "store", request_body = NewHealing,
    responses((status = 204, description = "Recorded")))]
pub async fn post(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(body): JsonObject,
) -> Answer<StatusCode> {
    let mut fields = Fields::of(&body);
    let agent = fields.agent();
    fields.required_text("diagnosis_type", NAME_BYTES_MAX);
    fields.required_text("healing_action", NAME_BYTES_MAX);
    fields.required_boolean("success");
    fields.required_boolean("validation_passed");
    fields.word("trigger", &["auto", "after_approval", "explicit_after_reject"]);
    fields.text("message", TEXT_BYTES_MAX);
    fields.done()?;
    app.keep(context.agent(agent), RecordKind::Healing, body).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Actions that failed for an agent and a diagnosis and never succeeded.
#[utoipa::path(get, path = "/api/v1/healing/failed-actions", tag = "store",
    params(("agent_id" = String, Query, description = "Which agent"),
           ("diagnosis_type" = String, Query, description = "Which diagnosis")),
    responses((status = 200, description = "Which actions", body = Actions)))]
pub async fn failed_actions(
    State(app): State<Arc<App>>,
    context: Context,
    params: Params,
) -> Answer<Json<Actions>> {
    let key = context.agent(params.required_agent()?);
    let diagnosis = params.required("diagnosis_type")?;
    let actions = healings::failed_actions(&app, &key, &diagnosis).await?;
    Ok(Json(Actions { actions }))
}

/// How many healings ended.
#[utoipa::path(get, path = "/api/v1/healing/total", tag = "store",
    responses((status = 200, description = "How many", body = Total)))]
pub async fn total(State(app): State<Arc<App>>, context: Context) -> Answer<Json<Total>> {
    Ok(Json(Total {
        total: healings::tally(&app, &context.run).await?.total,
    }))
}

/// The share of healings that succeeded.
#[utoipa::path(get, path = "/api/v1/healing/success-rate", tag = "store",
    responses((status = 200, description = "The share", body = Rate)))]
pub async fn success_rate(State(app): State<Arc<App>>, context: Context) -> Answer<Json<Rate>> {
    Ok(Json(Rate {
        rate: healings::tally(&app, &context.run).await?.rate(),
    }))
}

/// The action that helped most against each diagnosis.
#[utoipa::path(get, path = "/api/v1/healing/pattern-summary", tag = "store",
    responses((status = 200, description = "By diagnosis", body = BTreeMap<String, Pattern>)))]
pub async fn pattern_summary(
    State(app): State<Arc<App>>,
    context: Context,
) -> Answer<Json<BTreeMap<String, Pattern>>> {
    let memories = app.roles.memories(&context.run, None, "", PAGE_MAX).await?;
    Ok(Json(healings::patterns(&app, &context.run, &memories).await?))
}
