//! `/api/agents/{agent_id}/baseline`: what is normal for an agent, and what people do to it. Each act is on record with
//! who did it and why.

use crate::app::App;
use crate::problems::{Answer, stored};
use crate::rest::read::body::JsonObject;
use crate::rest::read::context::Context;
use crate::rest::read::fields::Fields;
use crate::rest::read::path::AgentPath;
use crate::view::baseline::{BaselineView, learned};
use axum::Json;
use axum::extract::State;
use immune_domain::baseline::{Learned, Origin};
use immune_domain::{AgentKey, ErrorKind, Timestamp};
use immune_runtime::http::problem::Problem;
use serde::Serialize;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use utoipa::ToSchema;

/// The longest reason, bytes.
const REASON_BYTES_MAX: usize = 2_048;

/// Executions that a range of time teaches at most, the latest: ten times the weight of the past.
const EXECUTIONS_MAX: u32 = 10_000;

/// Epoch seconds, to the end of the year 9999.
const SECONDS: RangeInclusive<f64> = 0.0..=253_402_300_799.0;

/// An act with its reason.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; the handlers read it")]
pub struct Because {
    /// Why.
    reason: String,
}

/// A range of time that was good.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `pin` reads it")]
pub struct NewPinned {
    /// Executions from this time on, epoch seconds.
    from: f64,
    /// And before this one, epoch seconds; default now.
    to: Option<f64>,
    /// Why.
    reason: String,
}

/// The present level.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `accept` reads it")]
pub struct NewAccepted {
    /// Executions from this time on, epoch seconds; default since the baseline last learned.
    from: Option<f64>,
    /// Why.
    reason: String,
}

/// Numbers from a file: what `GET` gives, with a reason.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `import` reads it")]
pub struct NewImported {
    /// Executions that taught it.
    samples: u64,
    /// `latency` (milliseconds), `tokens`, `tools`: each with `count`, `mean` and `stddev`; one that was never measured may
    /// be missing.
    #[schema(value_type = Object)]
    metrics: serde_json::Value,
    /// As `GET` gives it; without it the guarded detector learns anew.
    reference: Option<String>,
    /// Why.
    reason: String,
}

/// What a reset did.
#[derive(Serialize, ToSchema)]
pub struct Reset {
    /// True.
    ok: bool,
    /// Whether there was a baseline.
    existed: bool,
}

/// What is normal for an agent.
#[utoipa::path(get, path = "/api/agents/{agent_id}/baseline", tag = "operators",
    params(("agent_id" = String, Path, description = "Which agent, percent-encoded")),
    responses((status = 200, description = "The baseline", body = BaselineView),
              (status = 404, description = "Nothing is known of the agent")))]
pub async fn get(
    State(app): State<Arc<App>>,
    context: Context,
    AgentPath(agent): AgentPath,
) -> Answer<Json<BaselineView>> {
    let key = context.agent(agent);
    let profile = app.roles.profile(&key).await?;
    profile
        .map(|profile| Json(BaselineView::from(&profile)))
        .ok_or_else(|| none(&key))
}

/// Forgets what is normal; the agent is learned anew, and what began before says nothing.
#[utoipa::path(post, path = "/api/agents/{agent_id}/baseline/reset", tag = "operators", request_body = Because,
    params(("agent_id" = String, Path, description = "Which agent, percent-encoded")),
    responses((status = 200, description = "Reset", body = Reset)))]
pub async fn reset(
    State(app): State<Arc<App>>,
    context: Context,
    AgentPath(agent): AgentPath,
    JsonObject(body): JsonObject,
) -> Answer<Json<Reset>> {
    let mut fields = Fields::of(&body);
    let reason = fields.required_text("reason", REASON_BYTES_MAX);
    fields.done()?;
    let (key, by) = (context.agent(agent), &context.caller.person);
    let existed = app.roles.reset_profile(&key, reason, by).await?;
    Ok(Json(Reset { ok: true, existed }))
}

/// Stops a baseline from learning; it judges on by what it knows.
#[utoipa::path(post, path = "/api/agents/{agent_id}/baseline/freeze", tag = "operators", request_body = Because,
    params(("agent_id" = String, Path, description = "Which agent, percent-encoded")),
    responses((status = 200, description = "Frozen", body = BaselineView),
              (status = 409, description = "It has learned too little to judge by")))]
pub async fn freeze(
    app: State<Arc<App>>,
    context: Context,
    agent: AgentPath,
    body: JsonObject,
) -> Answer<Json<BaselineView>> {
    set_frozen(app, context, agent, body, true).await
}

/// Lets a frozen baseline learn again.
#[utoipa::path(post, path = "/api/agents/{agent_id}/baseline/unfreeze", tag = "operators", request_body = Because,
    params(("agent_id" = String, Path, description = "Which agent, percent-encoded")),
    responses((status = 200, description = "It learns", body = BaselineView)))]
pub async fn unfreeze(
    app: State<Arc<App>>,
    context: Context,
    agent: AgentPath,
    body: JsonObject,
) -> Answer<Json<BaselineView>> {
    set_frozen(app, context, agent, body, false).await
}

