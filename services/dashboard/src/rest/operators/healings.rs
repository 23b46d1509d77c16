//! `/api/healings`: what was done, newest first.

use crate::app::App;
use crate::healings::{self, HealingView};
use crate::problems::{Answer, field};
use crate::rest::read::LIMIT_DEFAULT;
use crate::rest::read::context::Context;
use crate::rest::read::params::Params;
use axum::Json;
use axum::extract::State;
use immune_domain::{CaseId, id};
use std::sync::Arc;

/// Rows at most.
const LIMIT_MAX: u32 = 1_000;

/// Healings of the run, newest first.
#[utoipa::path(get, path = "/api/healings", tag = "operators",
    params(("agent_id" = Option<String>, Query, description = "Only of this agent"),
           ("case_id" = Option<String>, Query, description = "Only of this case"),
           ("limit" = Option<u32>, Query, description = "How many; default 100, at most 1,000")),
    responses((status = 200, description = "Healings", body = Vec<HealingView>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    context: Context,
    params: Params,
) -> Answer<Json<Vec<HealingView>>> {
    let agent = params.agent("agent_id")?;
    let case = match params.text("case_id")? {
        Some(case) if !id::is_well_formed(&case) => return Err(field("case_id", "is not a case id")),
        case => case.map(CaseId::from),
    };
    let limit = params.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    Ok(Json(
        healings::recent(&app, &context.run, agent.as_ref(), case.as_ref(), limit).await?,
    ))
}
