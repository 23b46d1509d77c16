//! `/api/v1/baselines`: baselines of client-deployed systems, and what was learned here in the same shape.

use crate::app::App;
use crate::problems::{Answer, stored};
use crate::rest::read::body::JsonObject;
use crate::rest::read::context::Context;
use crate::rest::read::fields::{Fields, POSITIVE};
use crate::rest::read::path::AgentPath;
use crate::stats;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use immune_domain::ErrorKind;
use immune_domain::baseline::Profile;
use immune_domain::vitals::Metric;
use immune_runtime::http::problem::Problem;
use immune_store::client_records::RecordKind;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::ToSchema;

/// The most samples that a baseline may claim.
const SAMPLES_MAX: u64 = 1_000_000_000_000;

/// A baseline. Fields that are not named here are kept and come back as sent.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `post` reads it")]
pub struct NewBaseline {
    /// Whose.
    agent_id: String,
    /// Milliseconds.
    latency_mean: f64,
    /// Milliseconds.
    latency_stddev: f64,
    /// Milliseconds.
    latency_p95: Option<f64>,
    /// Tokens.
    tokens_mean: f64,
    /// Tokens.
    tokens_stddev: f64,
    /// Tokens.
    tokens_p95: Option<f64>,
    /// Tool calls.
    tools_mean: f64,
    /// Tool calls.
    tools_stddev: f64,
    /// Tool calls.
    tools_p95: Option<f64>,
    /// Executions that it was learned from; `sample_count` says the same.
    sample_size: u64,
    /// The same as `sample_size`; one of the two is enough.
    sample_count: Option<u64>,
    /// Hash of the prompt.
    prompt_hash: Option<String>,
}

/// How many agents have a baseline.
#[derive(Serialize, ToSchema)]
pub struct Count {
    /// How many.
    count: u64,
}

/// Stores a baseline of a client-deployed system.
#[utoipa::path(post, path = "/api/v1/baselines", tag = "store", request_body = NewBaseline,
    responses((status = 204, description = "Stored")))]
pub async fn post(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(body): JsonObject,
) -> Answer<StatusCode> {
    let mut fields = Fields::of(&body);
    let agent = fields.agent();
    for metric in ["latency", "tokens", "tools"] {
        fields.required_number(&format!("{metric}_mean"), POSITIVE);
        fields.required_number(&format!("{metric}_stddev"), POSITIVE);
        fields.number(&format!("{metric}_p95"), POSITIVE);
    }
    for metric in ["input_tokens", "output_tokens", "cost"] {
        for number in ["mean", "stddev", "p95"] {
            fields.number(&format!("{metric}_{number}"), POSITIVE);
        }
    }
    // The two names of one number.
    if fields.has("sample_count") {
        fields.integer("sample_count", SAMPLES_MAX);
        fields.integer("sample_size", SAMPLES_MAX);
    } else {
        fields.required_integer("sample_size", SAMPLES_MAX);
    }
    fields.text("prompt_hash", 512);
    fields.done()?;
    app.keep(context.agent(agent), RecordKind::Baseline, body).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The latest posted baseline of an agent whole; else what was learned here, once it may judge.
#[utoipa::path(get, path = "/api/v1/baselines/{agent_id}", tag = "store",
    params(("agent_id" = String, Path, description = "Which agent, percent-encoded")),
    responses((status = 200, description = "The baseline", body = NewBaseline),
              (status = 404, description = "There is none")))]
pub async fn get(
    State(app): State<Arc<App>>,
    context: Context,
    AgentPath(agent): AgentPath,
) -> Answer<Json<Value>> {
    let key = context.agent(agent);
    if let Some(record) = app
        .client_records
        .latest(&key, RecordKind::Baseline)
        .await
        .map_err(stored)?
    {
        return Ok(Json(with_both_names(record.body)));
    }
    match app.roles.profile(&key).await? {
        Some(profile) if profile.state.is_ready() => Ok(Json(of_profile(&profile))),
        Some(_) | None => Err(Problem::new(
            ErrorKind::NotFound,
            "dashboard.no_baseline",
            format!("agent {:?} has no baseline yet", key.agent.as_str()),
        )),
    }
}

/// How many agents have a baseline.
#[utoipa::path(get, path = "/api/v1/baselines/count", tag = "store",
    responses((status = 200, description = "How many", body = Count)))]
pub async fn count(State(app): State<Arc<App>>, context: Context) -> Answer<Json<Count>> {
    Ok(Json(Count {
        count: stats::baselines(&app, &context.run).await?,
    }))
}

/// Clients of different age read the number of samples under different names.
fn with_both_names(mut body: Value) -> Value {
    let both = [("sample_size", "sample_count"), ("sample_count", "sample_size")];
    for (given, other) in both {
        if let (Some(number), None) = (body.get(given).cloned(), body.get(other)) {
            body[other] = number;
        }
    }
    body
}

/// A learned profile in the shape of a posted baseline.
fn of_profile(profile: &Profile) -> Value {
    let mut body = json!({
        "agent_id": profile.key.agent,
        "sample_size": profile.sample_count,
        "sample_count": profile.sample_count,
        "state": profile.state.as_str(),
        "version": profile.version,
        "updated_at": profile.updated_at.as_epoch_seconds(),
        "prompt_hash": "",
    });
    for metric in Metric::ALL {
        let (name, moments) = (metric.as_str(), profile.moments(metric));
        body[format!("{name}_mean")] = json!(moments.mean);
        body[format!("{name}_stddev")] = json!(moments.stddev);
        body[format!("{name}_p95")] = Value::Null;
    }
    body
}
