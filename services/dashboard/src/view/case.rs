//! A case, in short and in full.

use super::infection::{self, EvidenceView, HypothesisView, RuledOutView};
use super::outlook::{self, Affected, ProbationView};
use super::vitals::seconds;
use immune_domain::case::{Attempt, Case, Entry, FirstApproval, LastDecision, LeverState, State};
use immune_domain::detection::rounded;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// A case in short, as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CaseView {
    /// Identity.
    pub case_id: String,
    /// Run of the agent.
    pub run_id: String,
    /// Whose.
    pub agent_id: String,
    /// Kind of agent, if known.
    pub agent_type: Option<String>,
    /// Grows with every change; give it as `expected_version` with a decision.
    pub version: u64,
    /// `awaiting_approval`, `rejected`, `heal_queued`, `healing`, `probation`, `healed`, `released`.
    pub state: String,
    /// What is true in the state: since when, why, by whom, which step.
    #[schema(value_type = Object)]
    pub state_details: Value,
    /// Whether it has not ended.
    pub open: bool,
    /// 0 to 10, one decimal.
    pub severity: f64,
    /// The largest deviation, standard deviations.
    pub max_deviation: Option<f64>,
    /// How sure the guarded detector was, in about standard deviations; null where it was not asked.
    pub evidence_score: Option<f64>,
    /// What departed.
    pub anomalies: Vec<String>,
    /// How far, by metric.
    #[schema(value_type = Object)]
    pub deviations: Value,
    /// The most confident diagnosis.
    pub diagnosis: String,
    /// The same, under the original's name.
    pub diagnosis_type: String,
    /// Why it has this name.
    pub reasoning: String,
    /// The containment.
    pub quarantine: QuarantineView,
    /// Steps tried.
    pub attempts: Vec<AttemptView>,
    /// The last decision of a person.
    pub last_decision: Option<DecisionView>,
    /// Whether it takes two people to let the agent act again (approve, heal now, release).
    pub needs_second_person: bool,
    /// The first of their words; the state stays until somebody else says the same.
    pub first_approval: Option<FirstApprovalView>,
    /// Epoch seconds.
    pub opened_at: f64,
    /// Epoch seconds.
    pub updated_at: f64,
}

/// A case in full.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WholeCase {
    /// What lists show.
    #[serde(flatten)]
    pub case: CaseView,
    /// Everything that happened, oldest first.
    pub timeline: Vec<EntryView>,
    /// Diagnoses, the most confident first.
    pub hypotheses: Vec<HypothesisView>,
    /// What it was not, and why.
    pub ruled_out: Vec<RuledOutView>,
    /// The executions that show it.
    pub evidence: Vec<EvidenceView>,
    /// The recent window beside the baseline.
    #[schema(value_type = Object)]
    pub window: Value,
    /// What would be done next, and what is skipped and why; null once the case has ended, when the healer does not
    /// answer, and in the answer to a decision.
    pub plan: Option<PlanView>,
    /// When something happens by itself (an approval escalates, a step may begin), epoch seconds; null when nothing
    /// does.
    pub expires_at: Option<f64>,
    /// What happens next, in a sentence.
    pub next: String,
    /// Who is affected; null once the case has ended, when it cannot be said, and in the answer to a decision.
    pub affected: Option<Affected>,
    /// How far the proof of the healing is; null when none is under way, and in the answer to a decision.
    pub probation: Option<ProbationView>,
}

/// The containment of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct QuarantineView {
    /// `not_wanted`, `requested`, `partial`, `confirmed`, `breached`, `probation`, `releasing`, `released`.
    pub phase: String,
    /// Epoch seconds.
    pub since: f64,
    /// Executions seen that started after confirmation.
    pub breaches: u32,
    /// Per lever.
    pub levers: Vec<LeverView>,
}

/// One lever's part.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LeverView {
    /// Its name.
    pub lever: String,
    /// `contained`, `probation`, `free`.
    pub wanted: String,
    /// `requested`, `confirmed`, `failed`, `unsupported`.
    pub status: String,
    /// How often it was asked.
    pub attempts: u32,
    /// Its receipt or last error.
    pub detail: String,
    /// When it answered last, epoch seconds; null before it did, or when that is too long ago to be on record.
    pub at: Option<f64>,
}

/// One step tried.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AttemptView {
    /// Identity.
    pub healing_id: String,
    /// What was done.
    pub action: String,
    /// `succeeded`, `failed`, `unsupported`, `unproven`.
    pub outcome: String,
    /// Why.
    pub detail: String,
    /// Epoch seconds.
    pub at: f64,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EntryView {
    /// Epoch seconds.
    pub at: f64,
    /// Machine word.
    pub kind: String,
    /// Who caused it.
    pub actor: String,
    /// One sentence.
    pub text: String,
    /// How many times in a row.
    pub count: u32,
}

/// A decision that was taken.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DecisionView {
    /// `approve`, `reject`, `heal_now`, `release`.
    pub decision: String,
    /// Verified subject.
    pub by: String,
    /// How the subject was verified.
    pub via: String,
    /// In the person's words.
    pub reason: String,
    /// Epoch seconds.
    pub at: f64,
    /// The word that came before it, where two people were needed.
    pub first: Option<FirstApprovalView>,
}

/// The first of two people's words.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FirstApprovalView {
    /// Verified subject.
    pub by: String,
    /// How the subject was verified.
    pub via: String,
    /// `approve`, `heal_now`, `release`.
    pub decision: String,
    /// In the person's words.
    pub reason: String,
    /// Epoch seconds.
    pub at: f64,
    /// From when on it no longer counts, epoch seconds.
    pub expires_at: f64,
}

