//! Back-tests for whoever asks: some agents of a run at a time, read from the store and from quarantine.

use crate::backtest::{ALARMS_MAX, Decision, EXECUTIONS_MAX, Outcome, Period, Recorded};
use crate::quarantine::Reporter;
use crate::replay::{Alarm, Settings};
use immune_domain::case::Case;
use immune_domain::policy::{Compiled, Policies};
use immune_domain::{AgentKey, ErrorKind, RunId, Timestamp};
use immune_proto::convert::{WireError, run, time};
use immune_proto::v1;
use immune_runtime::grpc::status;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tonic::Status;

/// Agents in one answer, by default and at most.
const AGENTS: (u32, u32) = (10, 50);
/// Cases of an agent that are read, the newest.
const CASES_MAX: u32 = 100;

/// Answers back-tests, one at a time: each keeps a core busy, and live agents come first.
#[derive(Clone)]
pub(crate) struct Asking {
    reporter: Reporter,
    settings: Settings,
    turn: Arc<Semaphore>,
}

struct Question {
    run: RunId,
    period: Period,
    after: Option<String>,
    limit: u32,
    current: Arc<Compiled>,
    proposed: Option<Compiled>,
}

impl Asking {
    pub(crate) fn new(reporter: Reporter, settings: Settings) -> Self {
        let turn = Arc::new(Semaphore::new(1));
        Asking {
            reporter,
            settings,
            turn,
        }
    }

    /// # Errors
    /// A question that makes no sense; another one being answered; stores and quarantine not answering.
    pub(crate) async fn answer(&self, request: v1::BacktestRequest) -> Result<v1::BacktestResponse, Status> {
        let question = self.read(request)?;
        let Ok(_turn) = self.turn.try_acquire() else {
            let message = "another back-test is under way; ask again in a moment";
            return Err(status(ErrorKind::Overloaded, "sentinel.backtest_busy", message));
        };
        let store = &self.reporter.store;
        let known = store
            .agents(&question.run, question.after.as_deref(), question.limit)
            .await
            .map_err(|error| status(error.kind(), "sentinel.store", error.to_string()))?;
        let next_after = match known.last() {
            Some(last) if known.len() >= question.limit as usize => last.key.agent.to_string(),
            Some(_) | None => String::new(),
        };
        let question = Arc::new(question);
        let mut agents = Vec::with_capacity(known.len());
        for summary in known {
            let executions = store
                .between(&summary.key, Timestamp::EPOCH, question.period.to, EXECUTIONS_MAX)
                .await
                .map_err(|error| status(error.kind(), "sentinel.store", error.to_string()))?;
            let recorded = Recorded {
                cases: self.cases(&summary.key).await?,
                key: summary.key,
                executions,
            };
            let (question, settings) = (question.clone(), self.settings);
            let judged = tokio::task::spawn_blocking(move || judge(recorded, &question, settings)).await;
            agents.push(
                judged
                    .map_err(|error| status(ErrorKind::Internal, "sentinel.backtest", error.to_string()))?,
            );
        }
        Ok(v1::BacktestResponse { agents, next_after })
    }

    fn read(&self, request: v1::BacktestRequest) -> Result<Question, Status> {
        let invalid = |error: WireError| status(ErrorKind::Invalid, "sentinel.invalid", error.to_string());
        let from = time::from_wire("from", request.from).map_err(invalid)?;
        let to = time::from_wire("to", request.to).map_err(invalid)?;
        if to <= from {
            return Err(invalid(WireError::new(
                "to",
                "lies before `from`, or at it: the period is empty",
            )));
        }
        let proposed = match request.proposed_policies.is_empty() {
            true => None,
            false => Some(policies(&request.proposed_policies).map_err(invalid)?.compile()),
        };
        Ok(Question {
            run: run("run_id", request.run_id).map_err(invalid)?,
            period: Period { from, to },
            after: Some(request.after).filter(|after| !after.is_empty()),
            limit: match request.limit {
                0 => AGENTS.0,
                limit => limit.min(AGENTS.1),
            },
            current: self.reporter.directory.policies(),
            proposed,
        })
    }

    async fn cases(&self, key: &AgentKey) -> Result<Vec<Case>, Status> {
        let request = v1::ListCasesRequest {
            run_id: key.run.to_string(),
            agent_id: key.agent.to_string(),
            limit: CASES_MAX,
            ..v1::ListCasesRequest::default()
        };
        let answer = self
            .reporter
            .client
            .clone()
            .list_cases(request)
            .await?
            .into_inner();
        let cases = answer.cases.into_iter().map(Case::try_from);
        cases
            .collect::<Result<_, _>>()
            .map_err(|error| Status::data_loss(error.to_string()))
    }
}

/// Policies from their JSON form; every mistake is named.
fn policies(text: &str) -> Result<Policies, WireError> {
    let wrong = |problem: String| WireError::new("proposed_policies", problem);
    let policies: Policies = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let mut mistakes = Vec::new();
    policies.check("policy", &mut mistakes);
    match mistakes.is_empty() {
        true => Ok(policies),
        false => Err(wrong(mistakes.join("; "))),
    }
}

fn judge(mut recorded: Recorded, question: &Question, settings: Settings) -> v1::BacktestAgent {
    let is_cut = recorded.executions.len() >= EXECUTIONS_MAX as usize;
    let policy = recorded.policy(&question.current);
    let proposed = question
        .proposed
        .as_ref()
        .map(|policies| recorded.policy(policies));
    recorded.order();
    let before = recorded
        .executions
        .iter()
        .filter(|vitals| vitals.timestamp < question.period.from)
        .count();
    let current = recorded.replay(policy.clone(), settings, question.period);
    let others = proposed.map(|proposed| {
        // Most agents are not concerned by what is proposed: then it is what it was.
        let outcome = match proposed == policy {
            true => current.clone(),
            false => recorded.replay(proposed.clone(), settings, question.period),
        };
        alarms(&outcome, proposed.severity_requiring_approval)
    });
    v1::BacktestAgent {
        agent_id: recorded.key.agent.to_string(),
        executions: (recorded.executions.len() - before) as u64,
        executions_before: before as u64,
        cut: is_cut || current.alarms.len() >= ALARMS_MAX,
        current: alarms(&current, policy.severity_requiring_approval),
        proposed: others.unwrap_or_default(),
        decisions: current.decisions.iter().map(decision).collect(),
    }
}

fn alarms(outcome: &Outcome, approval_threshold: f64) -> Vec<v1::BacktestAlarm> {
    let wire = |alarm: &Alarm| v1::BacktestAlarm {
        at: Some(time::to_wire(alarm.at)),
        severity: alarm.severity,
        diagnosis: alarm.diagnosis.to_string(),
        because: alarm.because.clone(),
        anomalies: alarm
            .anomalies
            .iter()
            .map(|anomaly| anomaly.as_str().to_owned())
            .collect(),
        evidence: alarm.evidence,
        approval_threshold,
    };
    outcome.alarms.iter().map(wire).collect()
}

fn decision(decision: &Decision) -> v1::BacktestDecision {
    let recorded = &decision.recorded;
    v1::BacktestDecision {
        case_id: decision.case.to_string(),
        detected_at: Some(time::to_wire(recorded.detected_at)),
        severity: recorded.severity,
        diagnosis: recorded
            .hypotheses
            .first()
            .map(|first| first.diagnosis.to_string())
            .unwrap_or_default(),
        repeated: decision.difference.is_none(),
        difference: decision.difference.unwrap_or_default().to_owned(),
    }
}
