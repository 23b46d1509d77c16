//! How a process calls other roles: deadlines, repetitions, and when a replica is left alone.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How calls to other roles go. The defaults suit a cluster and one machine alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Deadline of a call with one answer whose caller sets none, and how long a stream waits for a connected
    /// replica, milliseconds, default 10,000.
    pub deadline_ms: u64,
    /// How long making a connection may take, milliseconds, default 3,000.
    pub connect_ms_max: u64,
    /// How often the names of the replicas are looked up, milliseconds, default 5,000; and at once when a replica is
    /// lost.
    pub resolve_ms: u64,
    /// After how much silence a replica is asked whether it is there, milliseconds, default 10,000.
    pub keep_alive_ms: u64,
    /// How long it may take to say so, milliseconds, default 5,000. Then the connection is given up.
    pub keep_alive_wait_ms: u64,
    /// How often a call is sent in all, when it may be repeated and the replica was away; default 3.
    pub attempts_max: u32,
    /// Repetitions per hundred calls, beyond a few at once; default 20, at most 100.
    pub retry_percent: u32,
    /// Failures in a row after which a replica gets no calls for a while, default 5.
    pub eject_after: u32,
    /// How long the first time, milliseconds, default 500; twice as long each further time.
    pub eject_ms: u64,
    /// How long at most, milliseconds, default 30,000.
    pub eject_ms_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            deadline_ms: 10_000,
            connect_ms_max: 3_000,
            resolve_ms: 5_000,
            keep_alive_ms: 10_000,
            keep_alive_wait_ms: 5_000,
            attempts_max: 3,
            retry_percent: 20,
            eject_after: 5,
            eject_ms: 500,
            eject_ms_max: 30_000,
        }
    }
}

impl Options {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        let mut within = |name: &str, value: u64, low: u64, high: u64| {
            if !(low..=high).contains(&value) {
                mistakes.push(format!(
                    "{path}.{name} = {value}: must be between {low} and {high}"
                ));
            }
        };
        within("deadline_ms", self.deadline_ms, 100, 600_000);
        within("connect_ms_max", self.connect_ms_max, 10, 60_000);
        within("resolve_ms", self.resolve_ms, 100, 3_600_000);
        within("keep_alive_ms", self.keep_alive_ms, 100, 3_600_000);
        within("keep_alive_wait_ms", self.keep_alive_wait_ms, 100, 600_000);
        within("attempts_max", self.attempts_max.into(), 1, 10);
        within("retry_percent", self.retry_percent.into(), 0, 100);
        within("eject_after", self.eject_after.into(), 1, 1_000);
        within("eject_ms", self.eject_ms, 1, 600_000);
        within("eject_ms_max", self.eject_ms_max, self.eject_ms, 3_600_000);
    }

    pub(super) fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    pub(super) fn connect_max(&self) -> Duration {
        Duration::from_millis(self.connect_ms_max)
    }

    pub(super) fn resolve_every(&self) -> Duration {
        Duration::from_millis(self.resolve_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the defaults are allowed, and each mistake names its field.
    #[test]
    fn mistakes_are_named() {
        let mut mistakes = Vec::new();
        Options::default().check("grpc.calls", &mut mistakes);
        assert_eq!(mistakes, Vec::<String>::new());
        let wrong = Options {
            deadline_ms: 0,
            eject_ms: 1_000,
            eject_ms_max: 10,
            ..Options::default()
        };
        wrong.check("grpc.calls", &mut mistakes);
        assert_eq!(
            mistakes,
            [
                "grpc.calls.deadline_ms = 0: must be between 100 and 600000",
                "grpc.calls.eject_ms_max = 10: must be between 1000 and 3600000"
            ]
        );
    }
}