/// What would be done.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PlanView {
    /// Actions in order.
    pub steps: Vec<String>,
    /// Actions that are left out.
    pub skipped: Vec<SkippedView>,
}

/// An action that is left out.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SkippedView {
    /// Which.
    pub action: String,
    /// Why.
    pub because: String,
}

impl From<&Case> for CaseView {
    fn from(case: &Case) -> Self {
        let report = &case.infection;
        CaseView {
            case_id: case.id.to_string(),
            run_id: case.key.run.to_string(),
            agent_id: case.key.agent.to_string(),
            agent_type: case.agent_type.clone(),
            version: case.version,
            state: case.state.as_str().to_owned(),
            state_details: details(&case.state),
            open: !case.state.is_closed(),
            severity: rounded(report.severity),
            max_deviation: infection::max_deviation(report),
            evidence_score: report.evidence_score,
            anomalies: infection::anomalies(report),
            deviations: infection::deviations(report),
            diagnosis: case.diagnosis().to_string(),
            diagnosis_type: case.diagnosis().to_string(),
            reasoning: infection::reasoning(report),
            quarantine: QuarantineView {
                phase: case.quarantine.phase.as_str().to_owned(),
                since: seconds(case.quarantine.since),
                breaches: case.quarantine.breaches,
                levers: case
                    .quarantine
                    .levers
                    .iter()
                    .map(|lever| LeverView::of(lever, case))
                    .collect(),
            },
            attempts: case.attempts.iter().map(AttemptView::from).collect(),
            last_decision: case.last_decision.as_ref().map(DecisionView::from),
            needs_second_person: case.needs_second_person,
            first_approval: case.first_approval.as_ref().map(FirstApprovalView::from),
            opened_at: seconds(case.opened_at),
            updated_at: seconds(case.updated_at),
        }
    }
}

impl WholeCase {
    /// A case by itself.
    pub fn of(case: &Case) -> Self {
        WholeCase {
            case: CaseView::from(case),
            timeline: case.timeline.iter().map(EntryView::from).collect(),
            hypotheses: infection::hypotheses(&case.infection),
            ruled_out: infection::ruled_out(&case.infection),
            evidence: infection::evidence(&case.infection),
            window: infection::window(&case.infection),
            plan: None,
            expires_at: outlook::expires_at(case),
            next: outlook::next(case),
            affected: None,
            probation: None,
        }
    }
}

/// What is true in a state.
fn details(state: &State) -> Value {
    match state {
        State::AwaitingApproval {
            since,
            reason,
            escalates_at,
            escalations,
        } => json!({
            "since": seconds(*since), "reason": reason.as_str(), "escalates_at": seconds(*escalates_at),
            "escalations": escalations,
        }),
        State::Rejected { at, by, reason } | State::Released { at, by, reason } => {
            json!({ "at": seconds(*at), "by": by.subject, "reason": reason })
        }
        State::HealQueued { trigger, not_before } => {
            json!({ "trigger": trigger.as_str(), "not_before": seconds(*not_before) })
        }
        State::Healing {
            trigger,
            lease: _,
            step,
        } => json!({
            "trigger": trigger.as_str(), "action": step.as_ref().map(|step| step.action.as_str()),
        }),
        State::Probation {
            trigger,
            lease: _,
            step,
            since,
        } => json!({
            "trigger": trigger.as_str(), "action": step.action.as_str(), "since": seconds(*since),
        }),
        State::Healed { at, action } => json!({ "at": seconds(*at), "action": action.as_str() }),
    }
}

impl LeverView {
    fn of(lever: &LeverState, case: &Case) -> Self {
        // The timeline has each answer under the lever's name.
        let latest = case
            .timeline
            .iter()
            .rev()
            .find(|entry| entry.actor == lever.lever && entry.kind.starts_with("lever_"));
        LeverView {
            lever: lever.lever.clone(),
            wanted: lever.wanted.as_str().to_owned(),
            status: lever.status.as_str().to_owned(),
            attempts: lever.attempts,
            detail: lever.detail.clone(),
            at: latest.map(|entry| seconds(entry.at)),
        }
    }
}

impl From<&Attempt> for AttemptView {
    fn from(attempt: &Attempt) -> Self {
        AttemptView {
            healing_id: attempt.healing.to_string(),
            action: attempt.action.to_string(),
            outcome: attempt.outcome.as_str().to_owned(),
            detail: attempt.detail.clone(),
            at: seconds(attempt.at),
        }
    }
}

impl From<&Entry> for EntryView {
    fn from(entry: &Entry) -> Self {
        EntryView {
            at: seconds(entry.at),
            kind: entry.kind.clone(),
            actor: entry.actor.clone(),
            text: entry.text.clone(),
            count: entry.count,
        }
    }
}

impl From<&LastDecision> for DecisionView {
    fn from(last: &LastDecision) -> Self {
        DecisionView {
            decision: last.decision.as_str().to_owned(),
            by: last.by.subject.clone(),
            via: last.by.via.clone(),
            reason: last.reason.clone(),
            at: seconds(last.at),
            first: last.first.as_ref().map(FirstApprovalView::from),
        }
    }
}

impl From<&FirstApproval> for FirstApprovalView {
    fn from(first: &FirstApproval) -> Self {
        FirstApprovalView {
            by: first.by.subject.clone(),
            via: first.by.via.clone(),
            decision: first.decision.as_str().to_owned(),
            reason: first.reason.clone(),
            at: seconds(first.at),
            expires_at: seconds(first.expires_at),
        }
    }
}
