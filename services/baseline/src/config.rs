//! Options of the baseline role.

use serde::{Deserialize, Serialize};

/// How the baseline learns and stores. How many samples make a baseline ready is policy (`baseline_samples_min`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time between two writes of changed profiles, milliseconds, default 250. A profile judges once it is stored.
    pub flush_interval_ms: u64,
    /// Time without learning after which a profile is called stale, seconds, default 604,800 (a week). It still
    /// judges.
    pub stale_after_seconds: u64,
    /// Executions that wait for their verdict or to be learned, and as many that are remembered so that a correction
    /// can replace them; default 100,000. Beyond it the bus waits; where it delivers nothing twice, the oldest without
    /// a verdict teach nothing.
    pub waiting_max: usize,
    /// How long an execution waits for its verdict when the sentinel is silent, or is remembered, seconds, default
    /// 600. When the sentinel has judged later ones, it waits for 30 seconds.
    pub waiting_seconds_max: u64,
    /// How long an execution of an agent with a baseline waits before it teaches, seconds, default 10: the window of
    /// the rule. If the agent turns out sick in between it teaches nothing. 0 teaches at once.
    pub learn_late_seconds: u64,
    /// Agents that have a profile, default 1,000,000. Beyond it new agents learn nothing, and a metric says so.
    pub agents_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            flush_interval_ms: 250,
            stale_after_seconds: 7 * 24 * 3_600,
            waiting_max: 100_000,
            waiting_seconds_max: 600,
            learn_late_seconds: 10,
            agents_max: 1_000_000,
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
        within("flush_interval_ms", self.flush_interval_ms, 10, 60_000);
        within(
            "stale_after_seconds",
            self.stale_after_seconds,
            60,
            10 * 365 * 24 * 3_600,
        );
        within("waiting_max", self.waiting_max as u64, 1_000, 10_000_000);
        within("waiting_seconds_max", self.waiting_seconds_max, 1, 24 * 3_600);
        within("learn_late_seconds", self.learn_late_seconds, 0, 3_600);
        within("agents_max", self.agents_max as u64, 1, 100_000_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the defaults are valid, and every mistake is named with its path and value.
    #[test]
    fn mistakes_are_named() {
        let mut mistakes = Vec::new();
        Config::default().check("baseline", &mut mistakes);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        Config {
            flush_interval_ms: 0,
            agents_max: 0,
            ..Config::default()
        }
        .check("baseline", &mut mistakes);
        assert_eq!(mistakes.len(), 2);
        assert_eq!(
            mistakes[0],
            "baseline.flush_interval_ms = 0: must be between 10 and 60000"
        );
    }
}
