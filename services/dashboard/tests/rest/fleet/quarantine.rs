//! Quarantine: cases in memory, decided by the domain's rules.

use super::{Answer, Fleet, Stream, ok, unused};
use immune_domain::case::{self, Case, Command, Decision};
use immune_domain::{AgentKey, RunId};
use immune_proto::convert::{decision as word, nested, run};
use immune_proto::v1;
use immune_proto::v1::quarantine_service_server::QuarantineService;
use immune_proto::v1::watch_cases_response::{Change, Missed, Snapshot};
use immune_runtime::access::person_of;
use immune_runtime::clock::{Clock, System};
use immune_runtime::grpc::status;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;

/// An event whose successors are not kept any more.
pub const FORGOTTEN: u64 = 13;

#[tonic::async_trait]
impl QuarantineService for Fleet {
    type WatchCasesStream = Stream<v1::WatchCasesResponse>;

    async fn get_case(&self, request: Request<v1::GetCaseRequest>) -> Answer<v1::GetCaseResponse> {
        let case = self.find(&request.into_inner().case_id)?;
        ok(v1::GetCaseResponse {
            case: Some(case.into()),
        })
    }

    async fn list_cases(&self, request: Request<v1::ListCasesRequest>) -> Answer<v1::ListCasesResponse> {
        let request = request.into_inner();
        let run = run("run_id", request.run_id).expect("a run");
        let cases = self.cases.lock().unwrap();
        let newest_first = cases.iter().rev();
        let after_page = newest_first
            .skip_while(|case| {
                !request.before_case_id.is_empty() && case.id.as_str() != request.before_case_id
            })
            .skip(usize::from(!request.before_case_id.is_empty()));
        let found = after_page
            .filter(|case| case.key.run == run)
            .filter(|case| request.agent_id.is_empty() || case.key.agent.as_str() == request.agent_id)
            .filter(|case| request.open.is_none_or(|open| open != case.state.is_closed()))
            .filter(|case| {
                request.states.is_empty() || request.states.iter().any(|s| s == case.state.as_str())
            });
        ok(v1::ListCasesResponse {
            cases: found.take(request.limit as usize).map(Into::into).collect(),
        })
    }

    async fn get_case_totals(
        &self,
        request: Request<v1::GetCaseTotalsRequest>,
    ) -> Answer<v1::GetCaseTotalsResponse> {
        let run: RunId = run("run_id", request.into_inner().run_id).expect("a run");
        let cases = self.cases.lock().unwrap();
        let of_run: Vec<&Case> = cases.iter().filter(|case| case.key.run == run).collect();
        let count = |holds: fn(&Case) -> bool| of_run.iter().filter(|case| holds(case)).count() as u64;
        ok(v1::GetCaseTotalsResponse {
            opened: of_run.len() as u64,
            open: count(|case| !case.state.is_closed()),
            quarantined: count(|_| true),
            healed: 0,
        })
    }

    async fn watch_cases(&self, request: Request<v1::WatchCasesRequest>) -> Answer<Self::WatchCasesStream> {
        let request = request.into_inner();
        self.watches
            .lock()
            .unwrap()
            .push((request.after_sequence, request.from_now));
        let (sender, receiver) = mpsc::channel(16);
        let mut events = self.events.subscribe();
        let mut open: Vec<Case> = self.cases.lock().unwrap().clone();
        open.retain(|case| {
            let is_of_run = request.only_run.is_empty() || case.key.run.as_str() == request.only_run;
            is_of_run && !case.state.is_closed()
        });
        let is_missed = request.after_sequence == FORGOTTEN;
        tokio::spawn(async move {
            let send = async |change| {
                sender
                    .send(Ok(v1::WatchCasesResponse { change: Some(change) }))
                    .await
            };
            if is_missed {
                let _ = send(Change::Missed(Missed {})).await;
            }
            if request.from_now || is_missed {
                for case in open {
                    let _ = send(Change::Existing(case.into())).await;
                }
                let _ = send(Change::SnapshotDone(Snapshot { last_sequence: 4 })).await;
            }
            while let Ok(event) = events.recv().await {
                if send(Change::Event(event)).await.is_err() {
                    return;
                }
            }
        });
        ok(ReceiverStream::new(receiver))
    }

