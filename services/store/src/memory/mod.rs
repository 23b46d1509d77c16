//! The in-memory version of every contract, for tests and for runs that keep nothing.
//!
//! Cases, their events and the action log share one lock, because a change to a case is written together with what
//! it announces. Everything that grows with traffic has a stated limit ([`Limits`]); beyond it the oldest goes.

mod access;
mod action_log;
mod baselines;
mod cases;
mod client_records;
mod healings;
mod listing;
mod notifications;
mod vitals;
mod workflow;

pub use access::MemoryAccess;
pub use action_log::MemoryActionLog;
pub use baselines::MemoryBaselines;
pub use cases::MemoryCases;
pub use client_records::MemoryClientRecords;
pub use healings::MemoryHealings;
pub use notifications::MemoryNotifications;
pub use vitals::MemoryVitals;

use crate::Stores;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much is kept. What is beyond a limit is forgotten, the oldest first, and no longer counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Vitals of one agent; default 5,000.
    pub vitals_per_agent: usize,
    /// Vitals in all; default 200,000.
    pub vitals: usize,
    /// Events; default 10,000.
    pub events: usize,
    /// Rows of the action log; default 50,000.
    pub log_rows: usize,
    /// Closed cases; default 10,000. Open ones are never forgotten.
    pub closed_cases: usize,
    /// Healings that have ended; default 20,000. Immune memory is never forgotten.
    pub ended_healings: usize,
    /// Records of client-deployed systems; default 100,000.
    pub client_records: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            vitals_per_agent: 5_000,
            vitals: 200_000,
            events: 10_000,
            log_rows: 50_000,
            closed_cases: 10_000,
            ended_healings: 20_000,
            client_records: 100_000,
        }
    }
}

/// Empty stores with the default limits.
pub fn stores() -> Stores {
    stores_with(Limits::default())
}

/// Empty stores with limits of one's own.
pub fn stores_with(limits: Limits) -> Stores {
    let workflow = Arc::new(Mutex::new(workflow::Workflow::new(limits)));
    Stores {
        vitals: Arc::new(MemoryVitals::new(limits)),
        baselines: Arc::new(MemoryBaselines::new(workflow.clone())),
        cases: Arc::new(MemoryCases::new(workflow.clone())),
        healings: Arc::new(MemoryHealings::new(limits)),
        client_records: Arc::new(MemoryClientRecords::new(limits)),
        action_log: Arc::new(MemoryActionLog::new(workflow)),
        access: Arc::new(MemoryAccess::default()),
        notifications: Arc::new(MemoryNotifications::default()),
    }
}

/// Takes a lock. A panic while it was held leaves the maps readable, so poisoning is not passed on.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
