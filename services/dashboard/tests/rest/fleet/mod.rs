//! The other roles: ingestion writes to the store, the sentinel lists from it, quarantine holds cases and decides
//! them by the domain's rules, the healer remembers what the test says.

mod healer;
pub mod quarantine;

use immune_domain::baseline::Profile;
use immune_domain::case::{self, Case, QuarantinePhase};
use immune_domain::detection::{Anomaly, Deviations, Infection, WindowSummary};
use immune_domain::diagnosis::{Diagnosis, Hypothesis};
use immune_domain::fleet::Incident;
use immune_domain::memory::Memory;
use immune_domain::policy::Policy;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, AgentKey, CaseId, InfectionId, Timestamp};
use immune_proto::convert::{list, nested, run, time};
use immune_proto::v1;
use immune_proto::v1::baseline_service_server::BaselineService;
use immune_proto::v1::ingestion_service_server::IngestionService;
use immune_proto::v1::sentinel_service_server::SentinelService;
use immune_runtime::access::person_of;
use immune_runtime::clock::{Clock, System};
use immune_runtime::grpc::status;
use immune_store::VitalsStore;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;
type Stream<T> = ReceiverStream<Result<T, Status>>;

/// The other roles.
#[derive(Clone)]
pub struct Fleet {
    pub vitals: Arc<dyn VitalsStore>,
    pub cases: Arc<Mutex<Vec<Case>>>,
    pub profiles: Arc<Mutex<Vec<Profile>>>,
    pub memories: Arc<Mutex<Vec<Memory>>>,
    /// Events as quarantine announces them.
    pub events: broadcast::Sender<v1::CaseEvent>,
    /// `after_sequence` and `from_now` of every watch.
    pub watches: Arc<Mutex<Vec<(u64, bool)>>>,
    /// Agents whose judgement has changed, as the sentinel tells them.
    pub changes: broadcast::Sender<Vec<v1::AgentState>>,
    /// Watches on agents that are open.
    pub watched: Arc<AtomicUsize>,
    /// Agents that depart from their baseline now.
    pub suspects: Arc<Mutex<Vec<String>>>,
    /// Agents that are not heard any more.
    pub silent: Arc<Mutex<Vec<String>>>,
    /// Fleet incidents that the sentinel sees.
    pub incidents: Arc<Mutex<Vec<Incident>>>,
    /// How often profiles were asked for.
    pub profiles_asked: Arc<AtomicUsize>,
    /// Seconds since the last telemetry.
    pub silent_seconds: Arc<Mutex<Option<f64>>>,
    /// What holds for every agent.
    pub policy: Arc<Mutex<Policy>>,
}

impl Fleet {
    pub fn new(vitals: Arc<dyn VitalsStore>) -> Self {
        Fleet {
            vitals,
            cases: Arc::default(),
            profiles: Arc::default(),
            memories: Arc::default(),
            events: broadcast::Sender::new(16),
            watches: Arc::default(),
            changes: broadcast::Sender::new(16),
            watched: Arc::default(),
            suspects: Arc::default(),
            silent: Arc::default(),
            incidents: Arc::default(),
            profiles_asked: Arc::default(),
            silent_seconds: Arc::new(Mutex::new(Some(1.0))),
            policy: Arc::default(),
        }
    }

    /// Opens a case as quarantine would.
    pub fn open_case(&self, key: &AgentKey, severity: f64) -> Case {
        let now = System.now();
        let mut cases = self.cases.lock().unwrap();
        let id = CaseId::new(format!("case-{}", cases.len() + 1));
        let (mut case, _) = case::open(
            id,
            infection(key, severity, now),
            &self.policy.lock().unwrap(),
            case::Context::default(),
            now,
        );
        if severity < CONTAINED_BELOW {
            case.quarantine.phase = QuarantinePhase::Confirmed;
        }
        cases.push(case.clone());
        case
    }

    fn find(&self, id: &str) -> Result<Case, Status> {
        let cases = self.cases.lock().unwrap();
        let found = cases.iter().find(|case| case.id.as_str() == id).cloned();
        found.ok_or_else(|| {
            status(
                immune_domain::ErrorKind::NotFound,
                "quarantine.case_not_found",
                "there is no such case",
            )
        })
    }
}

/// From this severity on the fake platform has not answered the quarantine yet.
const CONTAINED_BELOW: f64 = 10.0;

/// A report: tokens 11.2 standard deviations off.
pub fn infection(key: &AgentKey, severity: f64, now: Timestamp) -> Infection {
    Infection {
        id: InfectionId::new(format!("infection-{key}")),
        key: key.clone(),
        detected_at: now,
        severity,
        anomalies: vec![Anomaly::TokenSpike],
        deviations: Deviations {
            tokens: Some(11.2),
            ..Deviations::default()
        },
        ruled_out: vec![],
        hypotheses: vec![Hypothesis {
            diagnosis: Diagnosis::PromptDrift,
            confidence: 0.8,
            because: "tokens are 11.2 standard deviations above the mean".to_owned(),
        }],
        window: WindowSummary::default(),
        evidence: Vec::new(),
        baseline_version: 3,
        evidence_score: None,
        workload: Default::default(),
    }
}

