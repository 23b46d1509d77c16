//! `/api/status`, `/api/stats`, `/api/infections`.

use crate::app::App;
use crate::problems::Answer;
use crate::rest::read::context::Context;
use crate::roles::CaseQuery;
use crate::stats::{self, Stats};
use crate::view::case::CaseView;
use axum::Json;
use axum::extract::State;
use immune_domain::case::State as CaseState;
use immune_store::PAGE_MAX;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// How the system is.
#[derive(Serialize, ToSchema)]
pub struct Status {
    /// True.
    running: bool,
    /// Agents whose baseline may judge.
    baselines_learned: u64,
    /// Seconds since this server started.
    runtime: f64,
    /// Agents that are being healed or watched afterwards.
    healing_in_progress: Vec<String>,
    /// Run that this is about.
    run_id: String,
    /// Who asks: subject of the login or name of the key.
    caller: String,
    /// What the caller may do: `viewer`, `operator`, `admin`.
    role: String,
    /// `open_loopback` (no keys, whoever is on this machine), `keys`, `oidc`.
    access: &'static str,
    /// Version of the server.
    version: &'static str,
}

/// Infections of a run.
#[derive(Serialize, ToSchema)]
pub struct Infections {
    /// Ever.
    total: u64,
    /// Agents that are to be contained now.
    current_quarantined: Vec<String>,
    /// Agents that are infected now, quarantined ones included.
    current_infected: u64,
    /// Open cases, newest first.
    cases: Vec<CaseView>,
}

fn open_cases() -> CaseQuery {
    CaseQuery {
        open: Some(true),
        limit: PAGE_MAX,
        ..CaseQuery::default()
    }
}

/// How the system is.
#[utoipa::path(get, path = "/api/status", tag = "operators",
    responses((status = 200, description = "How it is", body = Status)))]
pub async fn status(State(app): State<Arc<App>>, context: Context) -> Answer<Json<Status>> {
    let open = app.roles.cases(&context.run, open_cases()).await?;
    let being_healed = open.iter().filter(|case| match &case.state {
        CaseState::Healing { .. } | CaseState::Probation { .. } => true,
        CaseState::AwaitingApproval { .. }
        | CaseState::Rejected { .. }
        | CaseState::HealQueued { .. }
        | CaseState::Healed { .. }
        | CaseState::Released { .. } => false,
    });
    Ok(Json(Status {
        running: true,
        baselines_learned: stats::baselines(&app, &context.run).await?,
        runtime: app.runtime_seconds(),
        healing_in_progress: being_healed.map(|case| case.key.agent.to_string()).collect(),
        run_id: context.run.to_string(),
        caller: context.caller.person.subject.clone(),
        role: context.caller.role.to_string(),
        access: app.door.access(),
        version: env!("CARGO_PKG_VERSION"),
    }))
}

/// The fleet of the run in numbers.
#[utoipa::path(get, path = "/api/stats", tag = "operators",
    responses((status = 200, description = "The numbers", body = Stats)))]
pub async fn stats(State(app): State<Arc<App>>, context: Context) -> Answer<Json<Stats>> {
    Ok(Json(Box::pin(stats::collect(&app, &context.run)).await?))
}

/// Infections of the run.
#[utoipa::path(get, path = "/api/infections", tag = "operators",
    responses((status = 200, description = "How many ever, and who is ill now", body = Infections)))]
pub async fn infections(State(app): State<Arc<App>>, context: Context) -> Answer<Json<Infections>> {
    let run = &context.run;
    let open = app.roles.cases(run, open_cases()).await?;
    let totals = app.roles.case_totals(run).await?;
    let posted = stats::posted(&app, run).await?;
    let now = stats::now(&app, run, &open).await?;
    Ok(Json(Infections {
        total: totals.opened + posted.infections,
        current_quarantined: now.quarantined,
        current_infected: now.infected,
        cases: open.iter().map(CaseView::from).collect(),
    }))
}
