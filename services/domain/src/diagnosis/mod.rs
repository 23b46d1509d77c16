//! Diagnosis: from the pattern of anomalies to a name, with the sentence that says why.
//!
//! To add a rule: a function in [`rules`], a line in its table, and a test that shows the pattern it is for.

mod evident;
mod pattern;
mod ruled_out;
mod rules;

pub use pattern::{Clues, Pattern};
pub use ruled_out::{RuledOut, ruled_out};
pub use rules::diagnose;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The closed list of diagnoses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(
    missing_docs,
    reason = "the names are the field's words; their rules are in this module's table"
)]
pub enum Diagnosis {
    PromptDrift,
    PromptInjection,
    InfiniteLoop,
    ToolInstability,
    RetryStorm,
    MemoryCorruption,
    LatencyDegradation,
    TokenExplosion,
    CostOverrun,
    SilentDegradation,
    ExternalCause,
    Unknown,
}

impl Diagnosis {
    /// All diagnoses.
    pub const ALL: [Diagnosis; 12] = [
        Diagnosis::PromptDrift,
        Diagnosis::PromptInjection,
        Diagnosis::InfiniteLoop,
        Diagnosis::ToolInstability,
        Diagnosis::RetryStorm,
        Diagnosis::MemoryCorruption,
        Diagnosis::LatencyDegradation,
        Diagnosis::TokenExplosion,
        Diagnosis::CostOverrun,
        Diagnosis::SilentDegradation,
        Diagnosis::ExternalCause,
        Diagnosis::Unknown,
    ];

    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Diagnosis::PromptDrift => "prompt_drift",
            Diagnosis::PromptInjection => "prompt_injection",
            Diagnosis::InfiniteLoop => "infinite_loop",
            Diagnosis::ToolInstability => "tool_instability",
            Diagnosis::RetryStorm => "retry_storm",
            Diagnosis::MemoryCorruption => "memory_corruption",
            Diagnosis::LatencyDegradation => "latency_degradation",
            Diagnosis::TokenExplosion => "token_explosion",
            Diagnosis::CostOverrun => "cost_overrun",
            Diagnosis::SilentDegradation => "silent_degradation",
            Diagnosis::ExternalCause => "external_cause",
            Diagnosis::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no diagnosis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a diagnosis")]
pub struct NotADiagnosis(pub String);

impl FromStr for Diagnosis {
    type Err = NotADiagnosis;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Diagnosis::ALL
            .into_iter()
            .find(|d| d.as_str() == text)
            .ok_or_else(|| NotADiagnosis(text.to_owned()))
    }
}

/// One possible diagnosis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hypothesis {
    /// The name.
    pub diagnosis: Diagnosis,
    /// 0 to 1; hypotheses of one report are ranked by it.
    pub confidence: f64,
    /// The sentence that says why the rule fired, with the numbers in it.
    pub because: String,
}
