//! Approvals of a run, as existing clients know them: what client-deployed systems post and what native cases wait
//! for, as one truth. Of two records of an agent the later one counts.

use crate::app::App;
use crate::problems::{Answer, stored};
use crate::roles::CaseQuery;
use crate::view::infection;
use immune_domain::case::{Case, Decision, State};
use immune_domain::detection::rounded;
use immune_domain::{AgentId, AgentKey, CaseId, RunId, Timestamp};
use immune_store::PAGE_MAX;
use immune_store::client_records::{ClientRecord, RecordKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Closed cases of a run that are looked at for the latest decisions.
const CLOSED_MAX: u32 = 1_000;
/// Cases of one agent that are looked at.
const CASES_OF_AGENT_MAX: u32 = 50;

/// The decisions of the original's approvals.
pub(crate) const PENDING: &str = "pending";
pub(crate) const APPROVED: &str = "approved";
pub(crate) const REJECTED: &str = "rejected";
pub(crate) const HEAL_NOW: &str = "heal_now";

/// The latest word on an agent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Approval {
    pub agent: AgentId,
    /// `pending`, `approved`, `rejected`, `heal_now`.
    pub decision: String,
    pub at: Timestamp,
    /// As sent, or null.
    pub severity: Value,
    pub max_deviation: Value,
    pub anomalies: Value,
    pub diagnosis_type: Value,
    pub reasoning: Value,
    pub infection_payload: Value,
    pub decided_by: Option<String>,
    /// The native case; `None` for what a client posted.
    pub case: Option<CaseId>,
}

impl Approval {
    /// What a posted record says.
    pub fn of_record(record: &ClientRecord) -> Self {
        let field = |name: &str| record.body.get(name).cloned().unwrap_or(Value::Null);
        let text = |name: &str| record.body.get(name).and_then(Value::as_str).map(str::to_owned);
        Approval {
            agent: record.key.agent.clone(),
            decision: text("decision").unwrap_or_default(),
            at: record.at,
            severity: field("severity"),
            max_deviation: field("max_deviation"),
            anomalies: field("anomalies"),
            diagnosis_type: field("diagnosis_type"),
            reasoning: field("reasoning"),
            infection_payload: field("infection_payload"),
            decided_by: text("decided_by"),
            case: None,
        }
    }

    /// What a native case says; `None` when it never asked for a person, or a person let the agent go.
    pub fn of_case(case: &Case) -> Option<Self> {
        let (decision, at) = match &case.state {
            State::AwaitingApproval { since, .. } => (PENDING, *since),
            State::Rejected { at, .. } => (REJECTED, *at),
            State::HealQueued { .. }
            | State::Healing { .. }
            | State::Probation { .. }
            | State::Healed { .. }
            | State::Released { .. } => {
                let last = case.last_decision.as_ref()?;
                let word = match last.decision {
                    Decision::Approve => APPROVED,
                    Decision::HealNow => HEAL_NOW,
                    Decision::Reject => REJECTED,
                    Decision::Release => return None,
                };
                (word, last.at)
            }
        };
        let report = &case.infection;
        Some(Approval {
            agent: case.key.agent.clone(),
            decision: decision.to_owned(),
            at,
            severity: json!(rounded(report.severity)),
            max_deviation: json!(infection::max_deviation(report)),
            anomalies: json!(infection::anomalies(report)),
            diagnosis_type: json!(case.diagnosis()),
            reasoning: json!(infection::reasoning(report)),
            infection_payload: infection::payload(report),
            decided_by: case.last_decision.as_ref().map(|last| last.by.subject.clone()),
            case: Some(case.id.clone()),
        })
    }

    /// As `approvals/latest` shows it.
    pub fn to_latest(&self) -> Value {
        json!({
            "agent_id": self.agent,
            "decision": self.decision,
            "severity": self.severity,
            "max_deviation": self.max_deviation,
            "anomalies": self.anomalies,
            "diagnosis_type": self.diagnosis_type,
            "reasoning": self.reasoning,
            "infection_payload": self.infection_payload,
            "timestamp": self.at.as_epoch_seconds(),
            "decided_by": self.decided_by,
            "case_id": self.case,
        })
    }

    /// As the lists of pending and rejected ones show it; `at` names the field of the time.
    pub fn to_listed(&self, at: &str) -> Value {
        let severity = self.severity.as_f64().map(rounded);
        let mut row = json!({
            "agent_id": self.agent,
            "severity": severity,
            "max_deviation": self.max_deviation,
            "anomalies": self.anomalies.as_array().cloned().unwrap_or_default(),
            "diagnosis_type": self.diagnosis_type,
            "reasoning": self.reasoning,
            "case_id": self.case,
        });
        row[at] = json!(self.at.as_epoch_seconds());
        row
    }
}

/// The latest word on one agent.
pub(crate) async fn latest(app: &App, key: &AgentKey) -> Answer<Option<Approval>> {
    let query = CaseQuery {
        agent: Some(key.agent.clone()),
        limit: CASES_OF_AGENT_MAX,
        ..CaseQuery::default()
    };
    let (record, cases) = tokio::join!(
        app.client_records.latest(key, RecordKind::Approval),
        app.roles.cases(&key.run, query)
    );
    let posted = record.map_err(stored)?.map(|record| Approval::of_record(&record));
    let native = cases?.iter().find_map(Approval::of_case);
    Ok(later(posted, native))
}

/// The latest word on every agent of a run.
pub(crate) async fn latest_all(app: &App, run: &RunId) -> Answer<BTreeMap<AgentId, Approval>> {
    let cases = |open: bool, limit: u32| {
        app.roles.cases(
            run,
            CaseQuery {
                open: Some(open),
                limit,
                ..CaseQuery::default()
            },
        )
    };
    let (records, open, closed) = tokio::join!(
        app.client_records
            .latest_per_agent(run, RecordKind::Approval, PAGE_MAX),
        cases(true, PAGE_MAX),
        cases(false, CLOSED_MAX),
    );
    let mut all: BTreeMap<AgentId, Approval> = BTreeMap::new();
    // Open cases come first, since an agent's open case is its newest.
    for approval in open?.iter().chain(&closed?).filter_map(Approval::of_case) {
        all.entry(approval.agent.clone()).or_insert(approval);
    }
    for posted in records.map_err(stored)?.iter().map(Approval::of_record) {
        let native = all.remove(&posted.agent);
        if let Some(winner) = later(Some(posted), native) {
            all.insert(winner.agent.clone(), winner);
        }
    }
    Ok(all)
}

/// Agents whose latest word is this one, the oldest first.
pub(crate) async fn with_decision(app: &App, run: &RunId, decision: &str) -> Answer<Vec<Approval>> {
    let mut found: Vec<Approval> = latest_all(app, run)
        .await?
        .into_values()
        .filter(|approval| approval.decision == decision)
        .collect();
    found.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.agent.cmp(&b.agent)));
    Ok(found)
}

fn later(a: Option<Approval>, b: Option<Approval>) -> Option<Approval> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.at > a.at { b } else { a }),
        (a, b) => a.or(b),
    }
}
