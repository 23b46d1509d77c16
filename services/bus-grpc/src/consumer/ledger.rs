//! Which deliveries the role has and has not acknowledged.

use super::origin::Origin;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Deliveries in the order in which the role got them, over all publishers. Bounded by what each publisher may have
/// unsettled.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    deliveries: VecDeque<Handed>,
}

#[derive(Debug)]
struct Handed {
    number: u64,
    origin: Arc<Origin>,
    sequence: u64,
}

impl Ledger {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a delivery; the number acknowledges it.
    pub(super) fn hand_out(&self, origin: Arc<Origin>, sequence: u64) -> u64 {
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        open.deliveries.push_back(Handed {
            number,
            origin,
            sequence,
        });
        number
    }

    /// Acknowledges a delivery and all before it, of every publisher: they are one partition. In runs of one
    /// publisher, so that an acknowledgement of thousands does not wake its stream thousands of times.
    pub(super) fn settle(&self, number: u64) {
        let mut open = self.open();
        let done = open.deliveries.partition_point(|handed| handed.number <= number);
        let mut run: Option<(Handed, usize)> = None;
        for handed in open.deliveries.drain(..done) {
            run = match run {
                Some((last, count)) if Arc::ptr_eq(&last.origin, &handed.origin) => Some((handed, count + 1)),
                Some((last, count)) => {
                    last.origin.settle(last.sequence, count);
                    Some((handed, 1))
                }
                None => Some((handed, 1)),
            };
        }
        if let Some((last, count)) = run {
            last.origin.settle(last.sequence, count);
        }
    }
}
