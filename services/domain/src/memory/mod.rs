//! Immune memory: the outcomes of past healings per agent and diagnosis.

use crate::diagnosis::Diagnosis;
use crate::healing::Action;
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
