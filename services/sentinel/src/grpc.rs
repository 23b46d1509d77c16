//! `immune.v1.SentinelService`: translation only.

use crate::Service;
use crate::verdicts::Verdict;
use crate::{listing, proof};
use immune_domain::{AgentKey, ErrorKind, InfectionId};
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

/// The longest reason that is kept of the platform's word, bytes.
const REASON_BYTES_MAX: usize = 2_048;

#[tonic::async_trait]
impl SentinelService for Service {
    type WatchVerdictsStream = ReceiverStream<Result<v1::WatchVerdictsResponse, Status>>;

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

    async fn get_agent(
        &self,
        request: Request<v1::GetAgentRequest>,
    ) -> Result<Response<v1::GetAgentResponse>, Status> {
        let key: AgentKey = nested("key", request.into_inner().key).map_err(invalid)?;
        self.check_held(&key).await?;
        let agent = listing::get(&self.directory, &*self.store, &key)
            .await
            .map_err(stored)?;
        Ok(Response::new(v1::GetAgentResponse { agent }))
    }

    async fn list_agents(
        &self,
        request: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsResponse>, Status> {
        let v1::ListAgentsRequest { run_id, after, limit } = request.into_inner();
        let run = run("run_id", run_id).map_err(invalid)?;
        let after = (!after.is_empty()).then_some(after.as_str());
        let now = self.clock.now();
        let page = listing::list(&self.directory, &*self.store, &run, after, limit, now)
            .await
            .map_err(stored)?;
        Ok(Response::new(page))
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
        teaches: verdict.reason == crate::reason::Reason::Healthy,
        reason: verdict.reason.as_str().to_owned(),
    }
}

fn invalid(error: WireError) -> Status {
    status(error.kind(), "sentinel.invalid_request", error.to_string())
}

fn stored(error: StorageError) -> Status {
    tracing::warn!(%error, "the store of vitals failed");
    status(error.kind(), "sentinel.store", error.to_string())
}
