//! How long to wait before the next request.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Doubling waits, spread between half and whole so that agents that fail together do not ask again together. The
/// spread comes from the idempotency key: no source of chance is needed, and a failing case repeats itself exactly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff<'a> {
    pub(crate) first: Duration,
    pub(crate) max: Duration,
    pub(crate) key: &'a str,
}

impl Backoff<'_> {
    /// The wait before repetition `n`, from 0. What the platform asked for comes first, up to the largest wait.
    pub(crate) fn wait(&self, n: u32, asked_for: Option<Duration>) -> Duration {
        if let Some(asked_for) = asked_for {
            return asked_for.min(self.max).max(self.first / 2);
        }
        let full = self.first.saturating_mul(2u32.saturating_pow(n)).min(self.max);
        let mut hasher = DefaultHasher::new();
        (self.key, n).hash(&mut hasher);
        full / 2 + (full / 2).mul_f64(hasher.finish() as f64 / u64::MAX as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Guarantees: waits lie between half and whole of the doubled one, never above the largest; keys differ.
    #[test]
    fn waits_grow_within_bounds() {
        let backoff = Backoff {
            first: SECOND,
            max: 8 * SECOND,
            key: "a",
        };
        for (n, full) in [(0, SECOND), (1, 2 * SECOND), (3, 8 * SECOND), (40, 8 * SECOND)] {
            let wait = backoff.wait(n, None);
            assert!(wait >= full / 2 && wait <= full, "{n}: {wait:?}");
        }
        assert_ne!(
            backoff.wait(0, None),
            Backoff { key: "b", ..backoff }.wait(0, None)
        );
    }

    /// Guarantees: the platform's own wish is honoured within bounds.
    #[test]
    fn a_wish_is_bounded() {
        let backoff = Backoff {
            first: SECOND,
            max: 8 * SECOND,
            key: "a",
        };
        assert_eq!(backoff.wait(0, Some(3 * SECOND)), 3 * SECOND);
        assert_eq!(backoff.wait(0, Some(3_600 * SECOND)), 8 * SECOND);
        assert_eq!(backoff.wait(0, Some(Duration::ZERO)), SECOND / 2);
    }
}
