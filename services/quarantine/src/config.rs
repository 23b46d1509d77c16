//! Options of the quarantine role. What holds for an agent (thresholds, levers, blast radius) is policy.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How levers are driven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time between two looks for levers that have to be asked, milliseconds, default 500. A change made here is
    /// looked at immediately.
    pub reconcile_interval_ms: u64,
    /// Asks of levers at the same time, default 16.
    pub asks_max: usize,
    /// Time after which an ask without answer counts as unknown and is repeated with the same key, seconds,
    /// default 60. Levers have deadlines of their own; this is the guard behind them.
    pub ask_seconds_max: u64,
    /// Time between two looks at what time alone changes, milliseconds, default 1,000.
    pub tick_interval_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            reconcile_interval_ms: 500,
            asks_max: 16,
            ask_seconds_max: 60,
            tick_interval_ms: 1_000,
        }
    }
}

impl Config {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        let mut within = |name: &str, value: u64, low: u64, high: u64| {
            if !(low..=high).contains(&value) {
                mistakes.push(format!(
                    "{path}.{name} = {value}: must be between {low} and {high}"
                ));
            }
        };
        within("reconcile_interval_ms", self.reconcile_interval_ms, 10, 60_000);
        within("asks_max", self.asks_max as u64, 1, 1_024);
        within("ask_seconds_max", self.ask_seconds_max, 1, 3_600);
        within("tick_interval_ms", self.tick_interval_ms, 10, 60_000);
    }

    pub(crate) fn reconcile_interval(&self) -> Duration {
        Duration::from_millis(self.reconcile_interval_ms)
    }

    pub(crate) fn tick_interval(&self) -> Duration {
        Duration::from_millis(self.tick_interval_ms)
    }

    pub(crate) fn ask_max(&self) -> Duration {
        Duration::from_secs(self.ask_seconds_max)
    }
}
