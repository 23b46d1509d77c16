//! The case: one infection's life from detection to release, as a pure state machine.
//!
//! [`open`] makes a case of a report; [`decide`] takes a case, a command, the policy that holds for its agent and a
//! time, and returns the next case with its effects, or a refusal. Every (state, command) pair is defined. States
//! carry the data that is true in them. Nothing here acts: effects say what the quarantine role must write and ask.
//!
//! To add a command: a variant in `command.rs`, a line in `decide.rs`, a function in the file of its group that names
//! every state, and its row in `tests/table.rs`.

mod attempt;
mod command;
mod decide;
mod draft;
mod effect;
mod explained;
mod lease;
mod levers;
mod open;
mod people;
mod quarantine;
mod refusal;
mod report;
mod second;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod tick;
mod timeline;
mod verify;

pub use attempt::{Attempt, AttemptOutcome};
pub use command::{Command, Verdict};
pub use decide::{Decided, decide};
pub use effect::{Announcement, Effect, EventKind, LogEntry};
pub use levers::{CLOCK_TOLERANCE, UNKNOWN_RETRY};
pub use open::{Context, blast_radius_cap, open};
pub use quarantine::{Containment, LeverState, LeverStatus, Quarantine, QuarantinePhase};
pub use refusal::Refusal;
pub use state::{Decision, FirstApproval, LastDecision, Lease, Person, State, Step, WaitReason};
pub use timeline::{Entry, TIMELINE_MAX};

use crate::detection::Infection;
use crate::diagnosis::Diagnosis;
use crate::{AgentKey, CaseId, Timestamp};
use serde::{Deserialize, Serialize};

/// One infection's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Identity.
    pub id: CaseId,
    /// Whose case.
    pub key: AgentKey,
    /// Kind of agent, as far as known when the case opened; policy is resolved by it.
    #[serde(default)]
    pub agent_type: Option<String>,
    /// Kubernetes namespace of the agent; policy is resolved by it.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Grows by one with every saved change; the guard against two people deciding at once.
    pub version: u64,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The worst report so far; later reports of the same agent are merged into it.
    pub infection: Infection,
    /// Where it stands.
    pub state: State,
    /// The containment, which lives beside the workflow.
    pub quarantine: Quarantine,
    /// Steps of the ladder tried in this case, in order.
    pub attempts: Vec<Attempt>,
    /// Attempts before this index belong to earlier rounds: the ladder was exhausted (or proved nothing), and a
    /// person's word starts it anew. Then actions that failed before may be tried again, as the last choice. `None` in
    /// the first round; 0 where the first round had nothing left to try.
    #[serde(default)]
    pub ladder_from: Option<u32>,
    /// The last decision of a person, for whoever decides too late.
    #[serde(default)]
    pub last_decision: Option<LastDecision>,
    /// Whether it takes two people to let the agent act again; as policy said when the case last changed. False once
    /// the case has ended.
    #[serde(default)]
    pub needs_second_person: bool,
    /// The first of their words. A decision looks at its `expires_at`; that it has lapsed may show a moment later.
    #[serde(default)]
    pub first_approval: Option<FirstApproval>,
    /// Everything that happened, oldest first; bounded by [`TIMELINE_MAX`].
    pub timeline: Vec<Entry>,
}

impl Case {
    /// The most confident diagnosis.
    pub fn diagnosis(&self) -> Diagnosis {
        self.infection
            .hypotheses
            .first()
            .map_or(Diagnosis::Unknown, |h| h.diagnosis)
    }

    /// Attempts of the current round of the ladder.
    pub fn round(&self) -> &[Attempt] {
        self.attempts
            .get(self.ladder_from.unwrap_or(0) as usize..)
            .unwrap_or_default()
    }

    /// Whether the agent must not execute as far as this case is concerned: containment is wanted, whether or not
    /// the levers have confirmed it.
    pub fn denies_admission(&self) -> bool {
        match self.quarantine.phase {
            QuarantinePhase::Requested
            | QuarantinePhase::Partial
            | QuarantinePhase::Confirmed
            | QuarantinePhase::Breached => true,
            QuarantinePhase::NotWanted
            | QuarantinePhase::Probation
            | QuarantinePhase::Releasing
            | QuarantinePhase::Released => false,
        }
    }

    /// Whether the case takes part in the count of the blast radius: open, with levers in play.
    pub fn occupies_blast_radius(&self) -> bool {
        !self.state.is_closed() && self.quarantine.phase != QuarantinePhase::NotWanted
    }
}
