//! What every store must do: one contract per file, in the domain's language, never SQL's.
//!
//! - [`vitals`]: records of executions. Large, append-mostly, never workflow state. [`series`]: many of them in few
//!   numbers.
//! - [`baselines`]: profiles and the state that learns them. Owner: the baseline role.
//! - [`cases`]: cases with their outgoing events. Owner: the quarantine role.
//! - [`healings`]: attempts and immune memory. Owner: the healer role.
//! - [`client_records`]: what client-deployed immune systems post for themselves; drives nothing here.
//! - [`action_log`]: the audit record, append-only, written by everyone through one function.
//! - [`access`]: keys and sessions. Owner: the door.
//! - [`notifications`]: what outgoing targets have still to be told. Owner: the notifier.
//!
//! [`memory`] holds the in-memory version of each, [`mod@conformance`] the suite that every backend runs, [`faults`] a
//! wrapper that fails on purpose, [`retention`] the sweep that removes what is old enough, [`mod@follow`] the task that
//! keeps a view of the cases current with what every process saves. To add a backend: implement the traits in a crate
//! of its own, run the suite on it, name it in `server/wiring.rs`.
//!
//! "Not found" is `None`. An error means that the store could not answer.

pub mod access;
pub mod action_log;
pub mod baselines;
pub mod cases;
pub mod client_records;
pub mod conformance;
pub mod error;
pub mod faults;
pub mod follow;
pub mod healings;
pub mod memory;
pub mod notifications;
pub mod observed;
pub mod retention;
pub mod series;
pub mod vitals;

pub use access::AccessStore;
pub use action_log::ActionLog;
pub use baselines::BaselineStore;
pub use cases::CaseStore;
pub use client_records::ClientRecordStore;
pub use error::StorageError;
pub use healings::HealingStore;
pub use notifications::NotificationStore;
pub use vitals::VitalsStore;

use std::sync::Arc;

/// How much a filter with limit 0 returns.
pub const PAGE_DEFAULT: u32 = 100;

/// The most that one listing returns, whatever limit was asked for; who wants more asks for the next page.
pub const PAGE_MAX: u32 = 10_000;

/// Every contract of one wiring; a role takes those it owns.
#[derive(Clone)]
pub struct Stores {
    /// Records of executions.
    pub vitals: Arc<dyn VitalsStore>,
    /// Profiles.
    pub baselines: Arc<dyn BaselineStore>,
    /// Cases and outgoing events.
    pub cases: Arc<dyn CaseStore>,
    /// Attempts and immune memory.
    pub healings: Arc<dyn HealingStore>,
    /// Records posted by client-deployed immune systems.
    pub client_records: Arc<dyn ClientRecordStore>,
    /// The audit record.
    pub action_log: Arc<dyn ActionLog>,
    /// Keys and sessions.
    pub access: Arc<dyn AccessStore>,
    /// What targets have still to be told.
    pub notifications: Arc<dyn NotificationStore>,
}
