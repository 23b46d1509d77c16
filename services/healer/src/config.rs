//! Options of the healer role. What is done for an agent (ladders, probation, attempts) is policy.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How cases are taken and levers asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Cases in hand at the same time, default 4.
    pub concurrency: usize,
    /// How long a case stays with a healer that has died before another takes it over, milliseconds, default 10,000.
    /// A living healer renews three times as often.
    pub lease_ms: u32,
    /// Time between two looks for cases, milliseconds, default 250.
    pub poll_interval_ms: u64,
    /// Time between two looks at an agent on probation, milliseconds, default 500.
    pub judge_interval_ms: u64,
    /// Time after which an ask of a lever without answer counts as unknown, seconds, default 120. Levers have
    /// deadlines of their own; this is the guard behind them.
    pub ask_seconds_max: u64,
    /// How often a lever is asked, with the same key, before a step without answer has failed; default 5.
    pub asks_max: u32,
    /// First wait before a lever that gave no answer is asked again, milliseconds, default 1,000; doubles.
    pub ask_again_ms: u64,
    /// Time between two looks for records that no case knows of any more, seconds, default 60.
    pub sweep_interval_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            concurrency: 4,
            lease_ms: 10_000,
            poll_interval_ms: 250,
            judge_interval_ms: 500,
            ask_seconds_max: 120,
            asks_max: 5,
            ask_again_ms: 1_000,
            sweep_interval_seconds: 60,
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
        within("concurrency", self.concurrency as u64, 1, 256);
        within("lease_ms", u64::from(self.lease_ms), 1_000, 300_000);
        within("poll_interval_ms", self.poll_interval_ms, 10, 60_000);
        within("judge_interval_ms", self.judge_interval_ms, 10, 60_000);
        within("ask_seconds_max", self.ask_seconds_max, 1, 3_600);
        within("asks_max", u64::from(self.asks_max), 1, 100);
        within("ask_again_ms", self.ask_again_ms, 1, 60_000);
        within("sweep_interval_seconds", self.sweep_interval_seconds, 1, 86_400);
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(u64::from(self.lease_ms))
    }
}
