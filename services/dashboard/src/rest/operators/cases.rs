//! `/api/cases`: cases, and people's decisions on them.

use crate::app::App;
use crate::outlook;
use crate::problems::{Answer, field, no_case};
use crate::rest::read::LIMIT_DEFAULT;
use crate::rest::read::body::OptionalObject;
use crate::rest::read::context::Context;
use crate::rest::read::fields::{Fields, TEXT_BYTES_MAX};
use crate::rest::read::params::Params;
use crate::rest::read::path::CasePath;
use crate::roles::CaseQuery;
use crate::view::case::{CaseView, PlanView, SkippedView, WholeCase};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::IntoResponse;
use immune_domain::case::{Case, Decision};
use immune_domain::{CaseId, id};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// Rows at most.
const LIMIT_MAX: u32 = 1_000;
/// The states that can be asked for.
const STATES: [&str; 7] = [
    "awaiting_approval",
    "rejected",
    "heal_queued",
    "healing",
    "probation",
    "healed",
    "released",
];

/// A decision.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `decide` reads it")]
pub struct NewDecision {
    /// Why, for the record; a release must say why.
    reason: Option<String>,
    /// The decision is refused unless the case still has this version.
    expected_version: Option<u64>,
}

/// Cases of the run, newest first.
#[utoipa::path(get, path = "/api/cases", tag = "operators",
    params(("open" = Option<bool>, Query, description = "Only open or only closed ones"),
           ("agent_id" = Option<String>, Query, description = "Only of this agent"),
           ("state" = Option<String>, Query, description = "Only in these states, separated by commas"),
           ("before" = Option<String>, Query, description = "The page begins after this case"),
           ("limit" = Option<u32>, Query, description = "How many; default 100, at most 1,000")),
    responses((status = 200, description = "Cases; `X-Next-Before` says where the next page begins",
        body = Vec<CaseView>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    context: Context,
    params: Params,
) -> Answer<impl IntoResponse> {
    let states = params.text("state")?.unwrap_or_default();
    let states: Vec<String> = states
        .split(',')
        .filter(|state| !state.is_empty())
        .map(str::to_owned)
        .collect();
    if let Some(unknown) = states.iter().find(|state| !STATES.contains(&state.as_str())) {
        return Err(field(
            "state",
            format!("is {unknown:?}, not one of {}", STATES.join(", ")),
        ));
    }
    let before = match params.text("before")? {
        Some(before) if !id::is_well_formed(&before) => return Err(field("before", "is not a case id")),
        before => before.map(CaseId::from),
    };
    let limit = params.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let query = CaseQuery {
        agent: params.agent("agent_id")?,
        open: params.parsed("open", "true or false")?,
        states,
        before,
        limit,
    };
    let cases = app.roles.cases(&context.run, query).await?;
    let mut headers = HeaderMap::new();
    if let Some(last) = cases.last().filter(|_| cases.len() == limit as usize)
        && let Ok(next) = HeaderValue::from_str(last.id.as_str())
    {
        headers.insert("x-next-before", next);
    }
    Ok((
        headers,
        Json(cases.iter().map(CaseView::from).collect::<Vec<_>>()),
    ))
}

/// One case: its timeline, its evidence, and what would be done next.
#[utoipa::path(get, path = "/api/cases/{case_id}", tag = "operators",
    params(("case_id" = String, Path, description = "Which case")),
    responses((status = 200, description = "The case", body = WholeCase),
              (status = 404, description = "There is none")))]
pub async fn get(
    State(app): State<Arc<App>>,
    context: Context,
    CasePath(case_id): CasePath,
) -> Answer<Json<WholeCase>> {
    let case = find(&app, &context, &case_id).await?;
    let (plan, affected, probation) = tokio::join!(
        plan(&app, &case),
        outlook::affected(&app, &case),
        outlook::probation(&app, &case),
    );
    Ok(Json(WholeCase {
        plan,
        affected,
        probation,
        ..WholeCase::of(&case)
    }))
}

/// Approves healing.
#[utoipa::path(post, path = "/api/cases/{case_id}/approve", tag = "operators", request_body = NewDecision,
    params(("case_id" = String, Path, description = "Which case")),
    responses((status = 200, description = "The case as it is now", body = WholeCase),
              (status = 409, description = "Somebody else has decided; the detail names who")))]