async fn set_frozen(
    State(app): State<Arc<App>>,
    context: Context,
    AgentPath(agent): AgentPath,
    JsonObject(body): JsonObject,
    is_frozen: bool,
) -> Answer<Json<BaselineView>> {
    let mut fields = Fields::of(&body);
    let reason = fields.required_text("reason", REASON_BYTES_MAX);
    fields.done()?;
    let (key, by) = (context.agent(agent), &context.caller.person);
    let profile = app.roles.freeze_profile(&key, is_frozen, reason, by).await?;
    Ok(Json(BaselineView::from(&profile)))
}

/// Learns the baseline from a range of time that was good, and keeps it there: it is frozen, too.
#[utoipa::path(post, path = "/api/agents/{agent_id}/baseline/pin", tag = "operators", request_body = NewPinned,
    params(("agent_id" = String, Path, description = "Which agent, percent-encoded")),
    responses((status = 200, description = "Pinned", body = BaselineView),
              (status = 400, description = "Too few executions are on record there")))]
pub async fn pin(
    State(app): State<Arc<App>>,
    context: Context,
    AgentPath(agent): AgentPath,
    JsonObject(body): JsonObject,
) -> Answer<Json<BaselineView>> {
    let mut fields = Fields::of(&body);
    let reason = fields.required_text("reason", REASON_BYTES_MAX);
    let from = at(fields.required_number("from", SECONDS));
    let to = fields.number("to", SECONDS).map_or_else(|| app.clock.now(), at);
    if to <= from && fields.has("from") {
        fields.mistake("to", "must be later than `from`");
    }
    fields.done()?;
    set(
        &app,
        &context,
        &context.agent(agent),
        from..to,
        Origin::Pinned,
        reason,
    )
    .await
}

/// Takes the level at which the agent is now for normal.
#[utoipa::path(post, path = "/api/agents/{agent_id}/baseline/accept", tag = "operators", request_body = NewAccepted,
    params(("agent_id" = String, Path, description = "Which agent, percent-encoded")),
    responses((status = 200, description = "Accepted", body = BaselineView),
              (status = 400, description = "Too few executions are on record since then")))]
pub async fn accept(
    State(app): State<Arc<App>>,
    context: Context,
    AgentPath(agent): AgentPath,
    JsonObject(body): JsonObject,
) -> Answer<Json<BaselineView>> {
    let mut fields = Fields::of(&body);
    let reason = fields.required_text("reason", REASON_BYTES_MAX);
    let from = fields.number("from", SECONDS).map(at);
    fields.done()?;
    let key = context.agent(agent);
    let from = match from {
        Some(from) => from,
        // What came after it last learned was not taken for normal.
        None => {
            app.roles
                .profile(&key)
                .await?
                .ok_or_else(|| none(&key))?
                .updated_at
        }
    };
    let until = app.clock.now();
    set(&app, &context, &key, from..until, Origin::Accepted, reason).await
}

/// Gives the baseline the numbers of a file: of this agent at another time, or of another one.
#[utoipa::path(post, path = "/api/agents/{agent_id}/baseline/import", tag = "operators", request_body = NewImported,
    params(("agent_id" = String, Path, description = "Which agent, percent-encoded")),
    responses((status = 200, description = "Imported", body = BaselineView),
              (status = 400, description = "No baseline can have these numbers, or too few executions taught them")))]
pub async fn import(
    State(app): State<Arc<App>>,
    context: Context,
    AgentPath(agent): AgentPath,
    JsonObject(body): JsonObject,
) -> Answer<Json<BaselineView>> {
    let mut fields = Fields::of(&body);
    let reason = fields.required_text("reason", REASON_BYTES_MAX);
    let learned = learned(&mut fields);
    fields.done()?;
    let (key, by) = (context.agent(agent), &context.caller.person);
    let profile = app
        .roles
        .set_profile(&key, &learned, Origin::Imported, reason, by)
        .await?;
    Ok(Json(BaselineView::from(&profile)))
}

/// Learns from what is on record of a range of time, and sets the baseline.
async fn set(
    app: &App,
    context: &Context,
    key: &AgentKey,
    range: Range<Timestamp>,
    origin: Origin,
    reason: String,
) -> Answer<Json<BaselineView>> {
    let executions = app
        .vitals
        .between(key, range.start, range.end, EXECUTIONS_MAX)
        .await
        .map_err(stored)?;
    let learned = Learned::of(&executions);
    let by = &context.caller.person;
    let profile = app.roles.set_profile(key, &learned, origin, reason, by).await?;
    Ok(Json(BaselineView::from(&profile)))
}

/// The time of so many epoch seconds, which are within [`SECONDS`].
fn at(seconds: f64) -> Timestamp {
    Timestamp::from_epoch_seconds(seconds).unwrap_or(Timestamp::EPOCH)
}

fn none(key: &AgentKey) -> Problem {
    let detail = format!(
        "nothing is known of what is normal for agent {:?}",
        key.agent.as_str()
    );
    Problem::new(ErrorKind::NotFound, "baseline.unknown_agent", detail)
}
