//! The types of agents and what each does when it is well.

use std::fmt;

/// A type of agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentType {
    /// Reads and sums up.
    Research,
    /// Queries and cleans.
    Data,
    /// Computes and plots.
    Analytics,
    /// Hands work to others.
    Coordinator,
}

/// What one execution of a healthy agent is, on average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Traits {
    /// Milliseconds at pace 1.
    pub(crate) latency_ms: f64,
    /// Milliseconds until the next execution, at pace 1.
    pub(crate) pause_ms: f64,
    pub(crate) input_tokens: f64,
    pub(crate) output_tokens: f64,
    pub(crate) tool_calls: u32,
    pub(crate) model: &'static str,
    /// The tools that it cannot do without.
    pub(crate) core_tools: &'static [&'static str],
    /// The tools that go first when autonomy is reduced, and the ones that break.
    pub(crate) optional_tools: &'static [&'static str],
}

impl AgentType {
    /// All types.
    pub const ALL: [AgentType; 4] = [
        AgentType::Research,
        AgentType::Data,
        AgentType::Analytics,
        AgentType::Coordinator,
    ];

    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            AgentType::Research => "research",
            AgentType::Data => "data",
            AgentType::Analytics => "analytics",
            AgentType::Coordinator => "coordinator",
        }
    }

    pub(crate) const fn traits(self) -> Traits {
        match self {
            AgentType::Research => Traits {
                latency_ms: 330.0,
                pause_ms: 85.0,
                input_tokens: 1_800.0,
                output_tokens: 420.0,
                tool_calls: 4,
                model: "sim-large-1",
                core_tools: &["fetch_page", "take_note"],
                optional_tools: &["web_search", "translate"],
            },
            AgentType::Data => Traits {
                latency_ms: 300.0,
                pause_ms: 115.0,
                input_tokens: 1_100.0,
                output_tokens: 260.0,
                tool_calls: 5,
                model: "sim-small-2",
                core_tools: &["query_table", "clean_rows"],
                optional_tools: &["profile_column", "export_file"],
            },
            AgentType::Analytics => Traits {
                latency_ms: 320.0,
                pause_ms: 95.0,
                input_tokens: 1_400.0,
                output_tokens: 380.0,
                tool_calls: 4,
                model: "sim-large-1",
                core_tools: &["aggregate", "fit_model"],
                optional_tools: &["plot", "forecast"],
            },
            AgentType::Coordinator => Traits {
                latency_ms: 350.0,
                pause_ms: 65.0,
                input_tokens: 2_600.0,
                output_tokens: 500.0,
                tool_calls: 4,
                model: "sim-large-1",
                core_tools: &["delegate", "review"],
                optional_tools: &["schedule", "notify"],
            },
        }
    }
}

impl fmt::Display for AgentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for AgentType {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        AgentType::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| {
                let known: Vec<_> = AgentType::ALL.iter().map(|kind| kind.as_str()).collect();
                format!("{word:?} is no type of agent; known are {}", known.join(", "))
            })
    }
}