fn ok<T>(message: T) -> Answer<T> {
    Ok(Response::new(message))
}

fn unused<T>() -> Answer<T> {
    Err(Status::unimplemented("these tests do not ask for it"))
}

#[tonic::async_trait]
impl IngestionService for Fleet {
    async fn record_vitals(
        &self,
        request: Request<v1::RecordVitalsRequest>,
    ) -> Answer<v1::RecordVitalsResponse> {
        let vitals: Vec<Vitals> =
            list("vitals", request.into_inner().vitals).expect("the dashboard sends what it may");
        self.vitals.append(&vitals).await.expect("memory does not fail");
        ok(v1::RecordVitalsResponse {})
    }

    async fn get_ingestion_status(
        &self,
        _: Request<v1::GetIngestionStatusRequest>,
    ) -> Answer<v1::GetIngestionStatusResponse> {
        ok(v1::GetIngestionStatusResponse {
            requests: 7,
            silent_seconds: *self.silent_seconds.lock().unwrap(),
            ..Default::default()
        })
    }
}

#[tonic::async_trait]
impl BaselineService for Fleet {
    type WatchProfilesStream = Stream<v1::WatchProfilesResponse>;

    async fn get_profile(&self, request: Request<v1::GetProfileRequest>) -> Answer<v1::GetProfileResponse> {
        let key: AgentKey = nested("key", request.into_inner().key).expect("a key");
        let profiles = self.profiles.lock().unwrap();
        let profile = profiles.iter().find(|profile| profile.key == key).map(Into::into);
        ok(v1::GetProfileResponse { profile })
    }

    async fn get_profiles(
        &self,
        request: Request<v1::GetProfilesRequest>,
    ) -> Answer<v1::GetProfilesResponse> {
        self.profiles_asked.fetch_add(1, Ordering::SeqCst);
        let request = request.into_inner();
        let profiles = self.profiles.lock().unwrap();
        let wanted = profiles
            .iter()
            .filter(|profile| request.agent_ids.contains(&profile.key.agent.to_string()));
        ok(v1::GetProfilesResponse {
            profiles: wanted.map(Into::into).collect(),
        })
    }

    async fn watch_profiles(
        &self,
        _: Request<v1::WatchProfilesRequest>,
    ) -> Answer<Self::WatchProfilesStream> {
        unused()
    }

    // People's acts on baselines are tried with the real role, in the flows; here nobody has one.
    async fn reset_profile(&self, _: Request<v1::ResetProfileRequest>) -> Answer<v1::ResetProfileResponse> {
        ok(v1::ResetProfileResponse { existed: false })
    }

    async fn freeze_profile(
        &self,
        _: Request<v1::FreezeProfileRequest>,
    ) -> Answer<v1::FreezeProfileResponse> {
        Err(Status::not_found("nothing is known of the agent"))
    }

    async fn set_profile(&self, _: Request<v1::SetProfileRequest>) -> Answer<v1::SetProfileResponse> {
        Err(Status::not_found("nothing is known of the agent"))
    }

    async fn count_ready_profiles(
        &self,
        request: Request<v1::CountReadyProfilesRequest>,
    ) -> Answer<v1::CountReadyProfilesResponse> {
        let run = run("run_id", request.into_inner().run_id).expect("a run");
        let profiles = self.profiles.lock().unwrap();
        let count = profiles
            .iter()
            .filter(|p| p.key.run == run && p.state.is_ready())
            .count() as u64;
        ok(v1::CountReadyProfilesResponse { count })
    }
}

#[tonic::async_trait]
impl SentinelService for Fleet {
    type WatchVerdictsStream = Stream<v1::WatchVerdictsResponse>;
    type WatchAgentsStream = Stream<v1::WatchAgentsResponse>;

