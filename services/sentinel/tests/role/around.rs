//! The roles around the sentinel, scripted; every call that no test expects is refused.

use crate::world::{Around, WatchStream, ok};
use immune_domain::detection::Infection;
use immune_proto::v1;
use immune_proto::v1::baseline_service_server::BaselineService;
use immune_proto::v1::quarantine_service_server::QuarantineService;
use immune_proto::v1::watch_cases_response::{Change as CaseChange, Snapshot as CaseSnapshot};
use immune_proto::v1::watch_profiles_response::{Change, Snapshot};
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;

fn unexpected<T>() -> Answer<T> {
    Err(Status::unimplemented("no test expects this call"))
}

#[tonic::async_trait]
impl BaselineService for Around {
    type WatchProfilesStream = WatchStream<v1::WatchProfilesResponse>;

    async fn watch_profiles(
        &self,
        _: Request<v1::WatchProfilesRequest>,
    ) -> Answer<Self::WatchProfilesStream> {
        let profiles = self.profiles.lock().unwrap().clone();
        let stored = profiles.iter().map(|profile| Change::Stored(profile.into()));
        let changes = stored.chain([Change::SnapshotDone(Snapshot { profiles: 1 })]);
        let first = changes
            .map(|change| v1::WatchProfilesResponse { change: Some(change) })
            .collect();
        let (stream, sender) = Around::stream(first);
        tokio::spawn(async move { sender.closed().await });
        ok(stream)
    }

    async fn get_profile(&self, _: Request<v1::GetProfileRequest>) -> Answer<v1::GetProfileResponse> {
        unexpected()
    }

    async fn reset_profile(&self, _: Request<v1::ResetProfileRequest>) -> Answer<v1::ResetProfileResponse> {
        unexpected()
    }

    async fn count_ready_profiles(
        &self,
        _: Request<v1::CountReadyProfilesRequest>,
    ) -> Answer<v1::CountReadyProfilesResponse> {
        unexpected()
    }
}

#[tonic::async_trait]
impl QuarantineService for Around {
    type WatchCasesStream = WatchStream<v1::WatchCasesResponse>;

    async fn watch_cases(&self, request: Request<v1::WatchCasesRequest>) -> Answer<Self::WatchCasesStream> {
        assert!(request.into_inner().from_now);
        let mut news = self.cases.subscribe();
        let open = self.open_cases.lock().unwrap().clone();
        let existing = open.into_iter().map(CaseChange::Existing);
        let changes = existing.chain([CaseChange::SnapshotDone(CaseSnapshot { last_sequence: 0 })]);
        let first = changes
            .map(|change| v1::WatchCasesResponse { change: Some(change) })
            .collect();
        let (stream, sender) = Around::stream(first);
        tokio::spawn(async move {
            while let Ok(news) = news.recv().await {
                let is_last = news.is_err();
                let message = news.map(|case| {
                    let event = v1::CaseEvent {
                        case: Some(case),
                        ..v1::CaseEvent::default()
                    };
                    v1::WatchCasesResponse {
                        change: Some(CaseChange::Event(event)),
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
        self.reports.lock().unwrap().push(infection);
        ok(v1::ReportInfectionResponse {
            case_id: "c1".to_owned(),
            opened: true,
        })
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

    async fn get_case(&self, _: Request<v1::GetCaseRequest>) -> Answer<v1::GetCaseResponse> {
        unexpected()
    }
    async fn list_cases(&self, _: Request<v1::ListCasesRequest>) -> Answer<v1::ListCasesResponse> {
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
