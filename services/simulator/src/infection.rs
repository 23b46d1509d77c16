//! What can befall an agent.

use immune_domain::healing::Action;
use std::fmt;

/// An infection, by the names that users of the original know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Infection {
    /// A tool hangs before it answers.
    LatencySpike,
    /// The memory is full of filler that goes into every prompt.
    TokenExplosion,
    /// The memory holds a plan that the agent repeats: the same tool again and again.
    ToolLoop,
    /// The agent took more autonomy than it was given; its bursts of requests are throttled and sent again.
    HighRetryRate,
    /// A new prompt version makes the agent verbose.
    PromptDrift,
    /// Entries of the memory are damaged; what is built from them is refused and sent again.
    MemoryCorruption,
    /// The process itself has gone wrong: everything is off.
    FullMeltdown,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    /// Severity below 7 when it is detected: heals without a person.
    Mild,
    /// Severity 7 or more when it is detected, as far as the infection can be: a high retry rate alone never is.
    Severe,
}

impl Infection {
    /// All infections.
    pub const ALL: [Infection; 7] = [
        Infection::LatencySpike,
        Infection::TokenExplosion,
        Infection::ToolLoop,
        Infection::HighRetryRate,
        Infection::PromptDrift,
        Infection::MemoryCorruption,
        Infection::FullMeltdown,
    ];

    /// The actions that cure it; no other does.
    pub const fn cures(self) -> &'static [Action] {
        match self {
            Infection::LatencySpike => &[Action::ReduceAutonomy, Action::RevokeTools],
            Infection::TokenExplosion | Infection::MemoryCorruption => {
                &[Action::ResetMemory, Action::CloneAgent, Action::ResetAgent]
            }
            Infection::ToolLoop => &[
                Action::ResetMemory,
                Action::ReduceAutonomy,
                Action::CloneAgent,
                Action::ResetAgent,
            ],
            Infection::HighRetryRate => &[Action::ReduceAutonomy, Action::ResetAgent],
            Infection::PromptDrift => &[Action::RollbackPrompt],
            Infection::FullMeltdown => &[Action::CloneAgent, Action::ResetAgent],
        }
    }

    /// Name, as the original writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Infection::LatencySpike => "latency_spike",
            Infection::TokenExplosion => "token_explosion",
            Infection::ToolLoop => "tool_loop",
            Infection::HighRetryRate => "high_retry_rate",
            Infection::PromptDrift => "prompt_drift",
            Infection::MemoryCorruption => "memory_corruption",
            Infection::FullMeltdown => "full_meltdown",
        }
    }
}

impl Strength {
    /// Name for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Strength::Mild => "mild",
            Strength::Severe => "severe",
        }
    }
}

impl fmt::Display for Infection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
