//! `immune.v1.DashboardService`: translation only.

use crate::{Service, fleet, stats};
use immune_domain::ErrorKind;
use immune_proto::convert::{WireError, run};
use immune_proto::v1;
use immune_proto::v1::dashboard_service_server::DashboardService;
use immune_runtime::grpc::status;
use immune_runtime::http::problem::Problem;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl DashboardService for Service {
    async fn get_stats(
        &self,
        request: Request<v1::GetStatsRequest>,
    ) -> Result<Response<v1::GetStatsResponse>, Status> {
        let run = run("run_id", request.into_inner().run_id).map_err(invalid)?;
        let stats = Box::pin(stats::collect(&self.app, &run)).await.map_err(refused)?;
        Ok(Response::new(v1::GetStatsResponse {
            total_agents: stats.total_agents,
            total_executions: stats.total_executions,
            baselines_learned: stats.baselines_learned,
            total_infections: stats.total_infections,
            current_infected: stats.current_infected,
            current_quarantined: stats.current_quarantined,
            total_quarantines: stats.total_quarantines,
            total_healed: stats.total_healed,
            failed_healings: stats.failed_healings,
            success_rate: stats.success_rate,
            learned_patterns: stats.learned_patterns,
            immune_records: stats.immune_records,
            runtime_seconds: stats.runtime,
        }))
    }

    async fn list_fleet(
        &self,
        request: Request<v1::ListFleetRequest>,
    ) -> Result<Response<v1::ListFleetResponse>, Status> {
        let v1::ListFleetRequest { run_id, after, limit } = request.into_inner();
        let run = run("run_id", run_id).map_err(invalid)?;
        let agents = self
            .app
            .roles
            .agents(&run, &after, limit)
            .await
            .map_err(refused)?;
        let total = fleet::count(&self.app, &run).await.map_err(refused)?;
        Ok(Response::new(v1::ListFleetResponse { agents, total }))
    }
}

fn invalid(error: WireError) -> Status {
    status(error.kind(), "dashboard.invalid_request", error.to_string())
}

/// The status of a problem; whatever it is, the words were chosen for clients.
fn refused(problem: Problem) -> Status {
    let kind = match problem.status {
        400 => ErrorKind::Invalid,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::Overloaded,
        503 => ErrorKind::Unavailable,
        504 => ErrorKind::Timeout,
        _ => ErrorKind::Internal,
    };
    let word = problem.type_.rsplit(':').next().unwrap_or("dashboard.refused");
    status(kind, word, problem.detail.clone())
}
