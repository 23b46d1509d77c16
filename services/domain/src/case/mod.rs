//! The case: one infection's life from detection to release, as a pure state machine.
//!
//! `decide` (see `decide.rs`) takes a case, a command and a time and returns the next case with its effects, or a
//! refusal. Every (state, command) pair is defined. States carry the data that is true in them.

use crate::detection::Infection;
use crate::healing::{Action, Trigger};
use crate::{AgentKey, CaseId, HealingId, Timestamp};
use serde::{Deserialize, Serialize};

/// One infection's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Identity.
    pub id: CaseId,
    /// Whose case.
    pub key: AgentKey,
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
    /// Everything that happened, oldest first; bounded by [`TIMELINE_MAX`].
    pub timeline: Vec<Entry>,
}

/// The most entries a timeline keeps; beyond it, repeats of the same kind are counted instead of added.
pub const TIMELINE_MAX: usize = 200;

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
    /// A person released the agent. Closed.
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
    /// How it was verified: `loopback`, `api_key`, `oidc`.
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

/// A step that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Idempotency key of the attempt.
    pub healing: HealingId,
    /// What was done.
    pub action: Action,
    /// How it ended: `succeeded`, `failed`, `unsupported`, `unproven`.
    pub outcome: AttemptOutcome,
    /// The words of the lever or of the verification.
    pub detail: String,
    /// When it ended.
    pub at: Timestamp,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// Recovery proven.
    Succeeded,
    /// The lever failed, or the agent was sick afterwards.
    Failed,
    /// The lever cannot do it.
    Unsupported,
    /// Done, but never proven.
    Unproven,
}

/// The containment of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// What is wanted and how far it is.
    pub phase: QuarantinePhase,
    /// When the phase was reached.
    pub since: Timestamp,
    /// Per lever.
    pub levers: Vec<LeverState>,
    /// Executions seen that started after confirmation.
    pub breaches: u32,
}

/// How far containment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantinePhase {
    /// Policy or blast radius forbid it; the agent runs free and the case says so.
    NotWanted,
    /// Asked for, no receipt yet.
    Requested,
    /// Some levers have confirmed.
    Partial,
    /// Every lever has confirmed.
    Confirmed,
    /// An execution that started after confirmation was seen; levers are asked again.
    Breached,
    /// Lifted under watch to prove a healing.
    Probation,
    /// Lifting was asked for; not every lever has confirmed.
    Releasing,
    /// Lifted for good.
    Released,
}

/// One lever's part in the containment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeverState {
    /// Name of the lever (`lifecycle`, `gateway`, `kubernetes`).
    pub lever: String,
    /// What it was last asked for.
    pub wanted: Containment,
    /// Its answer.
    pub status: LeverStatus,
    /// How often it was asked since `wanted` last changed; part of the idempotency key of the next ask.
    pub attempts: u32,
    /// Not asked again before this time.
    pub retry_at: Timestamp,
    /// Its receipt, or its last error.
    pub detail: String,
}

/// What a lever is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Containment {
    /// Keep the agent from executing.
    Contained,
    /// Let it execute under watch.
    Probation,
    /// Let it execute.
    Free,
}

/// A lever's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeverStatus {
    /// Asked, or to be asked.
    Requested,
    /// Gave its receipt.
    Confirmed,
    /// Said no, or could not be reached, so far.
    Failed,
    /// Cannot do this for this agent; the overall phase does not wait for it.
    Unsupported,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Machine word (`opened`, `approved`, `healing_started`, `lever_confirmed`, `breached`, ...).
    pub kind: String,
    /// Who caused it: a person's subject, or a role's name.
    pub actor: String,
    /// One sentence for people.
    pub text: String,
    /// How many times it happened in a row.
    pub count: u32,
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
