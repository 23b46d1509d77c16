//! What can be done to heal an agent, and why it may be done.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a lever can do to heal an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Empty the agent's working memory or context.
    ResetMemory,
    /// Return to the previous prompt.
    RollbackPrompt,
    /// Fewer steps, fewer tools, lower temperature: what the platform calls autonomy.
    ReduceAutonomy,
    /// Replace the agent with a fresh copy.
    CloneAgent,
    /// Take away the tools that misbehave.
    RevokeTools,
    /// Return the agent to its first state.
    ResetAgent,
}

impl Action {
    /// All actions.
    pub const ALL: [Action; 6] = [
        Action::ResetMemory,
        Action::RollbackPrompt,
        Action::ReduceAutonomy,
        Action::CloneAgent,
        Action::RevokeTools,
        Action::ResetAgent,
    ];

    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::ResetMemory => "reset_memory",
            Action::RollbackPrompt => "rollback_prompt",
            Action::ReduceAutonomy => "reduce_autonomy",
            Action::CloneAgent => "clone_agent",
            Action::RevokeTools => "revoke_tools",
            Action::ResetAgent => "reset_agent",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a healing action")]
pub struct NotAnAction(pub String);

impl FromStr for Action {
    type Err = NotAnAction;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Action::ALL
            .into_iter()
            .find(|a| a.as_str() == text)
            .ok_or_else(|| NotAnAction(text.to_owned()))
    }
}

/// Why a healing may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Severity below the threshold.
    Auto,
    /// A person approved.
    AfterApproval,
    /// A person ordered heal-now, after a rejection or before a decision.
    ExplicitAfterReject,
}

impl Trigger {
    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Trigger::Auto => "auto",
            Trigger::AfterApproval => "after_approval",
            Trigger::ExplicitAfterReject => "explicit_after_reject",
        }
    }
}
