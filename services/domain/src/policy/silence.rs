//! From when on an agent that says nothing is silent, and from when on it is gone.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When the telemetry of an agent has stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Silence {
    /// An agent is not silent before this time without telemetry, seconds, default 60.
    pub after_seconds: u32,
    /// Nor before so many times its usual gap between two executions; default 10.
    pub factor: f64,
    /// After so much time of silence it is gone: shown as such, no longer alarmed; seconds, default 3,600.
    pub forget_after_seconds: u32,
}

impl Default for Silence {
    fn default() -> Self {
        Silence {
            after_seconds: 60,
            factor: 10.0,
            forget_after_seconds: 3_600,
        }
    }
}

impl Silence {
    /// How long an agent with this usual gap may say nothing.
    pub fn patience(&self, usual: Duration) -> Duration {
        let of_gap = usual.as_secs_f64() * self.factor;
        Duration::from_secs(u64::from(self.after_seconds))
            // A gap beyond what a duration can hold is longer than anybody waits.
            .max(Duration::try_from_secs_f64(of_gap).unwrap_or(Duration::MAX))
    }

    /// How long an agent with this usual gap says nothing before it is gone.
    pub fn farewell(&self, usual: Duration) -> Duration {
        let silent = Duration::from_secs(u64::from(self.forget_after_seconds));
        self.patience(usual).saturating_add(silent)
    }
}
