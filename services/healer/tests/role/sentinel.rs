//! A sentinel that judges by what the platform did.

use crate::platform::Platform;
use immune_domain::AgentKey;
use immune_proto::v1;
use immune_proto::v1::judge_since_response::Verdict;
use immune_proto::v1::sentinel_service_server::SentinelService;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Sentinel {
    pub platform: Arc<Platform>,
    /// Agents do not run.
    pub silent: Arc<AtomicBool>,
}

type Verdicts = Pin<Box<dyn futures::Stream<Item = Result<v1::WatchVerdictsResponse, Status>> + Send>>;

type Agents = Pin<Box<dyn futures::Stream<Item = Result<v1::WatchAgentsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl SentinelService for Sentinel {
    type WatchVerdictsStream = Verdicts;
    type WatchAgentsStream = Agents;

    async fn judge_since(
        &self,
        request: Request<v1::JudgeSinceRequest>,
    ) -> Result<Response<v1::JudgeSinceResponse>, Status> {
        let request = request.into_inner();
        let key = AgentKey::try_from(request.key.unwrap()).unwrap();
        let (verdict, seen) = match (self.silent.load(Ordering::SeqCst), self.platform.is_cured(&key)) {
            (true, _) => (Verdict::Pending, 0),
            (false, true) => (Verdict::Within, request.executions_wanted),
            (false, false) => (Verdict::Beyond, 1),
        };
        Ok(Response::new(v1::JudgeSinceResponse {
            verdict: verdict.into(),
            executions_seen: seen,
            because: format!("{seen} executions"),
            ..Default::default()
        }))
    }

    async fn watch_verdicts(
        &self,
        _: Request<v1::WatchVerdictsRequest>,
    ) -> Result<Response<Verdicts>, Status> {
        Err(Status::unimplemented("not asked by the healer"))
    }

    async fn report_agent_infected(
        &self,
        _: Request<v1::ReportAgentInfectedRequest>,
    ) -> Result<Response<v1::ReportAgentInfectedResponse>, Status> {
        Err(Status::unimplemented("not asked by the healer"))
    }

    async fn get_agent(
        &self,
        _: Request<v1::GetAgentRequest>,
    ) -> Result<Response<v1::GetAgentResponse>, Status> {
        Err(Status::unimplemented("not asked by the healer"))
    }

    async fn watch_agents(
        &self,
        _: Request<v1::WatchAgentsRequest>,
    ) -> Result<Response<Self::WatchAgentsStream>, Status> {
        Err(Status::unimplemented("not asked by the healer"))
    }

    async fn list_fleet_incidents(
        &self,
        _: Request<v1::ListFleetIncidentsRequest>,
    ) -> Result<Response<v1::ListFleetIncidentsResponse>, Status> {
        Err(Status::unimplemented("not asked by the healer"))
    }

    async fn backtest(
        &self,
        _: Request<v1::BacktestRequest>,
    ) -> Result<Response<v1::BacktestResponse>, Status> {
        Err(Status::unimplemented("not asked by the healer"))
    }

    async fn get_sentinel_status(
        &self,
        _: Request<v1::GetSentinelStatusRequest>,
    ) -> Result<Response<v1::GetSentinelStatusResponse>, Status> {
        Err(Status::unimplemented("not asked by the healer"))
    }

    async fn list_agents(
        &self,
        _: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsResponse>, Status> {
        Err(Status::unimplemented("not asked by the healer"))
    }
}
