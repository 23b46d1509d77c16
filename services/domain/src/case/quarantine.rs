//! The containment of the agent, which lives beside the workflow.

use crate::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// An execution that started after confirmation was seen, or a lever saw that what it had made is gone; levers are
    /// asked again.
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
    /// How often it was asked since `wanted` last changed; decides how long the next ask waits.
    pub attempts: u32,
    /// Not asked again before this time.
    pub retry_at: Timestamp,
    /// Its receipt, or its last error.
    pub detail: String,
    /// Grows whenever something new is wanted, and after every no; part of the idempotency key of the next ask,
    /// so that containing an agent again after a failed probation is not mistaken for a repetition.
    #[serde(default)]
    pub generation: u32,
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

impl QuarantinePhase {
    /// Whether some lever has confirmed that it holds the agent. What is only asked for contains nobody, and must not
    /// be shown as if it did.
    pub const fn is_in_force(self) -> bool {
        match self {
            QuarantinePhase::Partial | QuarantinePhase::Confirmed | QuarantinePhase::Breached => true,
            QuarantinePhase::NotWanted
            | QuarantinePhase::Requested
            | QuarantinePhase::Probation
            | QuarantinePhase::Releasing
            | QuarantinePhase::Released => false,
        }
    }

    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            QuarantinePhase::NotWanted => "not_wanted",
            QuarantinePhase::Requested => "requested",
            QuarantinePhase::Partial => "partial",
            QuarantinePhase::Confirmed => "confirmed",
            QuarantinePhase::Breached => "breached",
            QuarantinePhase::Probation => "probation",
            QuarantinePhase::Releasing => "releasing",
            QuarantinePhase::Released => "released",
        }
    }
}

impl Containment {
    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Containment::Contained => "contained",
            Containment::Probation => "probation",
            Containment::Free => "free",
        }
    }
}

impl LeverStatus {
    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            LeverStatus::Requested => "requested",
            LeverStatus::Confirmed => "confirmed",
            LeverStatus::Failed => "failed",
            LeverStatus::Unsupported => "unsupported",
        }
    }
}

impl LeverState {
    /// Whether the lever has still to be asked, or asked again.
    pub const fn is_pending(&self) -> bool {
        match self.status {
            LeverStatus::Requested | LeverStatus::Failed => true,
            LeverStatus::Confirmed | LeverStatus::Unsupported => false,
        }
    }
}
