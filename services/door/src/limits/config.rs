//! Options of the limits: `access.limits`.

use serde::{Deserialize, Serialize};

/// So many at once, then so many per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests per second in the long run.
    pub per_second: u32,
    /// Requests at once after a quiet time.
    pub burst: u32,
}

/// How often callers may ask, and when guessing is locked out. Telemetry and the role `ingest` are never slowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Reads of one identity, default 50 per second and 200 at once.
    pub reads: Rate,
    /// Writes of one identity, default 10 per second and 50 at once.
    pub writes: Rate,
    /// Requests without a key or a session from one address (IPv6: one /64), default 20 per second and 100 at once.
    pub strangers: Rate,
    /// Different wrong keys from one address within a minute that lock it out, default 10.
    pub guesses_max: u32,
    /// How long the first lock-out of an address lasts, seconds, default 30; each further one lasts twice as long. An
    /// hour without one begins anew.
    pub lockout_seconds: u64,
    /// How long a lock-out lasts at most, seconds, default 900.
    pub lockout_seconds_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        let rate = |per_second, burst| Rate { per_second, burst };
        Config {
            reads: rate(50, 200),
            writes: rate(10, 50),
            strangers: rate(20, 100),
            guesses_max: 10,
            lockout_seconds: 30,
            lockout_seconds_max: 900,
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
        for (name, rate) in [
            ("reads", self.reads),
            ("writes", self.writes),
            ("strangers", self.strangers),
        ] {
            within(
                &format!("{name}.per_second"),
                rate.per_second.into(),
                1,
                1_000_000,
            );
            within(&format!("{name}.burst"), rate.burst.into(), 1, 1_000_000);
        }
        within(
            "guesses_max",
            self.guesses_max.into(),
            1,
            super::lockout::GUESSES_KEPT as u64,
        );
        within("lockout_seconds", self.lockout_seconds, 1, 3_600);
        within(
            "lockout_seconds_max",
            self.lockout_seconds_max,
            self.lockout_seconds,
            86_400,
        );
    }
}
