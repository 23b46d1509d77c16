//! Options of the fleet check.

use immune_domain::fleet::Settings;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When many agents that depart at once are one incident of what they share, and not so many sick agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether there is a fleet check, default true. Without it every agent is reported for itself.
    pub enabled: bool,
    /// Share of the active agents of a run, a model or a tool from which on it is an incident, default 0.30.
    pub share: f64,
    /// Agents below which it never is, default 5, at least 3. Each replica of the sentinel counts its own agents.
    pub agents_min: u32,
    /// How long the report of an agent waits for the check, milliseconds, default 1,500, where at least two others of
    /// its run began to depart in the same way moments before. An agent alone never waits.
    pub settle_ms: u64,
    /// Cases of agents that an incident explains are released when they were opened so long before it, seconds,
    /// default 30, and no person has decided on them.
    pub look_back_seconds: u64,
    /// An incident closes when its share was below half of `share` for so long, seconds, default 30.
    pub close_after_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            enabled: true,
            share: 0.30,
            agents_min: 5,
            settle_ms: 1_500,
            look_back_seconds: 30,
            close_after_seconds: 30,
        }
    }
}

impl Config {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        if !(0.01..=1.0).contains(&self.share) {
            let value = self.share;
            mistakes.push(format!("{path}.share = {value}: must be between 0.01 and 1"));
        }
        let mut within = |name: &str, value: u64, low: u64, high: u64| {
            if !(low..=high).contains(&value) {
                mistakes.push(format!(
                    "{path}.{name} = {value}: must be between {low} and {high}"
                ));
            }
        };
        within("agents_min", u64::from(self.agents_min), 3, 1_000_000);
        within("settle_ms", self.settle_ms, 0, 60_000);
        within("look_back_seconds", self.look_back_seconds, 0, 3_600);
        within("close_after_seconds", self.close_after_seconds, 1, 86_400);
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            share: self.share,
            agents_min: self.agents_min,
            close_after: Duration::from_secs(self.close_after_seconds),
        }
    }

    pub(super) fn settle(&self) -> Duration {
        Duration::from_millis(self.settle_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the defaults are valid, and every mistake is named with its path and value.
    #[test]
    fn mistakes_are_named() {
        let mut mistakes = Vec::new();
        Config::default().check("sentinel.fleet", &mut mistakes);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let config = Config {
            share: f64::NAN,
            agents_min: 2,
            ..Config::default()
        };
        config.check("sentinel.fleet", &mut mistakes);
        let wanted = [
            "sentinel.fleet.share = NaN: must be between 0.01 and 1",
            "sentinel.fleet.agents_min = 2: must be between 3 and 1000000",
        ];
        assert_eq!(mistakes, wanted);
    }
}
