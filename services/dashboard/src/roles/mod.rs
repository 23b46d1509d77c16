//! The other roles, asked over gRPC: domain values in, domain values or problems out.

mod agents;
mod baseline;
pub(crate) mod fleet;
pub(crate) mod status;

use crate::problems::{Answer, garbled};
use immune_domain::case::{Case, Decision, Person};
use immune_domain::healing::Action;
use immune_domain::memory::{Memory, Pin};
use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, AgentKey, CaseId, ErrorKind, RunId};
use immune_proto::convert;
use immune_proto::v1;
use immune_proto::v1::healer_service_client::HealerServiceClient;
use immune_proto::v1::ingestion_service_client::IngestionServiceClient;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_runtime::access::{Caller, with_person};
use immune_runtime::grpc::{self, Peers, RoleChannel};
use immune_runtime::http::problem::Problem;
use std::time::Duration;
use tonic::{Code, Response, Status};

/// Ways to the other roles.
#[derive(Debug, Clone)]
pub struct Channels {
    /// Takes posted vitals.
    pub ingestion: Peers,
    /// Knows profiles: each replica those of its partitions.
    pub baseline: Peers,
    /// Knows agents: each replica judges those of its partitions.
    pub sentinel: Peers,
    /// Owns cases.
    pub quarantine: Peers,
    /// Owns healings and memory.
    pub healer: Peers,
}

/// The largest answer of a role, bytes: a page of whole cases.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Whole cases asked for in one call.
const CASES_PAGE: u32 = 200;

/// The other roles.
#[derive(Clone)]
pub(crate) struct Roles {
    ingestion: IngestionServiceClient<RoleChannel>,
    baseline: Peers,
    sentinel: Peers,
    quarantine: QuarantineServiceClient<RoleChannel>,
    healer: HealerServiceClient<RoleChannel>,
    deadline: Duration,
}

/// Which cases to list; newest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct CaseQuery {
    pub agent: Option<AgentId>,
    pub open: Option<bool>,
    pub states: Vec<String>,
    pub before: Option<CaseId>,
    /// At most this many.
    pub limit: u32,
}

impl Roles {
    pub fn new(channels: &Channels, deadline: Duration) -> Self {
        Roles {
            ingestion: IngestionServiceClient::new(channels.ingestion.any()),
            baseline: channels.baseline.clone(),
            sentinel: channels.sentinel.clone(),
            quarantine: QuarantineServiceClient::new(channels.quarantine.any())
                .max_decoding_message_size(ANSWER_BYTES_MAX),
            healer: HealerServiceClient::new(channels.healer.any())
                .max_decoding_message_size(ANSWER_BYTES_MAX),
            deadline,
        }
    }

    /// Waits for a role's answer within the deadline.
    async fn ask<T>(
        &self,
        role: &'static str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Answer<T> {
        Self::ask_within(self.deadline, role, call).await
    }

    async fn ask_within<T>(
        deadline: Duration,
        role: &'static str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Answer<T> {
        match tokio::time::timeout(deadline, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(refused(role, &status)),
            Err(_) => Err(Problem::new(
                ErrorKind::Timeout,
                "dashboard.role_timeout",
                format!("{role} did not answer within {} s", deadline.as_secs()),
            )),
        }
    }

    /// Records posted vitals; when it answers, they are durable.
    pub async fn record_vitals(&self, vitals: Vitals) -> Answer<()> {
        let request = v1::RecordVitalsRequest {
            vitals: vec![vitals.into()],
        };
        self.ask("ingestion", self.ingestion.clone().record_vitals(request))
            .await
            .map(|_| ())
    }

    pub async fn case(&self, id: &CaseId) -> Answer<Case> {
        let request = v1::GetCaseRequest {
            case_id: id.to_string(),
        };
        let answer = self
            .ask("quarantine", self.quarantine.clone().get_case(request))
            .await?;
        convert::nested("case", answer.case).map_err(garbled)
    }

    pub async fn cases(&self, run: &RunId, query: CaseQuery) -> Answer<Vec<Case>> {
        let mut found: Vec<Case> = Vec::new();
        let mut before = query.before.map(|id| id.to_string()).unwrap_or_default();
        loop {
            let left = query
                .limit
                .saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
            let limit = left.min(CASES_PAGE);
            if limit == 0 {
                return Ok(found);
            }
            let request = v1::ListCasesRequest {
                run_id: run.to_string(),
                agent_id: query.agent.as_ref().map(AgentId::to_string).unwrap_or_default(),
                open: query.open,
                states: query.states.clone(),
                limit,
                before_case_id: before,
            };
            let answer = self
                .ask("quarantine", self.quarantine.clone().list_cases(request))
                .await?;
            let page: Vec<Case> = convert::list("cases", answer.cases).map_err(garbled)?;
            let is_last = page.len() < limit as usize;
            before = page.last().map(|case| case.id.to_string()).unwrap_or_default();
            found.extend(page);
            if is_last {
                return Ok(found);
            }
        }
    }

