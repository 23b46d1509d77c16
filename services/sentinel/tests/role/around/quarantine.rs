//! A quarantine with one open case per agent, that says what the test says and writes down what it hears.

use super::{Answer, WatchStream, ok, stream, unexpected};
use crate::fixtures::{healed_of, waiting_of};
use immune_domain::detection::Infection;
use immune_domain::{AgentKey, Timestamp};
use immune_proto::v1;
use immune_proto::v1::quarantine_service_server::{QuarantineService, QuarantineServiceServer};
use immune_proto::v1::watch_cases_response::{Change, Snapshot};
use immune_runtime::grpc::RoleChannel;
use immune_runtime::grpc::inproc::pair;
use immune_runtime::grpc::server::serve_in_process;
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Status};

#[derive(Clone)]
pub struct Quarantine {
    /// Told to the watchers that there are. Nothing is told by itself.
    pub cases: broadcast::Sender<Result<v1::Case, Status>>,
    /// What was accepted.
    pub reports: Arc<Mutex<Vec<Infection>>>,
    /// How many reports are to be refused first, as if it were away.
    pub refusals: Arc<Mutex<u32>>,
    /// Executions of contained agents that it heard of.
    pub executions: Arc<Mutex<Vec<String>>>,
    /// What it heard of fleet incidents.
    pub incidents: Arc<Mutex<Vec<v1::ReportFleetIncidentRequest>>>,
    /// Every case, oldest first, with whether it is open.
    kept: Arc<Mutex<Vec<(v1::Case, bool)>>>,
    /// Whether the open cases are told to whoever watches from now on.
    tells_open: bool,
}

impl Quarantine {
    pub fn new() -> Self {
        Quarantine {
            cases: broadcast::Sender::new(64),
            reports: Arc::default(),
            refusals: Arc::default(),
            executions: Arc::default(),
            incidents: Arc::default(),
            kept: Arc::default(),
            tells_open: true,
        }
    }

    /// A replica of it that knows the same and never tells watchers that it has told everything.
    pub fn reticent(&self) -> Self {
        Quarantine {
            tells_open: false,
            ..self.clone()
        }
    }

    pub fn serve(&self) -> RoleChannel {
        let (channel, connections) = pair();
        let routes = Routes::new(QuarantineServiceServer::new(self.clone()));
        tokio::spawn(serve_in_process(routes, connections, CancellationToken::new()));
        channel
    }

    /// How many cases an agent has had.
    pub fn opened(&self, key: &AgentKey) -> usize {
        let of = |(case, _): &&(v1::Case, bool)| is_of(case, key);
        self.kept.lock().unwrap().iter().filter(of).count()
    }

    /// Ends the open case of an agent. Returns it as it is then; no watcher is told.
    pub fn release(&self, key: &AgentKey, at: Timestamp) -> v1::Case {
        let mut kept = self.kept.lock().unwrap();
        let open = kept
            .iter_mut()
            .find(|(case, is_open)| *is_open && is_of(case, key));
        let entry = open.expect("an open case");
        *entry = (healed_of(key, &entry.0.case_id, at), false);
        entry.0.clone()
    }
}

fn is_of(case: &v1::Case, key: &AgentKey) -> bool {
    case.key.as_ref().is_some_and(|k| *k == v1::AgentKey::from(key))
}

#[tonic::async_trait]
impl QuarantineService for Quarantine {
    type WatchCasesStream = WatchStream<v1::WatchCasesResponse>;

    async fn watch_cases(&self, request: Request<v1::WatchCasesRequest>) -> Answer<Self::WatchCasesStream> {
        assert!(request.into_inner().from_now);
        let mut news = self.cases.subscribe();
        let mut first = Vec::new();
        if self.tells_open {
            let kept = self.kept.lock().unwrap().clone();
            let open = kept.into_iter().filter(|(_, is_open)| *is_open);
            first.extend(open.map(|(case, _)| Change::Existing(case)));
            first.push(Change::SnapshotDone(Snapshot { last_sequence: 0 }));
        }
        let first = first
            .into_iter()
            .map(|change| v1::WatchCasesResponse { change: Some(change) })
            .collect();
        let (stream, sender) = stream(first);
        tokio::spawn(async move {
            while let Ok(news) = news.recv().await {
                let is_last = news.is_err();
                let message = news.map(|case| {
                    let event = v1::CaseEvent {
                        case: Some(case),
                        ..v1::CaseEvent::default()
                    };
                    v1::WatchCasesResponse {
                        change: Some(Change::Event(event)),
                    }
                });
                if sender.send(message).await.is_err() || is_last {
                    return;
                }
            }
        });
        ok(stream)
    }

