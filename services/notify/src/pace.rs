//! How long to wait, and how often to speak.

use immune_domain::Timestamp;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Doubling waits, spread between half and whole so that what failed together does not come again together. The
/// spread comes from the key: no source of chance is needed.
pub(crate) fn backoff(first: Duration, max: Duration, failures: u32, key: &str) -> Duration {
    let full = first
        .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
        .min(max);
    let mut hasher = DefaultHasher::new();
    (key, failures).hash(&mut hasher);
    full / 2 + (full / 2).mul_f64(hasher.finish() as f64 / u64::MAX as f64)
}

/// So many messages a minute; what a quiet minute saves may go out at once.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_minute: u32,
    tokens: f64,
    at: Option<Timestamp>,
}

impl Bucket {
    pub fn new(per_minute: u32) -> Self {
        Bucket {
            per_minute,
            tokens: f64::from(per_minute),
            at: None,
        }
    }

    /// Messages that may go out now.
    pub fn available(&mut self, now: Timestamp) -> usize {
        let passed = self.at.map_or(Duration::ZERO, |at| now.since(at));
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
        let gained = passed.as_secs_f64() / 60.0 * f64::from(self.per_minute);
        self.tokens = (self.tokens + gained).min(f64::from(self.per_minute));
        // A rounding error must not hold a message back for another round.
        (self.tokens + 1e-9) as usize
    }

    pub fn take(&mut self, messages: usize) {
        self.tokens = (self.tokens - messages as f64).max(0.0);
    }

    /// Time until one more may go out.
    pub fn wait(&self) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0);
        Duration::from_secs_f64(missing * 60.0 / f64::from(self.per_minute)) + Duration::from_millis(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Guarantees: waits lie between half and whole of the doubled one, never above the largest; keys differ.
    #[test]
    fn waits_grow_within_bounds() {
        for (failures, full) in [(1, SECOND), (2, 2 * SECOND), (4, 8 * SECOND), (99, 8 * SECOND)] {
            let wait = backoff(SECOND, 8 * SECOND, failures, "a");
            assert!(wait >= full / 2 && wait <= full, "{failures}: {wait:?}");
        }
        assert_ne!(
            backoff(SECOND, 8 * SECOND, 1, "a"),
            backoff(SECOND, 8 * SECOND, 1, "b")
        );
    }

    /// Scenario: six a minute, a burst, then time passes, then the clock steps back.
    /// Guarantees: never more than a minute's worth at once, then one each ten seconds.
    #[test]
    fn a_bucket_fills_slowly() {
        let at = |seconds: u64| Timestamp::EPOCH.plus(Duration::from_secs(seconds));
        let mut bucket = Bucket::new(6);
        assert_eq!(bucket.available(at(100)), 6);
        bucket.take(6);
        assert_eq!(bucket.available(at(100)), 0);
        assert!(bucket.wait() >= 10 * SECOND && bucket.wait() < 11 * SECOND);
        assert_eq!(bucket.available(at(110)), 1);
        assert_eq!(bucket.available(at(50)), 1);
        assert_eq!(bucket.available(at(110)), 1);
        assert_eq!(bucket.available(at(9_999)), 6);
    }
}
