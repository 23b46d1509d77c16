//! Steps of the ladder that ended.

use crate::healing::Action;
use crate::{HealingId, Timestamp};
use serde::{Deserialize, Serialize};

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

impl AttemptOutcome {
    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            AttemptOutcome::Succeeded => "succeeded",
            AttemptOutcome::Failed => "failed",
            AttemptOutcome::Unsupported => "unsupported",
            AttemptOutcome::Unproven => "unproven",
        }
    }
}
