//! What happens in the simulation, one event each.

use crate::infection::{Infection, Strength};
use std::fmt;

/// Something that happened to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimEvent {
    /// It fell ill.
    Infected {
        /// Who.
        agent: String,
        /// With what.
        infection: Infection,
        /// How badly.
        strength: Strength,
    },
    /// It was rid of an infection.
    Cured {
        /// Who.
        agent: String,
        /// Of what.
        infection: Infection,
        /// By which action.
        by: String,
    },
    /// It was kept from executing, and stopped.
    Contained {
        /// Who.
        agent: String,
    },
    /// It may execute under watch.
    Probation {
        /// Who.
        agent: String,
        /// How often at most; absent: without limit.
        executions: Option<u32>,
    },
    /// It may execute.
    Released {
        /// Who.
        agent: String,
    },
    /// An action other than containment was asked for.
    Acted {
        /// On whom.
        agent: String,
        /// The action.
        action: String,
        /// `done`, `failed` or `unsupported`.
        outcome: &'static str,
        /// The platform's words.
        detail: String,
    },
}

impl SimEvent {
    /// The agent that it happened to.
    pub fn agent(&self) -> &str {
        match self {
            SimEvent::Infected { agent, .. }
            | SimEvent::Cured { agent, .. }
            | SimEvent::Contained { agent }
            | SimEvent::Probation { agent, .. }
            | SimEvent::Released { agent }
            | SimEvent::Acted { agent, .. } => agent,
        }
    }
}

impl fmt::Display for SimEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SimEvent::Infected {
                agent,
                infection,
                strength,
            } => {
                write!(f, "{agent} fell ill: {strength} {infection}")
            }
            SimEvent::Cured { agent, infection, by } => write!(f, "{agent} is rid of {infection} after {by}"),
            SimEvent::Contained { agent } => write!(f, "{agent} is contained"),
            SimEvent::Probation {
                agent,
                executions: Some(n),
            } => {
                write!(f, "{agent} may execute up to {n} times under watch")
            }
            SimEvent::Probation {
                agent,
                executions: None,
            } => write!(f, "{agent} may execute under watch"),
            SimEvent::Released { agent } => write!(f, "{agent} is free"),
            SimEvent::Acted {
                agent,
                action,
                outcome,
                detail,
            } => {
                write!(f, "{agent} {action}: {outcome}, {detail}")
            }
        }
    }
}
