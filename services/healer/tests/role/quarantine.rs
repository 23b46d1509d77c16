//! A quarantine that decides with the real state machine and keeps its cases in a map. Levers confirm at once.
//! Leases are shortened, so that takeovers need no waiting; answers can be lost on the way.

use immune_domain::case::{self, Case, Command, Context, LeverStatus, State};
use immune_domain::detection::{Deviations, Infection, WindowSummary};
use immune_domain::diagnosis::{Diagnosis, Hypothesis};
use immune_domain::policy::Policy;
use immune_domain::{AgentKey, CaseId, InfectionId, Timestamp};
use immune_proto::convert::decision::verdict;
use immune_proto::v1;
use immune_proto::v1::quarantine_service_server::QuarantineService;
use immune_runtime::clock::{Clock, System};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tonic::{Request, Response, Status};

/// The lease that a claim really gets.
pub const LEASE: Duration = Duration::from_millis(60);

#[derive(Clone)]
pub struct Quarantine {
    inner: Arc<Mutex<Inner>>,
    pub policy: Policy,
}

#[derive(Default)]
struct Inner {
    cases: BTreeMap<CaseId, Case>,
    /// Calls whose answer is lost after they took effect.
    lost: Vec<&'static str>,
    /// Fencing tokens of healers that cannot reach quarantine any more.
    cut_off: BTreeSet<u64>,
    /// Whether nobody can.
    is_away: bool,
    lease: Option<Duration>,
}

impl Quarantine {
    pub fn new(policy: Policy) -> Self {
        Quarantine {
            inner: Arc::default(),
            policy,
        }
    }

    pub fn lose_answer_of(&self, call: &'static str) {
        self.inner.lock().unwrap().lost.push(call);
    }

    /// The healer that holds a case cannot reach quarantine any more; others can.
    pub fn cut_off_the_holder_of(&self, id: &str) {
        let fence = match &self.case(id).state {
            State::Healing { lease, .. } | State::Probation { lease, .. } => lease.fence,
            other => panic!("nobody holds it: {other:?}"),
        };
        self.inner.lock().unwrap().cut_off.insert(fence);
    }

    /// Nobody can reach quarantine, or everybody again.
    pub fn is_away(&self, is_away: bool) {
        self.inner.lock().unwrap().is_away = is_away;
    }

    fn reached(&self, fence: u64) -> Result<(), Status> {
        let inner = self.inner.lock().unwrap();
        match inner.is_away || inner.cut_off.contains(&fence) {
            true => Err(Status::unavailable("the connection is cut")),
            false => Ok(()),
        }
    }

    pub fn lease_is(&self, lease: Duration) {
        self.inner.lock().unwrap().lease = Some(lease);
    }

    pub fn open(&self, id: &str, agent: &str, severity: f64) -> AgentKey {
        let key = AgentKey::new("default", agent);
        let infection = Infection {
            id: InfectionId::new(id),
            key: key.clone(),
            detected_at: Timestamp::EPOCH,
            severity,
            anomalies: vec![],
            deviations: Deviations::default(),
            ruled_out: vec![],
            hypotheses: vec![Hypothesis {
                diagnosis: Diagnosis::PromptDrift,
                confidence: 0.9,
                because: "tokens are up".into(),
            }],
            window: WindowSummary::default(),
            evidence: vec![],
            baseline_version: 1,
            evidence_score: None,
            workload: Default::default(),
        };
        let opened = case::open(
            CaseId::new(id),
            infection,
            &self.policy,
            Context::default(),
            System.now(),
        )
        .0;
        let mut inner = self.inner.lock().unwrap();
        let case = self.confirmed(opened);
        inner.cases.insert(case.id.clone(), case);
        key
    }

    pub fn case(&self, id: &str) -> Case {
        self.inner.lock().unwrap().cases[&CaseId::new(id)].clone()
    }

    /// Lets every lever confirm what is wanted.
    fn confirmed(&self, mut case: Case) -> Case {
        while let Some(lever) = case
            .quarantine
            .levers
            .iter()
            .find(|lever| lever.is_pending())
            .cloned()
        {
            let command = Command::LeverAnswered {
                lever: lever.lever,
                wanted: lever.wanted,
                generation: lever.generation,
                status: LeverStatus::Confirmed,
                detail: "at once".into(),
            };
            case = case::decide(case, command, &self.policy, System.now()).unwrap().0;
        }
        case
    }

