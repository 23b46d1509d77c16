//! Options of the quarantine role. What holds for an agent (thresholds, levers, blast radius) is policy.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest name of a replica.
const REPLICA_BYTES_MAX: usize = 200;

/// How levers are driven and admission is answered.
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
    /// How long the levers of a case stay with a replica that has died before another drives them, seconds, default
    /// 15. A living replica holds on for as long as an ask takes.
    pub lever_lease_seconds: u64,
    /// Time between two looks at whether what levers confirmed is still there, seconds, default 30; 0 never looks.
    pub patrol_seconds: u64,
    /// Name under which this replica drives levers, different from that of every other one that runs at the same
    /// time. Empty, the default: another one at every start. A name that a start inherits from the process before it
    /// (one process over its own file, a pod's name) lets it go on at once with what that one was driving.
    pub replica: String,
    /// How long the open cases in memory answer admission checks after the store was last heard of, milliseconds,
    /// default 2,000. After that each check asks the store itself.
    pub feed_stale_ms: u64,
    /// What an admission check answers when the store cannot be asked either, default `last_known`.
    pub admission_while_away: WhileAway,
}

/// What an admission check answers while nobody can say how the agent's case stands. Either way the answer's reason
/// says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhileAway {
    /// As it was when the store was last heard of: agents known to be quarantined stay out, all others may act. A
    /// store that is away must not stop a fleet of healthy agents.
    #[default]
    LastKnown,
    /// No agent may act.
    Deny,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            reconcile_interval_ms: 500,
            asks_max: 16,
            ask_seconds_max: 60,
            tick_interval_ms: 1_000,
            lever_lease_seconds: 15,
            patrol_seconds: 30,
            replica: String::new(),
            feed_stale_ms: 2_000,
            admission_while_away: WhileAway::LastKnown,
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
        within("lever_lease_seconds", self.lever_lease_seconds, 1, 600);
        within("patrol_seconds", self.patrol_seconds, 0, 86_400);
        within("feed_stale_ms", self.feed_stale_ms, 100, 60_000);
        let looks_per_lease = 3;
        if self.lever_lease_seconds * 1_000 < looks_per_lease * self.reconcile_interval_ms {
            mistakes.push(format!(
                "{path}.lever_lease_seconds = {}: must be at least {looks_per_lease} times reconcile_interval_ms ({})",
                self.lever_lease_seconds, self.reconcile_interval_ms
            ));
        }
        if self.replica.len() > REPLICA_BYTES_MAX {
            mistakes.push(format!(
                "{path}.replica has {} bytes: at most {REPLICA_BYTES_MAX} are allowed",
                self.replica.len()
            ));
        }
    }

    pub(crate) fn reconcile_interval(&self) -> Duration {
        Duration::from_millis(self.reconcile_interval_ms)
    }

    pub(crate) fn tick_interval(&self) -> Duration {
        Duration::from_millis(self.tick_interval_ms)
    }

    pub(crate) fn patrol_interval(&self) -> Option<Duration> {
        (self.patrol_seconds > 0).then(|| Duration::from_secs(self.patrol_seconds))
    }

    pub(crate) fn lever_lease(&self) -> Duration {
        Duration::from_secs(self.lever_lease_seconds)
    }

    pub(crate) fn feed_stale(&self) -> Duration {
        Duration::from_millis(self.feed_stale_ms)
    }

    pub(crate) fn ask_max(&self) -> Duration {
        Duration::from_secs(self.ask_seconds_max)
    }
}
