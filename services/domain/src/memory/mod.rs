//! Immune memory: the outcomes of past healings per agent and diagnosis.

use crate::diagnosis::Diagnosis;
use crate::healing::{Action, Healing, Outcome};
use crate::{AgentKey, Timestamp};
use serde::{Deserialize, Serialize};

/// What is remembered of one action for one agent and diagnosis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// For whom.
    pub key: AgentKey,
    /// Against what.
    pub diagnosis: Diagnosis,
    /// What was tried.
    pub action: Action,
    /// How often it was proven to help.
    pub successes: u32,
    /// How often it failed.
    pub failures: u32,
    /// When it was last tried.
    pub last_at: Timestamp,
    /// A person's word that overrides the counts.
    pub pin: Option<Pin>,
}

/// A person's word about an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// Try it, and first, whatever the counts say.
    Prefer,
    /// Never try it.
    Avoid,
}

/// What is remembered after a healing: the memory with its counts moved on, or `None` when the outcome teaches
/// nothing. An action that the lever cannot do says nothing about the agent, and neither does one that was
/// abandoned.
pub fn fold(before: Option<Memory>, healing: &Healing) -> Option<Memory> {
    let (succeeded, at) = match &healing.outcome {
        Outcome::Succeeded { at, .. } => (true, *at),
        Outcome::Failed { at, .. } => (false, *at),
        Outcome::Running
        | Outcome::Verifying { .. }
        | Outcome::Unsupported { .. }
        | Outcome::Abandoned { .. } => return None,
    };
    let mut memory = before.unwrap_or_else(|| Memory {
        key: healing.key.clone(),
        diagnosis: healing.diagnosis,
        action: healing.action,
        successes: 0,
        failures: 0,
        last_at: at,
        pin: None,
    });
    if succeeded {
        memory.successes = memory.successes.saturating_add(1);
    } else {
        memory.failures = memory.failures.saturating_add(1);
    }
    memory.last_at = memory.last_at.max(at);
    Some(memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::healing::Trigger;

    fn healing(outcome: Outcome) -> Healing {
        Healing {
            id: "h".into(),
            case: "c".into(),
            key: AgentKey::new("default", "a"),
            diagnosis: Diagnosis::InfiniteLoop,
            action: Action::ResetMemory,
            trigger: Trigger::Auto,
            started_at: Timestamp::EPOCH,
            outcome,
        }
    }

    /// Scenario: attempts end in every possible way.
    /// Guarantees: success and failure are counted, everything else teaches nothing, a pin stays.
    #[test]
    fn only_verdicts_teach() {
        let (at, detail) = (Timestamp::from_micros(7), String::new());
        let teach = |memory, outcome| fold(memory, &healing(outcome));
        let first = teach(
            None,
            Outcome::Succeeded {
                at,
                detail: detail.clone(),
            },
        )
        .expect("teaches");
        assert_eq!((first.successes, first.failures, first.last_at), (1, 0, at));
        let pinned = Memory {
            pin: Some(Pin::Prefer),
            ..first
        };
        let second = teach(
            Some(pinned.clone()),
            Outcome::Failed {
                at,
                acted: true,
                detail: detail.clone(),
            },
        );
        let second = second.expect("teaches");
        assert_eq!(
            (second.successes, second.failures, second.pin),
            (1, 1, Some(Pin::Prefer))
        );
        for silent in [
            Outcome::Running,
            Outcome::Verifying {
                acted_at: at,
                detail: detail.clone(),
            },
            Outcome::Unsupported {
                at,
                detail: detail.clone(),
            },
            Outcome::Abandoned { at, detail },
        ] {
            assert_eq!(teach(Some(pinned.clone()), silent.clone()), None, "{silent:?}");
        }
    }
}
