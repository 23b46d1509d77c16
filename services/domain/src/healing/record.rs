//! The healer's own record of an attempt.

use super::{Action, Trigger};
use crate::diagnosis::Diagnosis;
use crate::{AgentKey, CaseId, HealingId, Timestamp};
use serde::{Deserialize, Serialize};

/// One attempt of one action for one case: the healer's own record, and what immune memory is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Healing {
    /// Identity of the attempt, also the lever's idempotency key.
    pub id: HealingId,
    /// For which case.
    pub case: CaseId,
    /// For whom.
    pub key: AgentKey,
    /// The diagnosis that was treated.
    pub diagnosis: Diagnosis,
    /// What was done.
    pub action: Action,
    /// Why it might run.
    pub trigger: Trigger,
    /// When the lever was first asked.
    pub started_at: Timestamp,
    /// How it stands.
    pub outcome: Outcome,
}

/// How an attempt stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Outcome {
    /// The lever was asked and has not answered for good.
    Running,
    /// The lever said done; the agent is watched.
    Verifying {
        /// When the lever said done.
        acted_at: Timestamp,
        /// The lever's words.
        detail: String,
    },
    /// Recovery was proven.
    Succeeded {
        /// When the proof was complete.
        at: Timestamp,
        /// What proved it.
        detail: String,
    },
    /// The lever failed, or the agent was still sick afterwards.
    Failed {
        /// When.
        at: Timestamp,
        /// Whether the lever did its part and verification failed.
        acted: bool,
        /// Why.
        detail: String,
    },
    /// The lever cannot do this action; says nothing about the agent.
    Unsupported {
        /// When.
        at: Timestamp,
        /// The lever's words.
        detail: String,
    },
    /// Ended without a verdict (a person released the case, or the agent never ran again).
    Abandoned {
        /// When.
        at: Timestamp,
        /// Why.
        detail: String,
    },
}

impl Outcome {
    /// Whether nothing can follow.
    pub const fn is_final(&self) -> bool {
        match self {
            Outcome::Running | Outcome::Verifying { .. } => false,
            Outcome::Succeeded { .. }
            | Outcome::Failed { .. }
            | Outcome::Unsupported { .. }
            | Outcome::Abandoned { .. } => true,
        }
    }
}
