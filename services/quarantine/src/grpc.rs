//! Translation between gRPC and the desk.

use crate::error::Error;
use crate::{Service, watch};
use immune_domain::case::{Command, State};
use immune_domain::healing::Action;
use immune_domain::{AgentKey, CaseId, HealingId};
use immune_proto::convert::decision::{decision, verdict};
use immune_proto::convert::{self, WireError};
use immune_proto::v1;
use immune_proto::v1::quarantine_service_server::QuarantineService;
use immune_runtime::access::person_of;
use immune_store::cases::CaseFilter;
use std::time::Duration;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Shortest and longest lease, milliseconds.
const LEASE_MS: std::ops::RangeInclusive<u32> = 1_000..=300_000;
/// Cases listed when the caller names no limit, and at most.
const LIST_DEFAULT: u32 = 100;
const LIST_MAX: u32 = 1_000;
/// The longest name of a worker, bytes.
const WORKER_BYTES_MAX: usize = 200;
/// Agents of a fleet incident that are named at most.
const INCIDENT_AGENTS_MAX: usize = 100;
/// Longest time before an incident from which cases are released, seconds.
const LOOK_BACK_SECONDS_MAX: u32 = 3_600;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl QuarantineService for Service {
    type WatchCasesStream = ReceiverStream<watch::Sent>;

    async fn report_infection(
        &self,
        request: Request<v1::ReportInfectionRequest>,
    ) -> Answer<v1::ReportInfectionResponse> {
        let request = request.into_inner();
        let infection = convert::nested("infection", request.infection).map_err(Error::from)?;
        let (agent_type, namespace) = (given(request.agent_type), given(request.namespace));
        let reported = self.desk.report(infection, agent_type, namespace).await?;
        Ok(Response::new(v1::ReportInfectionResponse {
            case_id: reported.case.to_string(),
            opened: reported.opened,
        }))
    }

    async fn get_case(&self, request: Request<v1::GetCaseRequest>) -> Answer<v1::GetCaseResponse> {
        let id = case_id(request.into_inner().case_id)?;
        let case = self.desk.store.get(&id).await.map_err(Error::from)?;
        let case = case.ok_or(Error::CaseNotFound(id))?;
        Ok(Response::new(v1::GetCaseResponse {
            case: Some(case.into()),
        }))
    }

    async fn list_cases(&self, request: Request<v1::ListCasesRequest>) -> Answer<v1::ListCasesResponse> {
        let request = request.into_inner();
        let run = convert::run("run_id", request.run_id).map_err(Error::from)?;
        let agent = match request.agent_id {
            none if none.is_empty() => None,
            agent => Some(AgentKey {
                run: run.clone(),
                agent: convert::id("agent_id", agent).map_err(Error::from)?,
            }),
        };
        let before = match request.before_case_id {
            none if none.is_empty() => None,
            before => {
                let id = case_id(before)?;
                let case = self.desk.store.get(&id).await.map_err(Error::from)?;
                let case = case.ok_or(Error::CaseNotFound(id))?;
                Some((case.opened_at, case.id))
            }
        };
        let filter = CaseFilter {
            run: Some(run),
            agent,
            open: request.open,
            states: request.states,
            before,
            limit: limited(request.limit),
        };
        let cases = self.desk.store.list(&filter).await.map_err(Error::from)?;
        Ok(Response::new(v1::ListCasesResponse {
            cases: cases.into_iter().map(Into::into).collect(),
        }))
    }

    async fn get_case_totals(
        &self,
        request: Request<v1::GetCaseTotalsRequest>,
    ) -> Answer<v1::GetCaseTotalsResponse> {
        let run = convert::run("run_id", request.into_inner().run_id).map_err(Error::from)?;
        let totals = self.desk.store.totals(&run).await.map_err(Error::from)?;
        Ok(Response::new(v1::GetCaseTotalsResponse {
            opened: totals.opened,
            open: totals.open,
            quarantined: totals.quarantined,
            healed: totals.healed,
        }))
    }

    async fn watch_cases(&self, request: Request<v1::WatchCasesRequest>) -> Answer<Self::WatchCasesStream> {
        let request = request.into_inner();
        let from = match request.from_now {
            true => watch::From::Now,
            false => watch::From::Event(request.after_sequence),
        };
        let only_run = match request.only_run {
            none if none.is_empty() => None,
            run => Some(convert::run("only_run", run).map_err(Error::from)?),
        };
        let changes = watch::watch(self.desk.clone(), from, only_run, self.stopped.clone());
        Ok(Response::new(ReceiverStream::new(changes)))
    }

    async fn decide(&self, request: Request<v1::DecideRequest>) -> Answer<v1::DecideResponse> {
        let by = person_of(&request)?;
        let request = request.into_inner();
        let id = case_id(request.case_id)?;
        let decision = decision("decision", request.decision).map_err(Error::from)?;
        let expected = (request.expected_version != 0).then_some(request.expected_version);
        let only_runs = convert::runs("only_runs", request.only_runs).map_err(Error::from)?;
        let case = self
            .desk
            .decide(&id, decision, by, request.reason, expected, &only_runs)
            .await?;
        Ok(Response::new(v1::DecideResponse {
            case: Some(case.into()),
        }))
    }

    async fn check_admission(
        &self,
        request: Request<v1::CheckAdmissionRequest>,
    ) -> Answer<v1::CheckAdmissionResponse> {
        let key: AgentKey = convert::nested("key", request.into_inner().key).map_err(Error::from)?;
        let admission = self.desk.admission(&key).await?;
        Ok(Response::new(v1::CheckAdmissionResponse {
            allowed: admission.is_allowed,
            reason: admission.reason,
            case_id: admission.case,
        }))
    }

    async fn report_execution(
        &self,
        request: Request<v1::ReportExecutionRequest>,
    ) -> Answer<v1::ReportExecutionResponse> {
        let request = request.into_inner();
        let key: AgentKey = convert::nested("key", request.key).map_err(Error::from)?;
        let execution = convert::id("execution_id", request.execution_id).map_err(Error::from)?;
        let started_at = convert::time::from_wire("started_at", request.started_at).map_err(Error::from)?;
        let is_breached = self.desk.executed(&key, execution, started_at).await?;
        Ok(Response::new(v1::ReportExecutionResponse {
            breached: is_breached,
        }))
    }

    async fn report_fleet_incident(
        &self,
        request: Request<v1::ReportFleetIncidentRequest>,
    ) -> Answer<v1::ReportFleetIncidentResponse> {
        let request = request.into_inner();
        let incident = convert::nested("incident", request.incident).map_err(Error::from)?;
        let (given, most) = (request.agent_ids.len(), INCIDENT_AGENTS_MAX);
        if given > most {
            let problem = format!("has {given} ids, the most is {most}");
            return Err(Error::from(WireError::new("agent_ids", problem)).into());
        }
        let agents = request.agent_ids.into_iter();
        let agents: Result<Vec<_>, _> = agents.map(|text| convert::id("agent_ids", text)).collect();
        if request.look_back_seconds > LOOK_BACK_SECONDS_MAX {
            return Err(Error::OutOfRange {
                field: "look_back_seconds",
                value: u64::from(request.look_back_seconds),
                low: 0,
                high: u64::from(LOOK_BACK_SECONDS_MAX),
            }
            .into());
        }
        let look_back = Duration::from_secs(u64::from(request.look_back_seconds));
        let agents = agents.map_err(Error::from)?;
        let released = self.desk.incident(&incident, &agents, look_back).await?;
        Ok(Response::new(v1::ReportFleetIncidentResponse {
            released_agent_ids: released.iter().map(ToString::to_string).collect(),
        }))
    }

    async fn claim_healing(
        &self,
        request: Request<v1::ClaimHealingRequest>,
    ) -> Answer<v1::ClaimHealingResponse> {
        let request = request.into_inner();
        if request.worker.is_empty() || request.worker.len() > WORKER_BYTES_MAX {
            let problem = format!(
                "has {} bytes, 1 to {WORKER_BYTES_MAX} are allowed",
                request.worker.len()
            );
            return Err(Error::from(WireError::new("worker", problem)).into());
        }
        let lease = lease(request.lease_ms)?;
        let claimed = self.desk.claim_healing(request.worker, lease).await?;
        let (case, fence) = match claimed {
            Some(case) => {
                let fence = fence(&case.state);
                (Some(case.into()), fence)
            }
            None => (None, 0),
        };
        Ok(Response::new(v1::ClaimHealingResponse { case, fence }))
    }

    async fn renew_healing(
        &self,
        request: Request<v1::RenewHealingRequest>,
    ) -> Answer<v1::RenewHealingResponse> {
        let request = request.into_inner();
        let id = case_id(request.case_id)?;
        let command = Command::RenewLease {
            fence: request.fence,
            lease: lease(request.lease_ms)?,
        };
        let applied = self.desk.apply(&id, command).await?;
        let until = match &applied.case.state {
            State::Healing { lease, .. } | State::Probation { lease, .. } => Some(lease.until),
            State::AwaitingApproval { .. }
            | State::Rejected { .. }
            | State::HealQueued { .. }
            | State::Healed { .. }
            | State::Released { .. } => None,
        };
        Ok(Response::new(v1::RenewHealingResponse {
            until: until.map(convert::time::to_wire),
        }))
    }

    async fn begin_step(&self, request: Request<v1::BeginStepRequest>) -> Answer<v1::BeginStepResponse> {
        let request = request.into_inner();
        let id = case_id(request.case_id)?;
        let healing = healing_id(request.healing_id)?;
        let action: Action = convert::word("action", &request.action).map_err(Error::from)?;
        let command = Command::BeginStep {
            fence: request.fence,
            healing,
            action,
        };
        let case = self.desk.apply(&id, command).await?.case;
        Ok(Response::new(v1::BeginStepResponse {
            case: Some(case.into()),
        }))
    }

    async fn end_step(&self, request: Request<v1::EndStepRequest>) -> Answer<v1::EndStepResponse> {
        use v1::end_step_request::Outcome;
        let request = request.into_inner();
        let id = case_id(request.case_id.clone())?;
        let healing = healing_id(request.healing_id.clone())?;
        let outcome = request.outcome();
        let (fence, detail) = (request.fence, request.detail);
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
            Outcome::Unspecified => {
                return Err(Error::from(WireError::new("outcome", "is missing")).into());
            }
        };
        let case = self.desk.apply(&id, command).await?.case;
        Ok(Response::new(v1::EndStepResponse {
            case: Some(case.into()),
        }))
    }

    async fn give_up_healing(
        &self,
        request: Request<v1::GiveUpHealingRequest>,
    ) -> Answer<v1::GiveUpHealingResponse> {
        let request = request.into_inner();
        let id = case_id(request.case_id)?;
        let command = Command::LadderExhausted {
            fence: request.fence,
            detail: request.detail,
        };
        let case = self.desk.apply(&id, command).await?.case;
        Ok(Response::new(v1::GiveUpHealingResponse {
            case: Some(case.into()),
        }))
    }

    async fn verify_healing(
        &self,
        request: Request<v1::VerifyHealingRequest>,
    ) -> Answer<v1::VerifyHealingResponse> {
        let request = request.into_inner();
        let id = case_id(request.case_id)?;
        let healing = healing_id(request.healing_id)?;
        let verdict = verdict("verdict", request.verdict).map_err(Error::from)?;
        let (fence, detail) = (request.fence, request.detail);
        let command = Command::Verified {
            fence,
            healing,
            verdict,
            detail,
        };
        let case = self.desk.apply(&id, command).await?.case;
        Ok(Response::new(v1::VerifyHealingResponse {
            case: Some(case.into()),
        }))
    }
}

fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn case_id(text: String) -> Result<CaseId, Error> {
    Ok(convert::id("case_id", text)?)
}

fn healing_id(text: String) -> Result<HealingId, Error> {
    Ok(convert::id("healing_id", text)?)
}

fn limited(limit: u32) -> u32 {
    match limit {
        0 => LIST_DEFAULT,
        limit => limit.min(LIST_MAX),
    }
}

fn lease(ms: u32) -> Result<Duration, Error> {
    if !LEASE_MS.contains(&ms) {
        let (low, high) = (u64::from(*LEASE_MS.start()), u64::from(*LEASE_MS.end()));
        return Err(Error::OutOfRange {
            field: "lease_ms",
            value: u64::from(ms),
            low,
            high,
        });
    }
    Ok(Duration::from_millis(u64::from(ms)))
}

fn fence(state: &State) -> u64 {
    match state {
        State::Healing { lease, .. } | State::Probation { lease, .. } => lease.fence,
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healed { .. }
        | State::Released { .. } => 0,
    }
}