    async fn decide(&self, request: Request<v1::DecideRequest>) -> Answer<v1::DecideResponse> {
        let by = person_of(&request)?;
        let request = request.into_inner();
        let case = self.find(&request.case_id)?;
        let run = case.key.run.to_string();
        if !request.only_runs.is_empty() && !request.only_runs.contains(&run) {
            let message = "there is no such case";
            return Err(status(
                immune_domain::ErrorKind::NotFound,
                "quarantine.case_not_found",
                message,
            ));
        }
        let reason = request.reason;
        let command = match word::decision("decision", request.decision).expect("a decision") {
            Decision::Approve => Command::Approve { by, reason },
            Decision::Reject => Command::Reject { by, reason },
            Decision::HealNow => Command::HealNow { by, reason },
            Decision::Release => Command::Release { by, reason },
        };
        let (id, version) = (case.id.clone(), case.version);
        let policy = self.policy.lock().unwrap().clone();
        let (next, _) = case::decide(case, command, &policy, System.now()).map_err(|refusal| {
            status(
                refusal.kind(),
                &format!("quarantine.{}", refusal.code()),
                refusal.to_string(),
            )
        })?;
        // What happened meanwhile refuses by itself, or the version does.
        if ![0, version].contains(&request.expected_version) {
            let message = format!("case {id} has changed: it has version {version}");
            let kind = immune_domain::ErrorKind::Conflict;
            return Err(status(kind, "quarantine.version_conflict", message));
        }
        let mut cases = self.cases.lock().unwrap();
        let place = cases
            .iter_mut()
            .find(|case| case.id == id)
            .expect("it was found above");
        *place = next.clone();
        ok(v1::DecideResponse {
            case: Some(next.into()),
        })
    }

    async fn check_admission(
        &self,
        request: Request<v1::CheckAdmissionRequest>,
    ) -> Answer<v1::CheckAdmissionResponse> {
        let key: AgentKey = nested("key", request.into_inner().key).expect("a key");
        let cases = self.cases.lock().unwrap();
        let denying = cases
            .iter()
            .find(|case| case.key == key && case.denies_admission());
        ok(match denying {
            Some(case) => v1::CheckAdmissionResponse {
                allowed: false,
                reason: "quarantined".to_owned(),
                case_id: case.id.to_string(),
            },
            None => v1::CheckAdmissionResponse {
                allowed: true,
                ..Default::default()
            },
        })
    }

    async fn report_infection(
        &self,
        _: Request<v1::ReportInfectionRequest>,
    ) -> Answer<v1::ReportInfectionResponse> {
        unused()
    }

    async fn report_fleet_incident(
        &self,
        _: Request<v1::ReportFleetIncidentRequest>,
    ) -> Answer<v1::ReportFleetIncidentResponse> {
        unused()
    }

    async fn report_execution(
        &self,
        _: Request<v1::ReportExecutionRequest>,
    ) -> Answer<v1::ReportExecutionResponse> {
        unused()
    }

    async fn claim_healing(&self, _: Request<v1::ClaimHealingRequest>) -> Answer<v1::ClaimHealingResponse> {
        unused()
    }

    async fn renew_healing(&self, _: Request<v1::RenewHealingRequest>) -> Answer<v1::RenewHealingResponse> {
        unused()
    }

    async fn begin_step(&self, _: Request<v1::BeginStepRequest>) -> Answer<v1::BeginStepResponse> {
        unused()
    }

    async fn end_step(&self, _: Request<v1::EndStepRequest>) -> Answer<v1::EndStepResponse> {
        unused()
    }

    async fn give_up_healing(
        &self,
        _: Request<v1::GiveUpHealingRequest>,
    ) -> Answer<v1::GiveUpHealingResponse> {
        unused()
    }

    async fn verify_healing(
        &self,
        _: Request<v1::VerifyHealingRequest>,
    ) -> Answer<v1::VerifyHealingResponse> {
        unused()
    }
}
