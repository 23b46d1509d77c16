//! How long a session lasts.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a session lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time without a request after which a session ends, seconds, default 3600. Counted to about a minute.
    pub idle_seconds: u64,
    /// Time after the login when a session ends whatever happens, seconds, default 43200 (12 h).
    pub absolute_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            idle_seconds: 3_600,
            absolute_seconds: 43_200,
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
        // Use is noted once a minute; a shorter idle time would end sessions in use.
        within("idle_seconds", self.idle_seconds, 180, 86_400);
        within("absolute_seconds", self.absolute_seconds, 180, 7 * 86_400);
        if self.idle_seconds > self.absolute_seconds {
            mistakes.push(format!(
                "{path}.idle_seconds = {}: is longer than absolute_seconds = {}",
                self.idle_seconds, self.absolute_seconds
            ));
        }
    }

    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }

    pub(crate) fn absolute(&self) -> Duration {
        Duration::from_secs(self.absolute_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the defaults are right; every mistake is named.
    #[test]
    fn mistakes_are_named() {
        let mut mistakes = Vec::new();
        Config::default().check("access.sessions", &mut mistakes);
        assert_eq!(mistakes, Vec::<String>::new());
        let config = Config {
            idle_seconds: 90_000,
            absolute_seconds: 60,
        };
        config.check("access.sessions", &mut mistakes);
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    }
}