    pub fn apply(&self, id: &str, command: Command) -> Result<Case, Status> {
        let mut inner = self.inner.lock().unwrap();
        let id = CaseId::new(id);
        let case = inner
            .cases
            .get(&id)
            .cloned()
            .ok_or_else(|| Status::not_found("no such case"))?;
        match case::decide(case, command, &self.policy, System.now()) {
            Ok((next, _)) => {
                let next = self.confirmed(next);
                inner.cases.insert(id, next.clone());
                Ok(next)
            }
            Err(refusal) => {
                let code = format!("quarantine.{}", refusal.code());
                Err(immune_runtime::grpc::status(
                    refusal.kind(),
                    &code,
                    refusal.to_string(),
                ))
            }
        }
    }

    /// The answer, unless it is lost on the way.
    fn answer<T>(&self, call: &'static str, answer: T) -> Result<Response<T>, Status> {
        let mut inner = self.inner.lock().unwrap();
        match inner.lost.iter().position(|lost| *lost == call) {
            Some(i) => {
                inner.lost.swap_remove(i);
                Err(Status::unavailable("the answer was lost"))
            }
            None => Ok(Response::new(answer)),
        }
    }

    fn claimable(&self) -> Option<(Case, Duration)> {
        let inner = self.inner.lock().unwrap();
        let now = System.now();
        let due = |case: &&Case| match &case.state {
            State::HealQueued { not_before, .. } => *not_before <= now,
            State::Healing { lease, .. } | State::Probation { lease, .. } => lease.until <= now,
            State::AwaitingApproval { .. }
            | State::Rejected { .. }
            | State::Healed { .. }
            | State::Released { .. } => false,
        };
        let case = inner.cases.values().find(due).cloned()?;
        Some((case, inner.lease.unwrap_or(LEASE)))
    }

    fn lease(&self) -> Duration {
        self.inner.lock().unwrap().lease.unwrap_or(LEASE)
    }
}

type Changes = Pin<Box<dyn futures::Stream<Item = Result<v1::WatchCasesResponse, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

fn not_asked<T>() -> Answer<T> {
    Err(Status::unimplemented("not asked by the healer"))
}

#[tonic::async_trait]
impl QuarantineService for Quarantine {
    type WatchCasesStream = Changes;

    async fn claim_healing(
        &self,
        request: Request<v1::ClaimHealingRequest>,
    ) -> Answer<v1::ClaimHealingResponse> {
        self.reached(0)?;
        let Some((case, lease)) = self.claimable() else {
            return Ok(Response::new(v1::ClaimHealingResponse::default()));
        };
        let worker = request.into_inner().worker;
        let Ok(case) = self.apply(case.id.as_str(), Command::Claim { worker, lease }) else {
            return Ok(Response::new(v1::ClaimHealingResponse::default()));
        };
        let fence = match &case.state {
            State::Healing { lease, .. } | State::Probation { lease, .. } => lease.fence,
            other => panic!("{other:?}"),
        };
        self.answer(
            "claim_healing",
            v1::ClaimHealingResponse {
                case: Some(case.into()),
                fence,
            },
        )
    }

    async fn renew_healing(
        &self,
        request: Request<v1::RenewHealingRequest>,
    ) -> Answer<v1::RenewHealingResponse> {
        let request = request.into_inner();
        self.reached(request.fence)?;
        let command = Command::RenewLease {
            fence: request.fence,
            lease: self.lease(),
        };
        self.apply(&request.case_id, command)?;
        Ok(Response::new(v1::RenewHealingResponse::default()))
    }

    async fn begin_step(&self, request: Request<v1::BeginStepRequest>) -> Answer<v1::BeginStepResponse> {
        let request = request.into_inner();
        self.reached(request.fence)?;
        let command = Command::BeginStep {
            fence: request.fence,
            healing: request.healing_id.into(),
            action: request.action.parse().unwrap(),
        };
        let case = self.apply(&request.case_id, command)?;
        self.answer(
            "begin_step",
            v1::BeginStepResponse {
                case: Some(case.into()),
            },
        )
    }