    pub async fn case_totals(&self, run: &RunId) -> Answer<v1::GetCaseTotalsResponse> {
        let request = v1::GetCaseTotalsRequest {
            run_id: run.to_string(),
        };
        self.ask("quarantine", self.quarantine.clone().get_case_totals(request))
            .await
    }

    /// A person's decision on a case of a run that the person may use; the case as it is afterwards.
    pub async fn decide(
        &self,
        id: &CaseId,
        decision: Decision,
        reason: String,
        expected_version: u64,
        caller: &Caller,
    ) -> Answer<Case> {
        let message = v1::DecideRequest {
            case_id: id.to_string(),
            decision: v1::Decision::from(decision).into(),
            reason,
            expected_version,
            only_runs: caller.runs.iter().map(RunId::to_string).collect(),
        };
        let by = &caller.person;
        let answer = self
            .ask(
                "quarantine",
                self.quarantine.clone().decide(with_person(message, by)),
            )
            .await?;
        convert::nested("case", answer.case).map_err(garbled)
    }

    pub async fn admission(&self, key: &AgentKey) -> Answer<v1::CheckAdmissionResponse> {
        let request = v1::CheckAdmissionRequest {
            key: Some(key.into()),
        };
        self.ask("quarantine", self.quarantine.clone().check_admission(request))
            .await
    }

    /// Healings, newest first.
    pub async fn healings(
        &self,
        run: &RunId,
        agent: Option<&AgentId>,
        case: Option<&CaseId>,
        limit: u32,
    ) -> Answer<Vec<v1::HealingRecord>> {
        let request = v1::ListHealingsRequest {
            run_id: run.to_string(),
            agent_id: agent.map(AgentId::to_string).unwrap_or_default(),
            case_id: case.map(CaseId::to_string).unwrap_or_default(),
            limit,
        };
        Ok(self
            .ask("healer", self.healer.clone().list_healings(request))
            .await?
            .healings)
    }

    pub async fn healing_totals(&self, run: &RunId) -> Answer<v1::GetHealingTotalsResponse> {
        let request = v1::GetHealingTotalsRequest {
            run_id: run.to_string(),
        };
        self.ask("healer", self.healer.clone().get_healing_totals(request))
            .await
    }

    /// Immune memory of a run, an agent, a diagnosis.
    pub async fn memories(
        &self,
        run: &RunId,
        agent: Option<&AgentId>,
        diagnosis: &str,
        limit: u32,
    ) -> Answer<Vec<Memory>> {
        let request = v1::ListMemoriesRequest {
            run_id: run.to_string(),
            agent_id: agent.map(AgentId::to_string).unwrap_or_default(),
            diagnosis: diagnosis.to_owned(),
            limit,
        };
        let answer = self
            .ask("healer", self.healer.clone().list_memories(request))
            .await?;
        convert::list("memories", answer.memories).map_err(garbled)
    }

    pub async fn pin_memory(
        &self,
        key: &AgentKey,
        diagnosis: String,
        action: Action,
        pin: Option<Pin>,
        by: &Person,
    ) -> Answer<()> {
        let message = v1::PinMemoryRequest {
            key: Some(key.into()),
            diagnosis,
            action: action.to_string(),
            pin: pin.map(Pin::as_str).unwrap_or_default().to_owned(),
        };
        self.ask("healer", self.healer.clone().pin_memory(with_person(message, by)))
            .await
            .map(|_| ())
    }

    /// Returns how many memories were forgotten.
    pub async fn forget_memory(
        &self,
        key: &AgentKey,
        diagnosis: String,
        action: Option<Action>,
        by: &Person,
    ) -> Answer<u64> {
        let message = v1::ForgetMemoryRequest {
            key: Some(key.into()),
            diagnosis,
            action: action.map(|action| action.to_string()).unwrap_or_default(),
        };
        Ok(self
            .ask(
                "healer",
                self.healer.clone().forget_memory(with_person(message, by)),
            )
            .await?
            .forgotten)
    }

    /// What would be done for a case, in which order, and what is skipped and why.
    pub async fn preview_plan(&self, case: &CaseId) -> Answer<v1::PreviewPlanResponse> {
        let request = v1::PreviewPlanRequest {
            case_id: case.to_string(),
            ..v1::PreviewPlanRequest::default()
        };
        self.ask("healer", self.healer.clone().preview_plan(request))
            .await
    }
}

/// The problem of a status. One without a code word was made by the transport: its words name connections and stay
/// in the log.
fn refused(role: &'static str, status: &Status) -> Problem {
    if grpc::code_word(status).is_some() {
        return Problem::from_status(status);
    }
    match status.code() {
        Code::Unavailable | Code::Cancelled | Code::Unknown | Code::Internal => {
            tracing::warn!(role, %status, "a role does not answer");
            Problem::new(
                ErrorKind::Unavailable,
                "dashboard.role_unavailable",
                format!("{role} does not answer; try again"),
            )
        }
        _ => Problem::from_status(status),
    }
}