    async fn watch_agents(&self, _: Request<v1::WatchAgentsRequest>) -> Answer<Self::WatchAgentsStream> {
        let (sender, receiver) = mpsc::channel(16);
        let mut changes = self.changes.subscribe();
        let watched = self.watched.clone();
        watched.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            let mut agents = Vec::new();
            loop {
                let message = v1::WatchAgentsResponse { agents };
                if sender.send(Ok(message)).await.is_err() {
                    break;
                }
                agents = tokio::select! {
                    changed = changes.recv() => match changed {
                        Ok(changed) => changed,
                        Err(_) => break,
                    },
                    () = sender.closed() => break,
                };
            }
            watched.fetch_sub(1, Ordering::SeqCst);
        });
        ok(ReceiverStream::new(receiver))
    }

    async fn list_fleet_incidents(
        &self,
        request: Request<v1::ListFleetIncidentsRequest>,
    ) -> Answer<v1::ListFleetIncidentsResponse> {
        let run = request.into_inner().run_id;
        let incidents = self.incidents.lock().unwrap();
        let incidents = incidents.iter().filter(|incident| incident.run.as_str() == run);
        ok(v1::ListFleetIncidentsResponse {
            incidents: incidents.map(Into::into).collect(),
        })
    }

    async fn backtest(&self, _: Request<v1::BacktestRequest>) -> Answer<v1::BacktestResponse> {
        unused()
    }

    async fn get_sentinel_status(
        &self,
        _: Request<v1::GetSentinelStatusRequest>,
    ) -> Answer<v1::GetSentinelStatusResponse> {
        ok(v1::GetSentinelStatusResponse {
            partitions: 1,
            profiles_known: true,
            cases_known: true,
            idle_seconds: Some(1.0),
            lag_seconds: Some(0.02),
        })
    }

    async fn watch_verdicts(
        &self,
        _: Request<v1::WatchVerdictsRequest>,
    ) -> Answer<Self::WatchVerdictsStream> {
        unused()
    }

    async fn judge_since(&self, _: Request<v1::JudgeSinceRequest>) -> Answer<v1::JudgeSinceResponse> {
        unused()
    }

    async fn report_agent_infected(
        &self,
        request: Request<v1::ReportAgentInfectedRequest>,
    ) -> Answer<v1::ReportAgentInfectedResponse> {
        let by = person_of(&request)?;
        let request = request.into_inner();
        assert_eq!(request.reported_by, by.subject);
        let key: AgentKey = nested("key", request.key).expect("a key");
        let case_id = self.open_case(&key, 9.0).id.to_string();
        ok(v1::ReportAgentInfectedResponse { case_id })
    }

    async fn get_agent(&self, request: Request<v1::GetAgentRequest>) -> Answer<v1::GetAgentResponse> {
        let key: AgentKey = nested("key", request.into_inner().key).expect("a key");
        let all = self
            .vitals
            .agents(&key.run, None, 10_000)
            .await
            .expect("memory does not fail");
        let agent = all.into_iter().find(|summary| summary.key == key);
        ok(v1::GetAgentResponse {
            agent: agent.map(|summary| self.state(summary)),
        })
    }

    async fn list_agents(&self, request: Request<v1::ListAgentsRequest>) -> Answer<v1::ListAgentsResponse> {
        let v1::ListAgentsRequest {
            run_id,
            after,
            limit,
            agent_ids,
            suspects,
            ..
        } = request.into_inner();
        let run = run("run_id", run_id).expect("a run");
        if suspects || !agent_ids.is_empty() {
            let named = if suspects {
                self.suspects.lock().unwrap().clone()
            } else {
                agent_ids
            };
            let named: Vec<AgentId> = named.into_iter().map(AgentId::from).collect();
            let found = self.vitals.summaries(&run, &named).await;
            let found = found.expect("memory does not fail").into_iter();
            return ok(v1::ListAgentsResponse {
                agents: found.map(|summary| self.state(summary)).collect(),
                ..Default::default()
            });
        }
        let after = Some(after).filter(|after| !after.is_empty());
        let page = self
            .vitals
            .agents(&run, after.as_deref(), limit)
            .await
            .expect("memory does not fail");
        let total = self
            .vitals
            .agents_seen(&run, Timestamp::EPOCH)
            .await
            .expect("memory does not fail");
        let agents = page.into_iter().map(|summary| self.state(summary)).collect();
        ok(v1::ListAgentsResponse {
            agents,
            total,
            seen_last_hour: total,
        })
    }
}

impl Fleet {
    /// What the sentinel says of an agent with this record.
    pub fn state(&self, summary: immune_store::vitals::AgentSummary) -> v1::AgentState {
        let profiles = self.profiles.lock().unwrap();
        let profile = profiles.iter().find(|profile| profile.key == summary.key);
        let context = &summary.latest.context;
        let suspect = self
            .suspects
            .lock()
            .unwrap()
            .contains(&summary.key.agent.to_string());
        let id = summary.key.agent.to_string();
        let is_silent = self.silent.lock().unwrap().contains(&id);
        let telemetry = match is_silent {
            true => v1::agent_state::Telemetry::Silent,
            false => v1::agent_state::Telemetry::Live,
        };
        v1::AgentState {
            telemetry: telemetry.into(),
            silent_seconds: is_silent.then_some(75.0),
            suspect,
            severity: if suspect { 4.5 } else { 0.0 },
            agent_type: context.agent_type.clone(),
            model: context.model.clone(),
            first_seen_at: Some(time::to_wire(summary.first_received_at)),
            last_seen_at: Some(time::to_wire(summary.latest.received_at)),
            executions: summary.executions,
            latest: Some((&summary.latest).into()),
            baseline_state: profile
                .map_or(v1::ProfileState::Learning, |p| p.state.into())
                .into(),
            baseline_samples: profile.map_or(0, |profile| profile.sample_count),
            baseline_samples_min: 15,
            key: Some(summary.key.into()),
            ..v1::AgentState::default()
        }
    }
}
