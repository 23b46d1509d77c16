//! `/api/system`: each role's replicas, the stores, the bus, what ingestion has seen, and whether the guard sees.

use crate::app::App;
use crate::blind::{self, Blind, Senses};
use crate::problems::Answer;
use crate::rest::read::context::Context;
use crate::rest::store::health;
use crate::roles::status::{self, Replica};
use axum::Json;
use axum::extract::State;
use immune_proto::v1;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// How the whole system is.
#[derive(Serialize, ToSchema)]
pub struct System {
    /// Whether every role serves and every store answers.
    healthy: bool,
    /// Per role.
    roles: Vec<RoleHealth>,
    /// What does not answer; null when everything does.
    stores: Option<String>,
    /// Where records live and how vitals travel.
    backends: Backends,
    /// What ingestion has seen since it started, all its replicas together; null when none answers.
    ingestion: Option<Intake>,
    /// Whether the guard sees.
    blind: Blind,
    /// Seconds since this server started.
    runtime: f64,
    /// Version of the server.
    version: &'static str,
}

/// Where records live and how vitals travel.
#[derive(Serialize, ToSchema)]
pub struct Backends {
    /// The vitals bus: `local`, `grpc`, `redis`.
    bus: &'static str,
    /// Store of cases, profiles and memory: `memory`, `sqlite`, `postgres`.
    workflow: &'static str,
    /// Store of vitals: `memory`, `sqlite`, `postgres`, `influx`.
    vitals: &'static str,
}

/// How a role is.
#[derive(Serialize, ToSchema)]
pub struct RoleHealth {
    /// Its name.
    role: &'static str,
    /// That of the best of its replicas: `serving`, `not_serving`, `unreachable`.
    status: &'static str,
    /// Each of them.
    replicas: Vec<ReplicaHealth>,
}

/// How a replica is.
#[derive(Serialize, ToSchema)]
pub struct ReplicaHealth {
    /// Where it is.
    address: String,
    /// `serving`, `not_serving`, `unreachable`.
    status: &'static str,
    /// Partitions of the bus that it holds; null where that is not asked.
    partitions: Option<u32>,
    /// Seconds that the execution which it judged last had waited; null where that is not asked, or before the first.
    lag_seconds: Option<f64>,
    /// Seconds since then.
    idle_seconds: Option<f64>,
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
    let (ingestion, baseline, sentinel, quarantine, healer, stores, intake, judging) = tokio::join!(
        status::health(&channels.ingestion, "immune.v1.IngestionService"),
        status::health(&channels.baseline, "immune.v1.BaselineService"),
        status::health(&channels.sentinel, "immune.v1.SentinelService"),
        status::health(&channels.quarantine, "immune.v1.QuarantineService"),
        status::health(&channels.healer, "immune.v1.HealerService"),
        health::stores(&app),
        status::ingestion(channels),
        status::sentinels(channels),
    );
    let this = Replica {
        address: Arc::from("in-process"),
        status: "serving",
    };
    let mut roles = vec![
        role("ingestion", ingestion),
        role("baseline", baseline),
        role("sentinel", sentinel),
        role("quarantine", quarantine),
        role("healer", healer),
        role("dashboard", vec![this]),
    ];
    for replica in roles
        .iter_mut()
        .filter(|role| role.role == "sentinel")
        .flat_map(|role| &mut role.replicas)
    {
        let said = judging.iter().find(|(address, _)| **address == *replica.address);
        if let Some((_, status)) = said {
            replica.partitions = Some(status.partitions);
            (replica.lag_seconds, replica.idle_seconds) = (status.lag_seconds, status.idle_seconds);
        }
    }
    let judging: Vec<_> = judging.into_iter().map(|(_, status)| status).collect();
    Ok(Json(System {
        healthy: stores.is_ok() && roles.iter().all(|role| role.status == "serving"),
        blind: blind::judge(&Senses {
            store_away: stores.err(),
            ingestion: &intake,
            sentinels: &judging,
            silence_max: app.config.blind_after_seconds as f64,
        }),
        roles,
        stores: stores.err().map(|which| format!("{which} does not answer")),
        backends: Backends {
            bus: app.deployment.bus,
            workflow: app.deployment.workflow,
            vitals: app.deployment.vitals,
        },
        ingestion: together(&intake),
        runtime: app.runtime_seconds(),
        version: env!("CARGO_PKG_VERSION"),
    }))
}

fn role(role: &'static str, replicas: Vec<Replica>) -> RoleHealth {
    let any = |status: &str| replicas.iter().any(|replica| replica.status == status);
    let status = match (any("serving"), any("not_serving")) {
        (true, _) => "serving",
        (false, true) => "not_serving",
        (false, false) => "unreachable",
    };
    let each = replicas.iter().map(|replica| ReplicaHealth {
        address: replica.address.to_string(),
        status: replica.status,
        partitions: None,
        lag_seconds: None,
        idle_seconds: None,
    });
    RoleHealth {
        role,
        status,
        replicas: each.collect(),
    }
}

fn together(replicas: &[v1::GetIngestionStatusResponse]) -> Option<Intake> {
    let sum = |of: fn(&v1::GetIngestionStatusResponse) -> u64| replicas.iter().map(of).sum();
    (!replicas.is_empty()).then(|| Intake {
        requests: sum(|status| status.requests),
        spans_accepted: sum(|status| status.spans_accepted),
        spans_refused: sum(|status| status.spans_refused),
        executions: sum(|status| status.executions),
        open_traces: sum(|status| status.open_traces),
        late_executions: sum(|status| status.late_executions),
        silent_seconds: replicas
            .iter()
            .filter_map(|status| status.silent_seconds)
            .reduce(f64::min),
    })
}
