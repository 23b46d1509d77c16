//! `/api/system`: each role's health, the stores', and what ingestion has seen.

use crate::app::App;
use crate::problems::Answer;
use crate::rest::read::context::Context;
use crate::rest::store::health;
use axum::Json;
use axum::extract::State;
use immune_runtime::grpc::RoleChannel;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use utoipa::ToSchema;

/// How long a role may take to say how it is.
const ROLE_MAX: Duration = Duration::from_secs(2);

/// How the whole system is.
#[derive(Serialize, ToSchema)]
pub struct System {
    /// Whether every role serves and every store answers.
    healthy: bool,
    /// Per role.
    roles: Vec<RoleHealth>,
    /// What does not answer; null when everything does.
    stores: Option<String>,
    /// What ingestion has seen since it started; null when it does not answer.
    ingestion: Option<Intake>,
    /// Seconds since this server started.
    runtime: f64,
    /// Version of the server.
    version: &'static str,
}

/// How a role is.
#[derive(Serialize, ToSchema)]
pub struct RoleHealth {
    /// Its name.
    role: &'static str,
    /// `serving`, `not_serving`, `unreachable`.
    status: &'static str,
}

/// What ingestion has seen since it started.
#[derive(Serialize, ToSchema)]
pub struct Intake {
    /// Requests.
    requests: u64,
    /// Spans taken in.
    spans_accepted: u64,
    /// Spans refused.
    spans_refused: u64,
    /// Executions that they were read into.
    executions: u64,
    /// Traces held in memory.
    open_traces: u64,
    /// Executions that came too late to be judged.
    late_executions: u64,
    /// Seconds since the last telemetry; null when there was none.
    silent_seconds: Option<f64>,
}

/// How the whole system is.
#[utoipa::path(get, path = "/api/system", tag = "operators",
    responses((status = 200, description = "How it is", body = System)))]
pub async fn system(State(app): State<Arc<App>>, _context: Context) -> Answer<Json<System>> {
    let channels = &app.channels;
    let (any_baseline, any_sentinel) = (channels.baseline.any(), channels.sentinel.any());
    let (ingestion, baseline, sentinel, quarantine, healer, stores, intake) = tokio::join!(
        role("ingestion", "immune.v1.IngestionService", &channels.ingestion),
        role("baseline", "immune.v1.BaselineService", &any_baseline),
        role("sentinel", "immune.v1.SentinelService", &any_sentinel),
        role("quarantine", "immune.v1.QuarantineService", &channels.quarantine),
        role("healer", "immune.v1.HealerService", &channels.healer),
        health::stores(&app),
        tokio::time::timeout(ROLE_MAX, app.roles.ingestion_status()),
    );
    let own = RoleHealth {
        role: "dashboard",
        status: "serving",
    };
    let roles = vec![ingestion, baseline, sentinel, quarantine, healer, own];
    Ok(Json(System {
        healthy: stores.is_ok() && roles.iter().all(|role| role.status == "serving"),
        roles,
        stores: stores.err().map(|which| format!("{which} does not answer")),
        ingestion: intake.ok().and_then(Result::ok).map(|status| Intake {
            requests: status.requests,
            spans_accepted: status.spans_accepted,
            spans_refused: status.spans_refused,
            executions: status.executions,
            open_traces: status.open_traces,
            late_executions: status.late_executions,
            silent_seconds: status.silent_seconds,
        }),
        runtime: app.runtime_seconds(),
        version: env!("CARGO_PKG_VERSION"),
    }))
}

async fn role(role: &'static str, service: &str, channel: &RoleChannel) -> RoleHealth {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let mut client = HealthClient::new(channel.clone());
    let status = match tokio::time::timeout(ROLE_MAX, client.check(request)).await {
        Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => "serving",
        Ok(Ok(_)) => "not_serving",
        Ok(Err(_)) | Err(_) => "unreachable",
    };
    RoleHealth { role, status }
}
