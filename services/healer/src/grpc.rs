//! Translation between gRPC and the store of healings, and the preview of a plan.

use crate::Service;
use crate::error::Error;
use immune_domain::case::{Case, Person};
use immune_domain::diagnosis::Diagnosis;
use immune_domain::healing::{Action, Round, plan};
use immune_domain::memory::{Memory, Pin};
use immune_domain::{AgentKey, CaseId};
use immune_proto::convert;
use immune_proto::v1;
use immune_proto::v1::healer_service_server::HealerService;
use immune_runtime::access::person_of;
use immune_store::action_log::LogRow;
use immune_store::healings::HealingFilter;
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

/// Rows listed when the caller names no limit, and at most.
const LIST_DEFAULT: u32 = 100;
const LIST_MAX: u32 = 10_000;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl HealerService for Service {
    async fn list_healings(
        &self,
        request: Request<v1::ListHealingsRequest>,
    ) -> Answer<v1::ListHealingsResponse> {
        let request = request.into_inner();
        let run = convert::run("run_id", request.run_id).map_err(Error::from)?;
        let agent = match request.agent_id.is_empty() {
            true => None,
            false => Some(AgentKey {
                run: run.clone(),
                agent: convert::id("agent_id", request.agent_id).map_err(Error::from)?,
            }),
        };
        let filter = HealingFilter {
            run: Some(run),
            agent,
            case: case_id(request.case_id)?,
            before: None,
            limit: limited(request.limit),
        };
        let healings = self.healer.store.list(&filter).await.map_err(Error::from)?;
        Ok(Response::new(v1::ListHealingsResponse {
            healings: healings.into_iter().map(Into::into).collect(),
        }))
    }

    async fn get_healing_totals(
        &self,
        request: Request<v1::GetHealingTotalsRequest>,
    ) -> Answer<v1::GetHealingTotalsResponse> {
        let run = convert::run("run_id", request.into_inner().run_id).map_err(Error::from)?;
        let totals = self.healer.store.totals(&run).await.map_err(Error::from)?;
        let (succeeded, failed) = (totals.succeeded, totals.failed);
        Ok(Response::new(v1::GetHealingTotalsResponse { succeeded, failed }))
    }

    async fn list_memories(
        &self,
        request: Request<v1::ListMemoriesRequest>,
    ) -> Answer<v1::ListMemoriesResponse> {
        let request = request.into_inner();
        let limit = limited(request.limit);
        let run = convert::run("run_id", request.run_id).map_err(Error::from)?;
        let diagnosis = match request.diagnosis.as_str() {
            "" => None,
            word => Some(diagnosis(word)?),
        };
        let mut memories: Vec<Memory> = match request.agent_id.is_empty() {
            true => self
                .healer
                .store
                .all_memories(&run, LIST_MAX)
                .await
                .map_err(Error::from)?,
            false => {
                let agent = convert::id("agent_id", request.agent_id).map_err(Error::from)?;
                self.memories_of(&AgentKey { run, agent }, diagnosis).await?
            }
        };
        memories.retain(|memory| diagnosis.is_none_or(|wanted| memory.diagnosis == wanted));
        memories.truncate(limit as usize);
        Ok(Response::new(v1::ListMemoriesResponse {
            memories: memories.into_iter().map(Into::into).collect(),
        }))
    }

    async fn pin_memory(&self, request: Request<v1::PinMemoryRequest>) -> Answer<v1::PinMemoryResponse> {
        let by = person_of(&request)?;
        let request = request.into_inner();
        let key = convert::nested("key", request.key).map_err(Error::from)?;
        let diagnosis = diagnosis(&request.diagnosis)?;
        let action = action(&request.action)?;
        let pin = convert::memory::pin("pin", &request.pin).map_err(Error::from)?;
        let now = self.healer.clock.now();
        self.healer
            .store
            .pin(&key, diagnosis, action, pin, now)
            .await
            .map_err(Error::from)?;
        let details = json!({ "diagnosis_type": diagnosis, "action": action, "pin": pin.map(Pin::as_str) });
        self.record("memory_pinned", &key, &by, details).await?;
        Ok(Response::new(v1::PinMemoryResponse {}))
    }

    async fn forget_memory(
        &self,
        request: Request<v1::ForgetMemoryRequest>,
    ) -> Answer<v1::ForgetMemoryResponse> {
        let by = person_of(&request)?;
        let request = request.into_inner();
        let key = convert::nested("key", request.key).map_err(Error::from)?;
        let diagnosis = diagnosis(&request.diagnosis)?;
        let action = match request.action.as_str() {
            "" => None,
            word => Some(action(word)?),
        };
        let forgotten = self
            .healer
            .store
            .forget(&key, diagnosis, action)
            .await
            .map_err(Error::from)?;
        let details = json!({ "diagnosis_type": diagnosis, "action": action, "forgotten": forgotten });
        self.record("memory_forgotten", &key, &by, details).await?;
        Ok(Response::new(v1::ForgetMemoryResponse { forgotten }))
    }

    async fn preview_plan(
        &self,
        request: Request<v1::PreviewPlanRequest>,
    ) -> Answer<v1::PreviewPlanResponse> {
        let request = request.into_inner();
        let case = match case_id(request.case_id)? {
            Some(id) => Some(self.case(id).await?),
            None => None,
        };
        let (key, diagnosis) = match &case {
            Some(case) => (case.key.clone(), case.diagnosis()),
            None => {
                let key = convert::nested("key", request.key).map_err(Error::from)?;
                (key, diagnosis(&request.diagnosis)?)
            }
        };
        let policy = match &case {
            Some(case) => self.healer.policy(case),
            None => {
                let given = |text: String| (!text.is_empty()).then_some(text);
                let (agent_type, namespace) = (given(request.agent_type), given(request.namespace));
                let (agent_type, namespace) = (agent_type.as_deref(), namespace.as_deref());
                self.healer
                    .policies
                    .resolve(&key.run, &key.agent, agent_type, namespace)
            }
        };
        let memories = self
            .healer
            .store
            .memories(&key, diagnosis)
            .await
            .map_err(Error::from)?;
        let round = case.as_ref().map_or(Round::FIRST, Round::of);
        let plan = plan(policy.ladder(diagnosis), &memories, round);
        let skipped = plan
            .skipped
            .into_iter()
            .map(|skipped| v1::preview_plan_response::Skipped {
                action: skipped.action.to_string(),
                because: skipped.because,
            });
        Ok(Response::new(v1::PreviewPlanResponse {
            steps: plan.steps.iter().map(Action::to_string).collect(),
            skipped: skipped.collect(),
        }))
    }
}

