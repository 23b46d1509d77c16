//! Where the workflow of a case stands; each state carries the data that is true in it.

use crate::healing::{Action, Trigger};
use crate::{HealingId, Timestamp};
use serde::{Deserialize, Serialize};

/// Where the workflow stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum State {
    /// A person must decide.
    AwaitingApproval {
        /// Since when.
        since: Timestamp,
        /// Why a person is needed.
        reason: WaitReason,
        /// When it escalates (notifies again at a higher priority); it never decides by itself.
        escalates_at: Timestamp,
        /// How often it has escalated.
        escalations: u32,
    },
    /// A person said no; the agent stays quarantined until heal-now or release.
    Rejected {
        /// When.
        at: Timestamp,
        /// Who.
        by: Person,
        /// Why.
        reason: String,
    },
    /// A healer may take it.
    HealQueued {
        /// Why it may be healed.
        trigger: Trigger,
        /// Not before this time (cool-down between steps).
        not_before: Timestamp,
    },
    /// A healer holds it.
    Healing {
        /// Why it may be healed.
        trigger: Trigger,
        /// Who holds it, until when.
        lease: Lease,
        /// The step under way; `None` between taking the case and choosing the step.
        step: Option<Step>,
    },
    /// The lever said done; the agent runs under watch.
    Probation {
        /// Why it was healed.
        trigger: Trigger,
        /// Which healer watches, until when.
        lease: Lease,
        /// The step that is being proven.
        step: Step,
        /// Since when; only executions that start later count.
        since: Timestamp,
    },
    /// Recovery was proven and the agent released. Closed.
    Healed {
        /// When.
        at: Timestamp,
        /// The action that did it.
        action: Action,
    },
    /// A person released the agent, or the fleet check did in the name of an incident. Closed.
    Released {
        /// When.
        at: Timestamp,
        /// Who.
        by: Person,
        /// Why.
        reason: String,
    },
}

/// Why a person must decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum WaitReason {
    /// Severity at or above the threshold.
    Severe,
    /// No step of the ladder is left.
    LadderExhausted,
    /// The automatic quarantines of this run have reached their cap; this agent is not quarantined.
    BlastRadius {
        /// The cap.
        cap: u32,
    },
    /// The policy only observes; this agent is not quarantined and nothing is healed without an order.
    Observing,
    /// The step was done, but the agent never ran again, so nothing is proven.
    Unproven,
}

/// A verified identity, never a field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Subject of the login or name of the API key.
    pub subject: String,
    /// How it was verified: `loopback`, `api_key`, `oidc`; `fleet_incident` where no person but the fleet check released.
    pub via: String,
}

/// Who may act on a case, until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Name of the worker.
    pub worker: String,
    /// Fencing token: grows with every claim; a command with an older one is refused.
    pub fence: u64,
    /// After this time another worker may take over.
    pub until: Timestamp,
}

/// A step of the ladder under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Idempotency key of the attempt; survives takeover.
    pub healing: HealingId,
    /// What is done.
    pub action: Action,
    /// When it began.
    pub started_at: Timestamp,
}

impl State {
    /// Name on the wire.
    pub const fn as_str(&self) -> &'static str {
        match self {
            State::AwaitingApproval { .. } => "awaiting_approval",
            State::Rejected { .. } => "rejected",
            State::HealQueued { .. } => "heal_queued",
            State::Healing { .. } => "healing",
            State::Probation { .. } => "probation",
            State::Healed { .. } => "healed",
            State::Released { .. } => "released",
        }
    }

    /// Whether the case has ended.
    pub const fn is_closed(&self) -> bool {
        match self {
            State::Healed { .. } | State::Released { .. } => true,
            State::AwaitingApproval { .. }
            | State::Rejected { .. }
            | State::HealQueued { .. }
            | State::Healing { .. }
            | State::Probation { .. } => false,
        }
    }
}

impl WaitReason {
    /// Name on the wire.
    pub const fn as_str(&self) -> &'static str {
        match self {
            WaitReason::Severe => "severe",
            WaitReason::LadderExhausted => "ladder_exhausted",
            WaitReason::BlastRadius { .. } => "blast_radius",
            WaitReason::Observing => "observing",
            WaitReason::Unproven => "unproven",
        }
    }
}

/// What a person can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Heal it.
    Approve,
    /// Do not heal it; keep it quarantined.
    Reject,
    /// Heal it although it was rejected, or before it is decided.
    HealNow,
    /// Let the agent go as it is.
    Release,
}

impl Decision {
    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Decision::Approve => "approve",
            Decision::Reject => "reject",
            Decision::HealNow => "heal_now",
            Decision::Release => "release",
        }
    }

    /// The word for it once it is done.
    pub const fn done(self) -> &'static str {
        match self {
            Decision::Approve => "approved",
            Decision::Reject => "rejected",
            Decision::HealNow => "ordered to heal now",
            Decision::Release => "released",
        }
    }
}

/// A decision that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDecision {
    /// What was decided.
    pub decision: Decision,
    /// By whom.
    pub by: Person,
    /// Why, in the person's words; may be empty.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// The word that came before it, where two people were needed.
    #[serde(default)]
    pub first: Option<FirstApproval>,
}

/// The first of two words that a case needs before its agent may act again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstApproval {
    /// By whom.
    pub by: Person,
    /// `approve`, `heal_now` or `release`.
    pub decision: Decision,
    /// Why, in the person's words; may be empty.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// From when on it no longer counts.
    pub expires_at: Timestamp,
}
