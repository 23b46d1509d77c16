//! The whole fleet of a run, as few calls tell it: agents in brief, who is suspect, open cases, and what changes.

use super::agents::{merge, sentinel};
use super::{ANSWER_BYTES_MAX, Roles};
use crate::problems::{Answer, garbled};
use crate::view::brief::OpenCase;
use futures::future::join_all;
use immune_domain::baseline::Profile;
use immune_domain::case::Case;
use immune_domain::fleet::Incident;
use immune_domain::{AgentId, ErrorKind, RunId};
use immune_proto::convert;
use immune_proto::v1;
use immune_proto::v1::baseline_service_client::BaselineServiceClient;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_proto::v1::watch_cases_response::Change;
use immune_runtime::grpc::{Peer, RoleChannel};
use immune_runtime::http::problem::Problem;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::{Status, Streaming};

/// Agents, or profiles, asked for by name in one call.
pub(crate) const NAMED_MAX: usize = 1_000;

/// The open cases of a run, and the event up to which they are told.
pub(crate) struct OpenCases {
    pub cases: HashMap<AgentId, OpenCase>,
    pub sequence: u64,
}

impl Roles {
    /// Agents of a run in brief, ordered by id, from after `after`, as one replica of the sentinel knows them: of
    /// those that another one judges it does not know the judgement, see [`Roles::suspects`].
    pub async fn agents_in_brief(&self, run: &RunId, after: &str, limit: u32) -> Answer<Vec<v1::AgentState>> {
        let request = v1::ListAgentsRequest {
            run_id: run.to_string(),
            after: after.to_owned(),
            limit,
            brief: true,
            ..v1::ListAgentsRequest::default()
        };
        let mut sentinel = sentinel(self.sentinel.any());
        Ok(self.ask("sentinel", sentinel.list_agents(request)).await?.agents)
    }

    /// Who departs from the baseline now, by agent, as those say who judge them.
    pub async fn suspects(&self, run: &RunId) -> Answer<HashMap<String, v1::AgentState>> {
        let request = v1::ListAgentsRequest {
            run_id: run.to_string(),
            suspects: true,
            ..v1::ListAgentsRequest::default()
        };
        let states = self.everywhere(request).await?.into_iter().flatten();
        let by_id = states.filter_map(|state| Some((state.key.as_ref()?.agent_id.clone(), state)));
        Ok(by_id.collect())
    }

    /// The fleet incidents of a run, as each replica of the sentinel sees them among its agents; without those that do
    /// not answer, if any does.
    pub async fn incidents(&self, run: &RunId) -> Answer<Vec<Incident>> {
        let request = v1::ListFleetIncidentsRequest {
            run_id: run.to_string(),
        };
        let peers = self.sentinel.each().borrow().clone();
        let mut channels: Vec<RoleChannel> = peers.iter().map(|peer| peer.channel.clone()).collect();
        if channels.is_empty() {
            channels.push(self.sentinel.any());
        }
        let asked = channels.into_iter().map(|channel| {
            let request = request.clone();
            self.ask("sentinel", async move {
                sentinel(channel).list_fleet_incidents(request).await
            })
        });
        let (mut found, mut problem, mut is_answered) = (Vec::new(), None, false);
        for answer in join_all(asked).await {
            match answer {
                Ok(answer) => {
                    is_answered = true;
                    found.extend(convert::list("incidents", answer.incidents).map_err(garbled)?);
                }
                Err(refused) => problem = Some(refused),
            }
        }
        match problem {
            Some(problem) if !is_answered => Err(problem),
            Some(_) | None => Ok(found),
        }
    }

    /// These agents in brief, at most [`NAMED_MAX`], each as the replica says that judges it.
    pub async fn agents_named(&self, run: &RunId, agents: &[AgentId]) -> Answer<Vec<v1::AgentState>> {
        let agents = &agents[..agents.len().min(NAMED_MAX)];
        let request = v1::ListAgentsRequest {
            run_id: run.to_string(),
            brief: true,
            agent_ids: agents.iter().map(AgentId::to_string).collect(),
            ..v1::ListAgentsRequest::default()
        };
        Ok(merge(self.everywhere(request).await?, NAMED_MAX))
    }

