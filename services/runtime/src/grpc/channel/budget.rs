//! How many calls may be repeated: a share of the calls, so that a role in trouble does not get three times the
//! load just then.

use std::sync::atomic::{AtomicU64, Ordering};

/// What one repetition costs.
const PRICE: u64 = 100;
/// What may be saved: this many repetitions at once.
const SAVED_MAX: u64 = 10 * PRICE;

/// A token bucket that calls fill and repetitions empty. Full at the start, so that the first calls of a process may
/// be repeated.
#[derive(Debug)]
pub(super) struct Budget {
    saved: AtomicU64,
    percent: u64,
}

impl Budget {
    /// A budget of so many repetitions per hundred calls.
    pub(super) fn new(percent: u32) -> Self {
        Budget {
            saved: AtomicU64::new(if percent == 0 { 0 } else { SAVED_MAX }),
            percent: percent.into(),
        }
    }

    /// A call was made.
    pub(super) fn deposit(&self) {
        let add = |saved: u64| Some((saved + self.percent).min(SAVED_MAX));
        let _ = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Whether a call may be repeated now; if so, it is paid for.
    pub(super) fn withdraw(&self) -> bool {
        let take = |saved: u64| saved.checked_sub(PRICE);
        self.saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a thousand calls, all of which want to be repeated twice.
    /// Guarantees: a fifth of them is, and the few that were saved.
    #[test]
    fn repetitions_are_a_share_of_the_calls() {
        let budget = Budget::new(20);
        let repeated = (0..1_000)
            .map(|_| {
                budget.deposit();
                u32::from(budget.withdraw()) + u32::from(budget.withdraw())
            })
            .sum::<u32>();
        assert!((200..=211).contains(&repeated), "{repeated}");
    }

    /// Guarantees: without a share nothing is repeated.
    #[test]
    fn none_means_none() {
        let budget = Budget::new(0);
        budget.deposit();
        assert!(!budget.withdraw());
    }
}
