//! A token bucket: so many at once, then so many per second.

use super::config::Rate;
use immune_domain::Timestamp;
use std::time::Duration;

/// How much one caller may still do, and when that was reckoned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    pub fn full(rate: Rate, now: Timestamp) -> Self {
        Bucket {
            tokens: f64::from(rate.burst),
            at: now,
        }
    }

    /// Takes one, or says how long it is until there is one. A clock that is set back adds nothing.
    pub fn take(&mut self, rate: Rate, now: Timestamp) -> Result<(), Duration> {
        let gained = now.since(self.at).as_secs_f64() * f64::from(rate.per_second);
        self.tokens = (self.tokens + gained).min(f64::from(rate.burst));
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let missing = (1.0 - self.tokens) / f64::from(rate.per_second);
        Err(Duration::from_secs_f64(missing))
    }
}
