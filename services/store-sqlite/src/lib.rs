//! The embedded store: every contract of `immune_store` in one SQLite file.
//!
//! All writing goes through one connection with a bounded queue in front (`writer.rs`): writes that arrive together
//! share a transaction and its sync to disk. Reading goes through a small pool and never waits for a writer (WAL).
//! A write that has returned survives `kill -9` and a loss of power (`synchronous = FULL`).
//!
//! One process at a time: a lock file beside the database says so in words ([`OpenError::InUse`]).
//!
//! Not for: several replicas (that is `store-postgres`), tests that need no file (`immune_store::memory`).
//!
//! To add a table: a new numbered file in `migrations/sqlite`, its line in `schema.rs`, its queries in the file of
//! the contract that owns it. A released migration is never edited.

mod access;
mod access_rows;
mod action_log;
mod baselines;
mod case_rows;
mod cases;
mod client_records;
mod error;
mod file;
mod healings;
mod log_chain;
mod memories;
mod notifications;
mod open;
mod purge;
mod rows;
mod schema;
mod vitals;
mod vitals_rows;
mod vitals_series;
mod writer;

pub use error::OpenError;
pub use open::{Migrated, Options, SqliteStore, migrate};
