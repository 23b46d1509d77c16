//! What an operator may set about the mirror of cases.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The mirror of cases, `resources.cases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether cases are shown as `AgentCase` objects; default true.
    pub enabled: bool,
    /// How long a closed case stays visible, seconds; default 3600.
    pub keep_closed_seconds: u64,
    /// Requests to the API server for cases, per second, at most; default 10.
    pub requests_per_second: u32,
    /// How long one process leads without renewing, milliseconds; default 15000.
    pub lease_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            enabled: true,
            keep_closed_seconds: 3_600,
            requests_per_second: 10,
            lease_ms: 15_000,
        }
    }
}

impl Config {
    /// Adds what is wrong to `mistakes`; `path` is where these options are.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        let mut within = |name: &str, value: u64, low: u64, high: u64| {
            if !(low..=high).contains(&value) {
                mistakes.push(format!(
                    "{path}.{name} = {value}: must be between {low} and {high}"
                ));
            }
        };
        within("keep_closed_seconds", self.keep_closed_seconds, 0, 30 * 86_400);
        within("requests_per_second", self.requests_per_second.into(), 1, 1_000);
        within("lease_ms", self.lease_ms, 300, 300_000);
    }

    pub(crate) fn keep_closed(&self) -> Duration {
        Duration::from_secs(self.keep_closed_seconds)
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }
}

/// Where cases are shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// The plane's own namespace: cases whose agent's namespace is unknown or not allowed are shown there.
    pub own: String,
    /// Namespaces besides its own.
    pub namespaces: Vec<String>,
    /// Whether every namespace is allowed.
    pub all: bool,
}

impl Scope {
    /// Whether cases may be shown in a namespace.
    pub fn allows(&self, namespace: &str) -> bool {
        self.all || namespace == self.own || self.namespaces.iter().any(|allowed| allowed == namespace)
    }

    /// Namespaces to watch; `None` stands for all of them.
    pub(crate) fn watched(&self) -> Vec<Option<String>> {
        if self.all {
            return vec![None];
        }
        let mut watched = vec![self.own.clone()];
        for namespace in &self.namespaces {
            if !watched.contains(namespace) {
                watched.push(namespace.clone());
            }
        }
        watched.into_iter().map(Some).collect()
    }
}