pub async fn approve(
    State(app): State<Arc<App>>,
    context: Context,
    CasePath(case_id): CasePath,
    OptionalObject(body): OptionalObject,
) -> Answer<Json<WholeCase>> {
    decide(&app, &context, &case_id, Decision::Approve, &body).await
}

/// Refuses healing; the agent stays contained.
#[utoipa::path(post, path = "/api/cases/{case_id}/reject", tag = "operators", request_body = NewDecision,
    params(("case_id" = String, Path, description = "Which case")),
    responses((status = 200, description = "The case as it is now", body = WholeCase),
              (status = 409, description = "Somebody else has decided; the detail names who")))]
pub async fn reject(
    State(app): State<Arc<App>>,
    context: Context,
    CasePath(case_id): CasePath,
    OptionalObject(body): OptionalObject,
) -> Answer<Json<WholeCase>> {
    decide(&app, &context, &case_id, Decision::Reject, &body).await
}

/// Heals although it was rejected, or before it is decided.
#[utoipa::path(post, path = "/api/cases/{case_id}/heal-now", tag = "operators", request_body = NewDecision,
    params(("case_id" = String, Path, description = "Which case")),
    responses((status = 200, description = "The case as it is now", body = WholeCase),
              (status = 409, description = "It is being healed already, or somebody else has decided")))]
pub async fn heal_now(
    State(app): State<Arc<App>>,
    context: Context,
    CasePath(case_id): CasePath,
    OptionalObject(body): OptionalObject,
) -> Answer<Json<WholeCase>> {
    decide(&app, &context, &case_id, Decision::HealNow, &body).await
}

/// Lets the agent go as it is. Needs a reason.
#[utoipa::path(post, path = "/api/cases/{case_id}/release", tag = "operators", request_body = NewDecision,
    params(("case_id" = String, Path, description = "Which case")),
    responses((status = 200, description = "The case as it is now", body = WholeCase),
              (status = 400, description = "There is no reason"),
              (status = 409, description = "The case has ended")))]
pub async fn release(
    State(app): State<Arc<App>>,
    context: Context,
    CasePath(case_id): CasePath,
    OptionalObject(body): OptionalObject,
) -> Answer<Json<WholeCase>> {
    decide(&app, &context, &case_id, Decision::Release, &body).await
}

async fn decide(
    app: &App,
    context: &Context,
    id: &CaseId,
    decision: Decision,
    body: &Map<String, Value>,
) -> Answer<Json<WholeCase>> {
    let mut fields = Fields::of(body);
    let reason = fields.text("reason", TEXT_BYTES_MAX).unwrap_or_default();
    let expected_version = fields.integer("expected_version", u64::MAX).unwrap_or_default();
    fields.done()?;
    // One call: quarantine knows of no case of a run that the caller may not use. What would be done next takes the
    // healer's time, and is read with the case when somebody wants to see it.
    let caller = &context.caller;
    let case = app
        .roles
        .decide(id, decision, reason, expected_version, caller)
        .await?;
    Ok(Json(WholeCase::of(&case)))
}

/// A case of a run that the caller may use; any other does not exist for the caller.
async fn find(app: &App, context: &Context, id: &CaseId) -> Answer<Case> {
    let case = app.roles.case(id).await?;
    if context.may_see(&case) {
        Ok(case)
    } else {
        Err(no_case(id.as_str()))
    }
}

/// How long a case waits for the plan.
const PLAN_WAIT_MAX: Duration = Duration::from_millis(500);

/// The plan for an open case. It is an addition: without the healer's answer in time the case is shown without it.
async fn plan(app: &App, case: &Case) -> Option<PlanView> {
    if case.state.is_closed() {
        return None;
    }
    let asked = tokio::time::timeout(PLAN_WAIT_MAX, app.roles.preview_plan(&case.id)).await;
    let preview = asked.ok()?.ok()?;
    let skipped = preview.skipped.into_iter();
    Some(PlanView {
        steps: preview.steps,
        skipped: skipped
            .map(|s| SkippedView {
                action: s.action,
                because: s.because,
            })
            .collect(),
    })
}