    /// The profiles of these agents, at most [`NAMED_MAX`]: each replica of baseline tells those that it holds.
    /// Without those of replicas that do not answer, if any does.
    pub async fn profiles(&self, run: &RunId, agents: &[AgentId]) -> Answer<Vec<Profile>> {
        let request = v1::GetProfilesRequest {
            run_id: run.to_string(),
            agent_ids: agents.iter().take(NAMED_MAX).map(AgentId::to_string).collect(),
        };
        let peers = self.baseline.each().borrow().clone();
        let mut channels: Vec<RoleChannel> = peers.iter().map(|peer| peer.channel.clone()).collect();
        if channels.is_empty() {
            channels.push(self.baseline.any());
        }
        let asked = channels.into_iter().map(|channel| {
            let request = request.clone();
            self.ask("baseline", async move {
                BaselineServiceClient::new(channel).get_profiles(request).await
            })
        });
        let (mut found, mut problem, mut is_answered) = (Vec::new(), None, false);
        for answer in join_all(asked).await {
            match answer {
                Ok(answer) => {
                    is_answered = true;
                    found.extend(convert::list("profiles", answer.profiles).map_err(garbled)?);
                }
                Err(refused) => problem = Some(refused),
            }
        }
        match problem {
            Some(problem) if !is_answered => Err(problem),
            Some(_) | None => Ok(found),
        }
    }

    /// The open cases of a run, and the event up to which they are told: whoever goes on after it misses nothing.
    pub async fn open_cases(&self, run: &RunId) -> Answer<OpenCases> {
        let mut changes = self.watch_cases(None, Some(run)).await?;
        let told = async {
            let mut cases = HashMap::new();
            while let Some(message) = changes.message().await? {
                match message.change {
                    Some(Change::Existing(case)) => {
                        if let Some((agent, case)) = open_case(case) {
                            cases.insert(agent, case);
                        }
                    }
                    Some(Change::SnapshotDone(snapshot)) => {
                        let sequence = snapshot.last_sequence;
                        return Ok(OpenCases { cases, sequence });
                    }
                    Some(Change::Event(_) | Change::Missed(_)) | None => {}
                }
            }
            Err(Status::unavailable("the watch ended before the open cases did"))
        };
        match timeout(self.deadline, told).await {
            Ok(Ok(cases)) => Ok(cases),
            Ok(Err(status)) => Err(super::refused("quarantine", &status)),
            Err(_) => Err(Problem::new(
                ErrorKind::Timeout,
                "dashboard.role_timeout",
                "quarantine did not tell its open cases in time",
            )),
        }
    }

    /// The replicas of the sentinel as they are and as they change.
    pub fn sentinels(&self) -> watch::Receiver<Arc<[Peer]>> {
        self.sentinel.each()
    }

    /// The agents of a run that change, of those that one replica of the sentinel judges.
    pub async fn watch_agents(
        &self,
        replica: RoleChannel,
        run: &RunId,
    ) -> Result<Streaming<v1::WatchAgentsResponse>, Status> {
        let request = v1::WatchAgentsRequest {
            run_id: run.to_string(),
        };
        let mut client = sentinel(replica);
        match timeout(self.deadline, client.watch_agents(request)).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("the sentinel did not begin the watch")),
        }
    }

    /// Open cases and then events when `after` is `None`; events after one otherwise. Of one run, or of all.
    pub async fn watch_cases(
        &self,
        after: Option<u64>,
        only_run: Option<&RunId>,
    ) -> Answer<Streaming<v1::WatchCasesResponse>> {
        let request = v1::WatchCasesRequest {
            after_sequence: after.unwrap_or_default(),
            from_now: after.is_none(),
            only_run: only_run.map(RunId::to_string).unwrap_or_default(),
        };
        let mut client: QuarantineServiceClient<RoleChannel> = self
            .quarantine
            .clone()
            .max_decoding_message_size(ANSWER_BYTES_MAX);
        self.ask("quarantine", client.watch_cases(request)).await
    }
}

/// An open case in short; `None` when it is closed or cannot be read.
pub(crate) fn open_case(case: v1::Case) -> Option<(AgentId, OpenCase)> {
    let case = Case::try_from(case)
        .inspect_err(|error| tracing::error!(%error, "a watched case cannot be read"))
        .ok()?;
    (!case.state.is_closed()).then(|| (case.key.agent.clone(), OpenCase::of(&case)))
}
