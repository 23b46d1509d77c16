//! Quarantine: cases in memory, decided by the domain's rules.

use super::{Answer, Fleet, Stream, ok, unused};
use immune_domain::case::{self, Case, Command, Decision};
use immune_domain::policy::Policy;
use immune_domain::{AgentKey, RunId};
use immune_proto::convert::{decision as word, nested, run};
use immune_proto::v1;
use immune_proto::v1::quarantine_service_server::QuarantineService;
use immune_proto::v1::watch_cases_response::{Change, Snapshot};
use immune_runtime::access::person_of;
use immune_runtime::clock::{Clock, System};
use immune_runtime::grpc::status;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;

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
        let open: Vec<Case> = self.cases.lock().unwrap().clone();
        tokio::spawn(async move {
            let send = async |change| {
                sender
                    .send(Ok(v1::WatchCasesResponse { change: Some(change) }))
                    .await
            };
            if request.from_now {
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
        let reason = request.reason;
        let command = match word::decision("decision", request.decision).expect("a decision") {
            Decision::Approve => Command::Approve { by, reason },
            Decision::Reject => Command::Reject { by, reason },
            Decision::HealNow => Command::HealNow { by, reason },
            Decision::Release => Command::Release { by, reason },
        };
        let id = case.id.clone();
        let (next, _) = case::decide(case, command, &Policy::default(), System.now()).map_err(|refusal| {
            status(
                refusal.kind(),
                &format!("quarantine.{}", refusal.code()),
                refusal.to_string(),
            )
        })?;
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
