//! `/api/sparks`: the latest latencies of the agents that a list shows now.

use crate::app::App;
use crate::problems::{Answer, field, stored};
use crate::rest::read::context::Context;
use crate::rest::read::params::Params;
use crate::view::vitals::seconds;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Agents in one request at most.
const AGENTS_MAX: usize = 100;
/// Executions of an agent at most.
const POINTS_MAX: u32 = 30;

/// An agent's recent latencies and where they are normal.
#[derive(Serialize, ToSchema)]
pub struct Spark {
    /// When an execution ended, epoch seconds, and its latency, milliseconds; oldest first, at most 30.
    latency: Vec<(f64, f64)>,
    /// Lowest and highest normal average, milliseconds; null before anything was learned, and while nobody knows.
    band: Option<[f64; 2]>,
}

/// The latest latencies of some agents, by id; agents without executions are left out.
#[utoipa::path(get, path = "/api/sparks", tag = "operators",
    params(("agents" = Vec<String>, Query, description = "Which agents, 1 to 100, the parameter once for each")),
    responses((status = 200, description = "By agent id", body = std::collections::BTreeMap<String, Spark>),
              (status = 400, description = "None are named, or more than 100")))]
pub async fn get(
    State(app): State<Arc<App>>,
    context: Context,
    params: Params,
) -> Answer<Json<BTreeMap<String, Spark>>> {
    let agents = params.agents("agents", AGENTS_MAX)?;
    if agents.is_empty() {
        return Err(field("agents", "is missing"));
    }
    let (latencies, bands) = tokio::join!(
        app.vitals.recent_latencies(&context.run, &agents, POINTS_MAX),
        app.bands.of(&app, &context.run, &agents),
    );
    // Lines without their bands are better than none.
    let bands = bands.unwrap_or_default();
    let sparks = latencies.map_err(stored)?.into_iter().map(|latencies| {
        let points = latencies.points.into_iter();
        let spark = Spark {
            latency: points
                .filter(|(_, latency)| latency.is_finite())
                .map(|(at, latency)| (seconds(at), latency))
                .collect(),
            band: bands.get(&latencies.agent).copied().flatten(),
        };
        (latencies.agent.to_string(), spark)
    });
    Ok(Json(sparks.collect()))
}
