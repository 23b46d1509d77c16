//! What a person who decides wants to know beside the case: what happens next, and who is affected.

use super::vitals::seconds;
use immune_domain::Timestamp;
use immune_domain::case::{Case, State, WaitReason};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Who is affected by a case.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Affected {
    /// The agent.
    pub agent_id: String,
    /// Its kind, if known.
    pub agent_type: Option<String>,
    /// The Kubernetes namespace that it runs in, if known.
    pub namespace: Option<String>,
    /// Workload and pod, as telemetry names them.
    pub workload: BTreeMap<String, String>,
    /// MCP servers that it says it uses.
    pub mcp_servers: Vec<String>,
    /// Other agents of the same kind that are ill now.
    pub same_type: Others,
    /// Other agents with an MCP server in common that are ill now.
    pub same_mcp_server: Others,
}

/// Some agents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Others {
    /// How many.
    pub count: u32,
    /// Which, at most ten.
    pub agents: Vec<String>,
}

/// How far a proof is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ProbationView {
    /// Executions seen since it began.
    pub seen: u32,
    /// Executions that make the proof complete.
    pub needed: u32,
    /// When it began, epoch seconds.
    pub since: f64,
    /// From when on fewer are enough, epoch seconds.
    pub enough_at: f64,
    /// When silence ends it without a proof, epoch seconds.
    pub silent_until: f64,
}

impl Others {
    /// Counts one more; the first ten are named.
    pub(crate) fn add(&mut self, agent: &str) {
        self.count = self.count.saturating_add(1);
        if self.agents.len() < 10 {
            self.agents.push(agent.to_owned());
        }
    }
}

/// When something happens to the case by itself, epoch seconds; `None` when nothing does.
pub(crate) fn expires_at(case: &Case) -> Option<f64> {
    let at: Timestamp = match &case.state {
        State::AwaitingApproval { escalates_at, .. } => *escalates_at,
        State::HealQueued { not_before, .. } => *not_before,
        State::Rejected { .. }
        | State::Healing { .. }
        | State::Probation { .. }
        | State::Healed { .. }
        | State::Released { .. } => return None,
    };
    Some(seconds(at))
}

/// What happens next, in a sentence.
pub(crate) fn next(case: &Case) -> String {
    match &case.state {
        State::AwaitingApproval { reason, .. } => {
            let why = match reason {
                WaitReason::Severe => "its severity needs a person".to_owned(),
                WaitReason::LadderExhausted => "every step that policy allows was tried".to_owned(),
                WaitReason::BlastRadius { cap } => {
                    format!(
                        "{cap} agents of this run are quarantined automatically already, the most that policy allows"
                    )
                }
                WaitReason::Observing => "policy only watches this agent".to_owned(),
                WaitReason::Unproven => {
                    "the agent did not run after the last step, so that nothing is proven".to_owned()
                }
            };
            format!(
                "Waits for a person, because {why}. Nothing is decided by itself; it is announced again when it escalates."
            )
        }
        State::Rejected { .. } => {
            "Stays contained, until a person orders to heal it now or releases it.".to_owned()
        }
        State::HealQueued { .. } => "A healer takes the next step.".to_owned(),
        State::Healing { step: Some(step), .. } => {
            format!(
                "{} is under way; when it is done, the agent runs under watch.",
                step.action
            )
        }
        State::Healing { step: None, .. } => "A healer chooses the next step.".to_owned(),
        State::Probation { step, .. } => format!(
            "The agent runs under watch after {}: it is released when its executions lie within the baseline, and \
             contained again when they do not.",
            step.action
        ),
        State::Healed { .. } | State::Released { .. } => "Nothing; the case has ended.".to_owned(),
    }
}