    async fn report_infection(
        &self,
        request: Request<v1::ReportInfectionRequest>,
    ) -> Answer<v1::ReportInfectionResponse> {
        let request = request.into_inner();
        let mut refusals = self.refusals.lock().unwrap();
        if *refusals > 0 {
            *refusals -= 1;
            return Err(Status::unavailable("not now"));
        }
        let infection = Infection::try_from(request.infection.unwrap()).expect("a readable report");
        let mut kept = self.kept.lock().unwrap();
        let key = infection.key.clone();
        let open = kept.iter().find(|(case, is_open)| *is_open && is_of(case, &key));
        let (case_id, opened) = match open {
            Some((case, _)) => (case.case_id.clone(), false),
            None => {
                let id = format!("c{}", kept.len() + 1);
                kept.push((waiting_of(&key, &id, infection.severity, "confirmed"), true));
                (id, true)
            }
        };
        self.reports.lock().unwrap().push(infection);
        ok(v1::ReportInfectionResponse { case_id, opened })
    }

    async fn report_fleet_incident(
        &self,
        request: Request<v1::ReportFleetIncidentRequest>,
    ) -> Answer<v1::ReportFleetIncidentResponse> {
        self.incidents.lock().unwrap().push(request.into_inner());
        ok(v1::ReportFleetIncidentResponse::default())
    }

    async fn report_execution(
        &self,
        request: Request<v1::ReportExecutionRequest>,
    ) -> Answer<v1::ReportExecutionResponse> {
        self.executions
            .lock()
            .unwrap()
            .push(request.into_inner().execution_id);
        ok(v1::ReportExecutionResponse { breached: true })
    }

    async fn list_cases(&self, request: Request<v1::ListCasesRequest>) -> Answer<v1::ListCasesResponse> {
        let request = request.into_inner();
        assert!(!request.agent_id.is_empty() && request.limit == 1);
        let key = AgentKey::new(request.run_id, request.agent_id);
        let kept = self.kept.lock().unwrap();
        let latest = kept.iter().rev().find(|(case, _)| is_of(case, &key));
        ok(v1::ListCasesResponse {
            cases: latest.map(|(case, _)| case.clone()).into_iter().collect(),
        })
    }

    async fn get_case(&self, _: Request<v1::GetCaseRequest>) -> Answer<v1::GetCaseResponse> {
        unexpected()
    }
    async fn get_case_totals(
        &self,
        _: Request<v1::GetCaseTotalsRequest>,
    ) -> Answer<v1::GetCaseTotalsResponse> {
        unexpected()
    }
    async fn decide(&self, _: Request<v1::DecideRequest>) -> Answer<v1::DecideResponse> {
        unexpected()
    }
    async fn check_admission(
        &self,
        _: Request<v1::CheckAdmissionRequest>,
    ) -> Answer<v1::CheckAdmissionResponse> {
        unexpected()
    }
    async fn claim_healing(&self, _: Request<v1::ClaimHealingRequest>) -> Answer<v1::ClaimHealingResponse> {
        unexpected()
    }
    async fn renew_healing(&self, _: Request<v1::RenewHealingRequest>) -> Answer<v1::RenewHealingResponse> {
        unexpected()
    }
    async fn begin_step(&self, _: Request<v1::BeginStepRequest>) -> Answer<v1::BeginStepResponse> {
        unexpected()
    }
    async fn end_step(&self, _: Request<v1::EndStepRequest>) -> Answer<v1::EndStepResponse> {
        unexpected()
    }
    async fn give_up_healing(
        &self,
        _: Request<v1::GiveUpHealingRequest>,
    ) -> Answer<v1::GiveUpHealingResponse> {
        unexpected()
    }
    async fn verify_healing(
        &self,
        _: Request<v1::VerifyHealingRequest>,
    ) -> Answer<v1::VerifyHealingResponse> {
        unexpected()
    }
}
