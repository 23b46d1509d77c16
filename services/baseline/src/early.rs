//! Verdicts that came before their record.

use immune_domain::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Verdicts kept until their record comes, by execution and revision. The first word on a record stands.
#[derive(Debug, Default)]
pub struct Early {
    kept: HashMap<(u64, u32), bool>,
    /// In the order in which they came, those that were taken included.
    order: VecDeque<(u64, u32, Timestamp)>,
}

impl Early {
    /// Keeps a verdict.
    pub fn put(&mut self, identity: u64, revision: u32, teaches: bool, now: Timestamp) {
        self.kept.insert((identity, revision), teaches);
        self.order.push_back((identity, revision, now));
    }

    /// Whether a verdict is kept.
    pub fn contains(&self, identity: u64, revision: u32) -> bool {
        self.kept.contains_key(&(identity, revision))
    }

    /// Takes a verdict out: whether the record may teach.
    pub fn take(&mut self, identity: u64, revision: u32) -> Option<bool> {
        self.kept.remove(&(identity, revision))
    }

    /// Forgets what is older than `age_max`.
    pub fn expire(&mut self, age_max: Duration, now: Timestamp) {
        while let Some((identity, revision, since)) = self.order.front().copied() {
            if now.since(since) <= age_max && self.contains(identity, revision) {
                break;
            }
            self.order.pop_front();
            self.take(identity, revision);
        }
        // One that nobody takes must not keep the places of all that were taken after it.
        if self.order.len() > 2 * self.kept.len() {
            let kept = &self.kept;
            self.order
                .retain(|(identity, revision, _)| kept.contains_key(&(*identity, *revision)));
        }
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: one verdict that nobody takes, and many that are taken.
    /// Guarantees: what was taken leaves nothing behind; what was not is forgotten when it is too old, not earlier.
    #[test]
    fn memory_is_bounded() {
        let (mut early, minute) = (Early::default(), Duration::from_secs(60));
        early.put(0, 0, true, Timestamp::EPOCH);
        for identity in 1..1_000 {
            early.put(identity, 0, false, Timestamp::EPOCH);
            assert_eq!(early.take(identity, 0), Some(false));
            assert_eq!(early.take(identity, 0), None);
        }
        early.expire(minute, Timestamp::EPOCH.plus(minute));
        assert!(early.contains(0, 0));
        assert_eq!((early.len(), early.order.len()), (1, 1));
        early.expire(minute, Timestamp::EPOCH.plus(minute * 2));
        assert!(early.is_empty());
    }
}
