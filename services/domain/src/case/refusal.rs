//! Why a command does not apply.

use super::Decision;
use crate::healing::Action;
use crate::{ErrorKind, HealingId, Timestamp};

/// Why a command does not apply. The case is unchanged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// A person was faster.
    #[error("case was already {} by {by}; it is {state} now", decision.done())]
    AlreadyDecided {
        /// What was decided.
        decision: Decision,
        /// By whom.
        by: String,
        /// State of the case now.
        state: &'static str,
    },
    /// The case has ended.
    #[error("case is closed: {state}")]
    Closed {
        /// How it ended.
        state: &'static str,
    },
    /// The state has no use for the command.
    #[error("{command} does not apply while the case is {state}")]
    WrongState {
        /// What was asked.
        command: &'static str,
        /// State of the case.
        state: &'static str,
    },
    /// Another healer has taken over.
    #[error("fencing token {given} is stale: the case is held under {current}")]
    StaleFence {
        /// The caller's token.
        given: u64,
        /// The token that holds.
        current: u64,
    },
    /// Another healer holds the case.
    #[error("case is held by {worker} until {until}")]
    LeaseHeld {
        /// Who holds it.
        worker: String,
        /// Until when.
        until: Timestamp,
    },
    /// The next step has to wait: cool-down, or containment that has not been answered.
    #[error("next step is due at {not_before}")]
    NotDue {
        /// Until when.
        not_before: Timestamp,
    },
    /// The severity needs a person's word first.
    #[error("severity {severity:.2} needs an approval, from {threshold:.2} on")]
    NeedsApproval {
        /// Severity of the case.
        severity: f64,
        /// Where approval begins.
        threshold: f64,
    },
    /// Another step is under way, or none.
    #[error("step {given} is not the one under way ({})", current.as_ref().map_or("none", HealingId::as_str))]
    WrongStep {
        /// The step that the caller means.
        given: HealingId,
        /// The step under way.
        current: Option<HealingId>,
    },
    /// A step is under way; the ladder cannot be given up before it ends.
    #[error("step {healing} is under way")]
    StepUnderWay {
        /// Which one.
        healing: HealingId,
    },
    /// The action ended without success in this round already.
    #[error("{action} was tried in this case already and is not tried again without a person's word")]
    AlreadyTried {
        /// Which action.
        action: Action,
    },
    /// A decision that must say why does not.
    #[error("{command} needs a reason")]
    ReasonMissing {
        /// What was asked.
        command: &'static str,
    },
    /// Policy does not let this person decide.
    #[error("policy does not name {by} among those who may decide on this case")]
    NotPermitted {
        /// Who.
        by: String,
    },
    /// The same person wishes for the same once more.
    #[error("you have {} already; it takes somebody else to say so, too, before {until}", said(*decision))]
    SecondPersonNeeded {
        /// What was said first.
        decision: Decision,
        /// Until when the first word counts.
        until: Timestamp,
    },
    /// The case has no lever of that name.
    #[error("case has no lever {lever:?}")]
    UnknownLever {
        /// Its name.
        lever: String,
    },
}

impl Refusal {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Refusal::AlreadyDecided { .. }
            | Refusal::Closed { .. }
            | Refusal::WrongState { .. }
            | Refusal::StaleFence { .. }
            | Refusal::LeaseHeld { .. }
            | Refusal::NotDue { .. }
            | Refusal::NeedsApproval { .. }
            | Refusal::WrongStep { .. }
            | Refusal::StepUnderWay { .. }
            | Refusal::AlreadyTried { .. }
            | Refusal::SecondPersonNeeded { .. } => ErrorKind::Conflict,
            Refusal::NotPermitted { .. } => ErrorKind::Forbidden,
            Refusal::ReasonMissing { .. } | Refusal::UnknownLever { .. } => ErrorKind::Invalid,
        }
    }

    /// Code word, without the role's name.
    pub const fn code(&self) -> &'static str {
        match self {
            Refusal::AlreadyDecided { .. } => "case_already_decided",
            Refusal::Closed { .. } => "case_closed",
            Refusal::WrongState { .. } => "wrong_state",
            Refusal::StaleFence { .. } => "stale_fence",
            Refusal::LeaseHeld { .. } => "lease_held",
            Refusal::NotDue { .. } => "not_due",
            Refusal::NeedsApproval { .. } => "needs_approval",
            Refusal::WrongStep { .. } => "wrong_step",
            Refusal::StepUnderWay { .. } => "step_under_way",
            Refusal::AlreadyTried { .. } => "already_tried",
            Refusal::ReasonMissing { .. } => "reason_missing",
            Refusal::UnknownLever { .. } => "unknown_lever",
            Refusal::NotPermitted { .. } => "not_an_approver",
            Refusal::SecondPersonNeeded { .. } => "second_person_needed",
        }
    }
}

/// What a person has done who said so.
const fn said(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approved this",
        Decision::Reject => "rejected this",
        Decision::HealNow => "ordered this to be healed",
        Decision::Release => "ordered the release",
    }
}