    async fn end_step(&self, request: Request<v1::EndStepRequest>) -> Answer<v1::EndStepResponse> {
        use v1::end_step_request::Outcome;
        let request = request.into_inner();
        self.reached(request.fence)?;
        let outcome = request.outcome();
        let (fence, healing, detail) = (request.fence, request.healing_id.into(), request.detail);
        let command = match outcome {
            Outcome::Done => Command::StepDone {
                fence,
                healing,
                detail,
            },
            Outcome::Failed => Command::StepFailed {
                fence,
                healing,
                detail,
            },
            Outcome::Unsupported => Command::StepUnsupported {
                fence,
                healing,
                detail,
            },
            Outcome::Unspecified => return Err(Status::invalid_argument("outcome is missing")),
        };
        let case = self.apply(&request.case_id, command)?;
        self.answer(
            "end_step",
            v1::EndStepResponse {
                case: Some(case.into()),
            },
        )
    }

    async fn give_up_healing(
        &self,
        request: Request<v1::GiveUpHealingRequest>,
    ) -> Answer<v1::GiveUpHealingResponse> {
        let request = request.into_inner();
        self.reached(request.fence)?;
        let command = Command::LadderExhausted {
            fence: request.fence,
            detail: request.detail,
        };
        let case = self.apply(&request.case_id, command)?;
        self.answer(
            "give_up_healing",
            v1::GiveUpHealingResponse {
                case: Some(case.into()),
            },
        )
    }

    async fn verify_healing(
        &self,
        request: Request<v1::VerifyHealingRequest>,
    ) -> Answer<v1::VerifyHealingResponse> {
        let request = request.into_inner();
        self.reached(request.fence)?;
        let verdict = verdict("verdict", request.verdict).unwrap();
        let (fence, healing, detail) = (request.fence, request.healing_id.into(), request.detail);
        let case = self.apply(
            &request.case_id,
            Command::Verified {
                fence,
                healing,
                verdict,
                detail,
            },
        )?;
        self.answer(
            "verify_healing",
            v1::VerifyHealingResponse {
                case: Some(case.into()),
            },
        )
    }

    async fn get_case(&self, request: Request<v1::GetCaseRequest>) -> Answer<v1::GetCaseResponse> {
        let id = CaseId::new(request.into_inner().case_id);
        let case = self.inner.lock().unwrap().cases.get(&id).cloned();
        let case = case.ok_or_else(|| Status::not_found("no such case"))?;
        Ok(Response::new(v1::GetCaseResponse {
            case: Some(case.into()),
        }))
    }

    async fn report_infection(
        &self,
        _: Request<v1::ReportInfectionRequest>,
    ) -> Answer<v1::ReportInfectionResponse> {
        not_asked()
    }

    async fn list_cases(&self, _: Request<v1::ListCasesRequest>) -> Answer<v1::ListCasesResponse> {
        not_asked()
    }

    async fn get_case_totals(
        &self,
        _: Request<v1::GetCaseTotalsRequest>,
    ) -> Answer<v1::GetCaseTotalsResponse> {
        not_asked()
    }

    async fn watch_cases(&self, _: Request<v1::WatchCasesRequest>) -> Answer<Changes> {
        not_asked()
    }

    async fn decide(&self, _: Request<v1::DecideRequest>) -> Answer<v1::DecideResponse> {
        not_asked()
    }

    async fn check_admission(
        &self,
        _: Request<v1::CheckAdmissionRequest>,
    ) -> Answer<v1::CheckAdmissionResponse> {
        not_asked()
    }

    async fn report_fleet_incident(
        &self,
        _: Request<v1::ReportFleetIncidentRequest>,
    ) -> Answer<v1::ReportFleetIncidentResponse> {
        not_asked()
    }

    async fn report_execution(
        &self,
        _: Request<v1::ReportExecutionRequest>,
    ) -> Answer<v1::ReportExecutionResponse> {
        not_asked()
    }
}
