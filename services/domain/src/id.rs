//! Identities, each a type of its own so that no two can be swapped unnoticed.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text; the caller has checked it where it came in.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                $name(text.into())
            }

            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                $name(text.into())
            }
        }
    };
}

id!(
    /// The isolation key: a tenant, an environment, a test run.
    RunId
);
id!(
    /// An agent within its run.
    AgentId
);
id!(
    /// One execution of an agent: for telemetry `trace-span` in hex, stable across redelivery and revision.
    ExecutionId
);
id!(
    /// One report of the sentinel.
    InfectionId
);
id!(
    /// One infection's life from detection to release.
    CaseId
);
id!(
    /// One decision of a person.
    ApprovalId
);
id!(
    /// One attempt of one action for one case; also the idempotency key that the lever receives.
    HealingId
);

impl Default for RunId {
    /// The run of everything that names none.
    fn default() -> Self {
        RunId::new("default")
    }
}

/// The most bytes an id from outside may have; longer ones are refused at the door.
pub const ID_BYTES_MAX: usize = 512;

/// Whether a text may serve as a run or agent id: 1 to [`ID_BYTES_MAX`] bytes, no control characters, and not
/// `.` or `..`, which no URL path can carry.
pub fn is_well_formed(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= ID_BYTES_MAX
        && !text.chars().any(char::is_control)
        && text != "."
        && text != ".."
}

/// An agent's full identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AgentKey {
    /// The run that the agent belongs to.
    pub run: RunId,
    /// The agent within the run.
    pub agent: AgentId,
}

impl AgentKey {
    /// Joins the two parts.
    pub fn new(run: impl Into<RunId>, agent: impl Into<AgentId>) -> Self {
        AgentKey {
            run: run.into(),
            agent: agent.into(),
        }
    }
}

impl fmt::Display for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.run, self.agent)
    }
}
