//! `/api/v1/vitals`: executions that platforms post, and all executions to read.

use crate::app::App;
use crate::problems::{Answer, stored};
use crate::rest::read::body::JsonObject;
use crate::rest::read::context::Context;
use crate::rest::read::fields::{Fields, POSITIVE};
use crate::rest::read::params::Params;
use crate::view::vitals::VitalsView;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode};
use axum::response::IntoResponse;
use immune_domain::vitals::{Completeness, Context as Around, Metric, Source, Vitals, is_task_type};
use immune_domain::{ErrorKind, ExecutionId, Timestamp};
use immune_runtime::http::problem::Problem;
use immune_store::PAGE_MAX;
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;
use uuid::Uuid;

/// Length of the recent window when the caller names none, seconds.
const WINDOW_SECONDS_DEFAULT: u64 = 30;
/// The longest text beside the numbers, bytes.
const WORD_BYTES_MAX: usize = 512;
/// The most retries that are believed of one execution.
const RETRIES_MAX: u64 = 1_000_000;

/// One execution that a platform posts. Unknown fields are ignored.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `read_vitals` reads it")]
pub struct NewVitals {
    /// Whose.
    agent_id: String,
    /// Kind of agent; default `unknown`.
    agent_type: Option<String>,
    /// Wall time, milliseconds; at most 30 days.
    latency_ms: f64,
    /// All tokens; 0 with input and output given means their sum. At most a billion.
    token_count: u64,
    /// Tool calls; at most a million.
    tool_calls: u64,
    /// Attempts beyond the first; at most a million.
    retries: u64,
    /// Whether it reached its end without failing.
    success: bool,
    /// When it ended, epoch seconds; default now.
    timestamp: Option<f64>,
    /// Tokens read.
    input_tokens: Option<u64>,
    /// Tokens written.
    output_tokens: Option<u64>,
    /// US dollars.
    cost: Option<f64>,
    /// Empty means none.
    model: Option<String>,
    /// Empty means none.
    error_type: Option<String>,
    /// Empty means none.
    prompt_hash: Option<String>,
    /// Kind of work, at most 128 bytes; what is longer is no kind and ignored.
    task_type: Option<String>,
}

/// How far from now an execution may have ended; `None` where any time is taken.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    pub ahead: Option<Duration>,
    pub behind: Option<Duration>,
}

/// A number of executions of an agent.
#[derive(Serialize, ToSchema)]
pub struct Count {
    /// How many.
    count: u64,
}

/// A number of executions of a run.
#[derive(Serialize, ToSchema)]
pub struct Total {
    /// How many.
    total: u64,
}

/// Records one execution. When this answers, the execution is durable.
#[utoipa::path(post, path = "/api/v1/vitals", tag = "store", request_body = NewVitals,
    responses((status = 204, description = "Recorded")))]
pub async fn post(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(body): JsonObject,
) -> Answer<StatusCode> {
    let vitals = read_vitals(&app, &context, &body, Limits::default())?;
    app.roles.record_vitals(vitals).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads an execution from a body.
pub(crate) fn read_vitals(
    app: &App,
    context: &Context,
    body: &Map<String, Value>,
    limits: Limits,
) -> Answer<Vitals> {
    let now = app.clock.now();
    let mut fields = Fields::of(body);
    let agent = fields.agent();
    let latency_ms = fields.required_number("latency_ms", 0.0..=Metric::Latency.credible_max());
    let tokens_max = Metric::Tokens.credible_max() as u64;
    let token_count = fields.required_integer("token_count", tokens_max);
    let tool_calls = fields.required_integer("tool_calls", Metric::Tools.credible_max() as u64);
    let retries = fields.required_integer("retries", RETRIES_MAX);
    let success = fields.required_boolean("success");
    let timestamp = timestamp(&mut fields, now, limits);
    let input_tokens = fields.integer("input_tokens", tokens_max);
    let output_tokens = fields.integer("output_tokens", tokens_max);
    let around = Around {
        agent_type: fields
            .some_text("agent_type", WORD_BYTES_MAX)
            .filter(|kind| kind != "unknown"),
        model: fields.some_text("model", WORD_BYTES_MAX),
        error_type: fields.some_text("error_type", WORD_BYTES_MAX),
        prompt_hash: fields.some_text("prompt_hash", WORD_BYTES_MAX),
        cost: fields.number("cost", POSITIVE),
        task_type: fields
            .some_text("task_type", WORD_BYTES_MAX)
            .filter(|kind| is_task_type(kind)),
        ..Around::default()
    };
    fields.done()?;
    let token_count = match (token_count, input_tokens, output_tokens) {
        (0, Some(input), Some(output)) => input + output,
        (count, _, _) => count,
    };
    Ok(Vitals {
        key: context.agent(agent),
        execution: ExecutionId::new(Uuid::new_v4().to_string()),
        revision: 0,
        started_at: timestamp.minus(Duration::from_micros((latency_ms * 1e3) as u64)),
        timestamp,
        received_at: now,
        latency_ms,
        input_tokens,
        output_tokens,
        token_count: Some(token_count),
        // Both were checked to be at most a million.
        tool_calls: u32::try_from(tool_calls).ok(),
        retries: u32::try_from(retries).ok(),
        success,
        completeness: Completeness::Complete,
        source: Source::Posted,
        context: Box::new(around),
    })
}

fn timestamp(fields: &mut Fields<'_>, now: Timestamp, limits: Limits) -> Timestamp {
    const YEAR_9999: f64 = 253_402_300_799.0;
    let Some(at) = fields.number("timestamp", 0.0..=YEAR_9999) else {
        return now;
    };
    let Some(at) = Timestamp::from_epoch_seconds(at) else {
        fields.mistake("timestamp", "is not a time in epoch seconds");
        return now;
    };
    if limits.ahead.is_some_and(|most| at.since(now) > most) {
        fields.mistake(
            "timestamp",
            format!("is {:.0} s in the future", at.since(now).as_secs_f64()),
        );
    }
    if limits.behind.is_some_and(|most| now.since(at) > most) {
        fields.mistake(
            "timestamp",
            format!("is {:.0} s in the past", now.since(at).as_secs_f64()),
        );
    }
    at
}

/// Executions of an agent that ended within the last seconds, oldest first.
#[utoipa::path(get, path = "/api/v1/vitals/recent", tag = "store",
    params(("agent_id" = String, Query, description = "Which agent"),
           ("window_seconds" = Option<u64>, Query, description = "How far back, an integer of at least 1; default 30")),
    responses((status = 200, description = "Executions, oldest first; at most the latest 10,000", body = Vec<VitalsView>)))]
