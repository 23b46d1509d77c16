//! Immune memory: the outcomes of past healings per agent and diagnosis.

use crate::diagnosis::Diagnosis;
use crate::healing::{Action, Outcome};
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

/// What an attempt teaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lesson {
    /// The action helps this agent against this diagnosis.
    Helped,
    /// It does not.
    DidNotHelp,
}

/// What an outcome teaches; `None` where it says nothing about the agent: an action that the lever cannot do, or
/// one that was abandoned, is not held against it.
pub fn lesson(outcome: &Outcome) -> Option<Lesson> {
    match outcome {
        Outcome::Succeeded { .. } => Some(Lesson::Helped),
        Outcome::Failed { .. } => Some(Lesson::DidNotHelp),
        Outcome::Running
        | Outcome::Verifying { .. }
        | Outcome::Unsupported { .. }
        | Outcome::Abandoned { .. } => None,
    }
}

impl Memory {
    /// Counts a lesson.
    pub fn learn(&mut self, lesson: Lesson, at: Timestamp) {
        match lesson {
            Lesson::Helped => self.successes = self.successes.saturating_add(1),
            Lesson::DidNotHelp => self.failures = self.failures.saturating_add(1),
        }
        self.last_at = self.last_at.max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: attempts end in every possible way.
    /// Guarantees: success and failure are counted, everything else teaches nothing, a pin stays.
    #[test]
    fn only_verdicts_teach() {
        let (at, detail) = (Timestamp::from_micros(7), String::new);
        let mut memory = Memory {
            key: AgentKey::new("default", "a"),
            diagnosis: Diagnosis::InfiniteLoop,
            action: Action::ResetMemory,
            successes: 0,
            failures: 0,
            last_at: Timestamp::EPOCH,
            pin: Some(Pin::Prefer),
        };
        for outcome in [
            Outcome::Running,
            Outcome::Verifying {
                acted_at: at,
                detail: detail(),
            },
            Outcome::Succeeded { at, detail: detail() },
            Outcome::Failed {
                at,
                acted: true,
                detail: detail(),
            },
            Outcome::Unsupported { at, detail: detail() },
            Outcome::Abandoned { at, detail: detail() },
        ] {
            if let Some(lesson) = lesson(&outcome) {
                memory.learn(lesson, at);
            }
        }
        assert_eq!((memory.successes, memory.failures, memory.last_at), (1, 1, at));
        assert_eq!(memory.pin, Some(Pin::Prefer));
    }
}