impl Service {
    async fn memories_of(&self, key: &AgentKey, diagnosis: Option<Diagnosis>) -> Result<Vec<Memory>, Error> {
        let mut memories = Vec::new();
        for each in Diagnosis::ALL {
            if diagnosis.is_none_or(|wanted| wanted == each) {
                memories.extend(self.healer.store.memories(key, each).await?);
            }
        }
        Ok(memories)
    }

    async fn case(&self, id: CaseId) -> Result<Case, Error> {
        let request = v1::GetCaseRequest {
            case_id: id.to_string(),
        };
        let answer = self.healer.quarantine.clone().get_case(request).await;
        let answer = answer.map_err(|status| Error::Role {
            doing: "reading a case",
            status: Box::new(status),
        })?;
        Ok(convert::nested("case", answer.into_inner().case)?)
    }

    async fn record(&self, kind: &str, key: &AgentKey, by: &Person, mut payload: Value) -> Result<(), Error> {
        if let Value::Object(fields) = &mut payload {
            fields.insert("via".to_owned(), json!(by.via));
        }
        let row = LogRow {
            run: key.run.clone(),
            at: self.healer.clock.now(),
            kind: kind.to_owned(),
            agent: Some(key.agent.clone()),
            actor: by.subject.clone(),
            outcome: "done".to_owned(),
            payload,
        };
        Ok(self.healer.action_log.append(&[row]).await?)
    }
}

fn diagnosis(word: &str) -> Result<Diagnosis, Error> {
    Ok(convert::word("diagnosis", word)?)
}

fn action(word: &str) -> Result<Action, Error> {
    Ok(convert::word("action", word)?)
}

fn case_id(text: String) -> Result<Option<CaseId>, Error> {
    match text.is_empty() {
        true => Ok(None),
        false => Ok(Some(convert::id("case_id", text)?)),
    }
}

fn limited(limit: u32) -> u32 {
    match limit {
        0 => LIST_DEFAULT,
        limit => limit.min(LIST_MAX),
    }
}