pub async fn recent(
    State(app): State<Arc<App>>,
    context: Context,
    params: Params,
) -> Answer<Json<Vec<VitalsView>>> {
    let key = context.agent(params.required_agent()?);
    let wanted = "an integer of at least 1";
    let window = params
        .parsed::<u64>("window_seconds", wanted)?
        .unwrap_or(WINDOW_SECONDS_DEFAULT);
    if window == 0 {
        return Err(crate::problems::field(
            "window_seconds",
            format!("is 0, not {wanted}"),
        ));
    }
    let since = app.clock.now().minus(Duration::from_secs(window));
    let found = app
        .vitals
        .recent(&key, since.max(Timestamp::EPOCH), PAGE_MAX)
        .await
        .map_err(stored)?;
    Ok(Json(found.into_iter().map(VitalsView::from).collect()))
}

/// All executions of an agent, oldest first.
#[utoipa::path(get, path = "/api/v1/vitals/all", tag = "store",
    params(("agent_id" = String, Query, description = "Which agent")),
    responses((status = 200, description = "Executions, oldest first; at most the latest 10,000, `X-Total-Count` says \
        how many there are", body = Vec<VitalsView>)))]
pub async fn all(State(app): State<Arc<App>>, context: Context, params: Params) -> Answer<impl IntoResponse> {
    let key = context.agent(params.required_agent()?);
    let found = app
        .vitals
        .recent(&key, Timestamp::EPOCH, PAGE_MAX)
        .await
        .map_err(stored)?;
    let total = app.vitals.execution_count(&key).await.map_err(stored)?;
    let list: Vec<VitalsView> = found.into_iter().map(VitalsView::from).collect();
    Ok(([(HeaderName::from_static("x-total-count"), total)], Json(list)))
}

/// The latest execution of an agent.
#[utoipa::path(get, path = "/api/v1/vitals/latest", tag = "store",
    params(("agent_id" = String, Query, description = "Which agent")),
    responses((status = 200, description = "The execution", body = VitalsView),
              (status = 404, description = "There is none")))]
pub async fn latest(
    State(app): State<Arc<App>>,
    context: Context,
    params: Params,
) -> Answer<Json<VitalsView>> {
    let key = context.agent(params.required_agent()?);
    match app.vitals.latest(&key).await.map_err(stored)? {
        Some(vitals) => Ok(Json(VitalsView::from(vitals))),
        None => Err(Problem::new(
            ErrorKind::NotFound,
            "dashboard.no_vitals",
            format!("there are no vitals of agent {:?}", key.agent.as_str()),
        )),
    }
}

/// How many executions of an agent are on record.
#[utoipa::path(get, path = "/api/v1/vitals/execution-count", tag = "store",
    params(("agent_id" = String, Query, description = "Which agent")),
    responses((status = 200, description = "How many", body = Count)))]
pub async fn execution_count(
    State(app): State<Arc<App>>,
    context: Context,
    params: Params,
) -> Answer<Json<Count>> {
    let key = context.agent(params.required_agent()?);
    let count = app.vitals.execution_count(&key).await.map_err(stored)?;
    Ok(Json(Count { count }))
}

/// How many executions of the run are on record.
#[utoipa::path(get, path = "/api/v1/vitals/total-executions", tag = "store",
    responses((status = 200, description = "How many", body = Total)))]
pub async fn total_executions(State(app): State<Arc<App>>, context: Context) -> Answer<Json<Total>> {
    let total = app.vitals.total_executions(&context.run).await.map_err(stored)?;
    Ok(Json(Total { total }))
}
