//! `immune.v1.SentinelService`: translation only.

use crate::Service;
use crate::verdicts::Verdict;
use crate::{listing, proof};
use immune_domain::{AgentId, AgentKey, ErrorKind, InfectionId};
use immune_proto::convert::{WireError, id, nested, run, time};
use immune_proto::v1;
use immune_proto::v1::sentinel_service_server::SentinelService;
use immune_runtime::grpc::{not_owner, status};
use immune_store::StorageError;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Messages of a watch that may wait for its reader.
const STREAM_MAX: usize = 1_024;

/// Messages of changed agents that may wait for their reader; then they wait where they are collected.
const AGENTS_STREAM_MAX: usize = 1;

/// Agents that are asked for by name at most.
const AGENTS_NAMED_MAX: usize = 1_000;

/// The longest reason that is kept of the platform's word, bytes.
const REASON_BYTES_MAX: usize = 2_048;

#[tonic::async_trait]
impl SentinelService for Service {
    type WatchVerdictsStream = ReceiverStream<Result<v1::WatchVerdictsResponse, Status>>;
    type WatchAgentsStream = ReceiverStream<crate::telling::Sent>;

    async fn watch_verdicts(
        &self,
        _request: Request<v1::WatchVerdictsRequest>,
    ) -> Result<Response<Self::WatchVerdictsStream>, Status> {
        let (sender, receiver) = mpsc::channel(STREAM_MAX);
        let service = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = service.send_verdicts(&sender) => {}
                () = service.closed.cancelled() => {}
                () = sender.closed() => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn judge_since(
        &self,
        request: Request<v1::JudgeSinceRequest>,
    ) -> Result<Response<v1::JudgeSinceResponse>, Status> {
        let request = request.into_inner();
        let key: AgentKey = nested("key", request.key).map_err(invalid)?;
        self.check_held(&key).await?;
        if !self.standing.knows_profile(&key) {
            // Without its profile any agent would be well.
            let message = "the profiles of the agent's partition are not known yet";
            return Err(status(
                ErrorKind::Unavailable,
                "sentinel.profiles_unknown",
                message,
            ));
        }
        let since = time::from_wire("since", request.since).map_err(invalid)?;
        let wanted = request.executions_wanted;
        let finding = proof::judge_since(&self.directory, &*self.store, &key, since, wanted)
            .await
            .map_err(stored)?;
        Ok(Response::new(v1::JudgeSinceResponse {
            verdict: v1::judge_since_response::Verdict::from(finding.verdict).into(),
            executions_seen: finding.executions,
            deviations: Some(finding.judgement.deviations.into()),
            failure_share: finding.recent.failure_share,
            because: finding.because,
        }))
    }

    async fn report_agent_infected(
        &self,
        request: Request<v1::ReportAgentInfectedRequest>,
    ) -> Result<Response<v1::ReportAgentInfectedResponse>, Status> {
        let request = request.into_inner();
        let key: AgentKey = nested("key", request.key).map_err(invalid)?;
        if request.reason.len() > REASON_BYTES_MAX {
            let problem = format!(
                "has {} bytes, the most is {REASON_BYTES_MAX}",
                request.reason.len()
            );
            return Err(invalid(WireError::new("reason", problem)));
        }
        let infection: InfectionId = match request.infection_id.is_empty() {
            true => InfectionId::new(uuid::Uuid::new_v4().to_string()),
            false => id("infection_id", request.infection_id).map_err(invalid)?,
        };
        self.check_held(&key).await?;
        let case = self
            .report_now(&key, infection, &request.reason, &request.reported_by)
            .await?;
        Ok(Response::new(v1::ReportAgentInfectedResponse {
            case_id: case.to_string(),
        }))
    }

    async fn backtest(
        &self,
        request: Request<v1::BacktestRequest>,
    ) -> Result<Response<v1::BacktestResponse>, Status> {
        let answer = tokio::select! {
            answer = self.asking.answer(request.into_inner()) => answer?,
            () = self.closed.cancelled() => return Err(Status::unavailable("the sentinel stops")),
        };
        Ok(Response::new(answer))
    }

    async fn get_agent(
        &self,
        request: Request<v1::GetAgentRequest>,
    ) -> Result<Response<v1::GetAgentResponse>, Status> {
        let key: AgentKey = nested("key", request.into_inner().key).map_err(invalid)?;
        self.check_held(&key).await?;
        let agent = listing::get(&self.directory, &*self.store, &key, self.clock.now())
            .await
            .map_err(stored)?;
        Ok(Response::new(v1::GetAgentResponse { agent }))
    }

    async fn list_agents(
        &self,
        request: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsResponse>, Status> {
        let v1::ListAgentsRequest {
            run_id,
            after,
            limit,
            brief,
            agent_ids,
            suspects,
        } = request.into_inner();
        let run = run("run_id", run_id).map_err(invalid)?;
        let (directory, store, now) = (&*self.directory, &*self.store, self.clock.now());
        if suspects {
            return Ok(Response::new(listing::suspects(directory, &run, now)));
        }
        if !agent_ids.is_empty() {
            let agents = agents(agent_ids).map_err(invalid)?;
            let found = listing::these(directory, store, &run, &agents, brief, now).await;
            return Ok(Response::new(listing::page(found.map_err(stored)?)));
        }
        let after = (!after.is_empty()).then_some(after.as_str());
        let page = match brief {
            true => listing::brief(directory, store, &run, after, limit, now).await,
            false => listing::list(directory, store, &run, after, limit, now).await,
        };
        Ok(Response::new(page.map_err(stored)?))
    }

    async fn watch_agents(
        &self,
        request: Request<v1::WatchAgentsRequest>,
    ) -> Result<Response<Self::WatchAgentsStream>, Status> {
        let run = run("run_id", request.into_inner().run_id).map_err(invalid)?;
        let watch = self.directory.changes().watch(run).ok_or_else(|| {
            let message = "too many watches on agents are open";
            status(ErrorKind::Overloaded, "sentinel.watches_max", message)
        })?;
        let (sender, receiver) = mpsc::channel(AGENTS_STREAM_MAX);
        let service = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = service.tell_changes(&watch, &sender) => {}
                () = service.closed.cancelled() => {}
                () = sender.closed() => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_fleet_incidents(
        &self,
        request: Request<v1::ListFleetIncidentsRequest>,
    ) -> Result<Response<v1::ListFleetIncidentsResponse>, Status> {
        let run = run("run_id", request.into_inner().run_id).map_err(invalid)?;
        let incidents = self.directory.fleet().list(&run);
        Ok(Response::new(v1::ListFleetIncidentsResponse {
            incidents: incidents.iter().map(Into::into).collect(),
        }))
    }

    async fn get_sentinel_status(
        &self,
        _request: Request<v1::GetSentinelStatusRequest>,
    ) -> Result<Response<v1::GetSentinelStatusResponse>, Status> {
        let state = *self.standing.state().borrow();
        let now = self.clock.now();
        let pace = self.standing.pace();
        Ok(Response::new(v1::GetSentinelStatusResponse {
            partitions: u32::try_from(state.partitions_held).unwrap_or(u32::MAX),
            profiles_known: state.profiles_known,
            cases_known: state.cases_known,
            idle_seconds: pace.map(|(at, _)| now.since(at).as_secs_f64()),
            lag_seconds: pace.map(|(_, lag)| lag.as_secs_f64()),
        }))
    }
}

impl Service {
    /// Refuses to speak of an agent whose partition is held elsewhere.
    async fn check_held(&self, key: &AgentKey) -> Result<(), Status> {
        if self.standing.settled(key).await {
            Ok(())
        } else {
            Err(not_owner::status())
        }
    }

    /// What is kept, then each verdict; ends when the reader is gone or too far behind.
    async fn send_verdicts(&self, sender: &mpsc::Sender<Result<v1::WatchVerdictsResponse, Status>>) {
        let (kept, mut stream) = self.verdicts.watch();
        for verdict in kept {
            if sender.send(Ok(wire(&verdict))).await.is_err() {
                return;
            }
        }
        loop {
            let next = match stream.recv().await {
                Ok(verdict) => Ok(wire(&verdict)),
                Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(missed)) => {
                    let message = format!("{missed} verdicts were missed; watch again");
                    Err(status(ErrorKind::Unavailable, "sentinel.watch_behind", message))
                }
            };
            let is_last = next.is_err();
            if sender.send(next).await.is_err() || is_last {
                return;
            }
        }
    }
}

fn wire(verdict: &Arc<Verdict>) -> v1::WatchVerdictsResponse {
    v1::WatchVerdictsResponse {
        key: Some((&verdict.key).into()),
        execution_id: verdict.execution.to_string(),
        revision: verdict.revision,
        teaches: verdict.reason.teaches(),
        reason: verdict.reason.as_str().to_owned(),
    }
}

fn agents(ids: Vec<String>) -> Result<Vec<AgentId>, WireError> {
    if ids.len() > AGENTS_NAMED_MAX {
        let problem = format!("has {} ids, the most is {AGENTS_NAMED_MAX}", ids.len());
        return Err(WireError::new("agent_ids", problem));
    }
    ids.into_iter().map(|text| id("agent_ids", text)).collect()
}

fn invalid(error: WireError) -> Status {
    status(error.kind(), "sentinel.invalid_request", error.to_string())
}

fn stored(error: StorageError) -> Status {
    tracing::warn!(%error, "the store of vitals failed");
    status(error.kind(), "sentinel.store", error.to_string())
}
