//! The workflow of a cluster in PostgreSQL, 14 to 18: the contracts of `immune_store` for many processes at once.
//!
//! - Every call is one statement, most often of one function in the schema `immune` (`migrations/postgres`): a
//!   transaction by itself, in one round trip. Nothing is ever left open between two statements.
//! - [`PostgresStore::open`] needs no server. A process starts while the database is away; its calls are answered
//!   with `Unavailable` until the database is back.
//! - Every new connection is looked at before it is used (`connect.rs`): it must lead to a server that takes writes
//!   and has the schema that this program needs. The schema is never migrated on the way; `immune migrate` does
//!   ([`migrate()`]), and a process can ask beforehand ([`PostgresStore::check_schema`]).
//! - What failed for certain is tried again for a while, what may have been done only where doing it twice is the
//!   same (`database.rs`, `error.rs`).
//! - Events get their place in the order after their transaction has committed (`migrations/postgres/0003` and
//!   `0004` say why), so that who reads on after a place misses nothing.
//! - Rows of the action log get their place and their hash in the same way (`migrations/postgres/0009`).
//! - What was acknowledged is on the server's disk, also where the server's own default is not to wait for it.
//!
//! Several hosts in one URL are refused: the driver cannot choose among them. Use one name that leads to the primary.
//! A pooler in between must give each connection a session of its own.
//!
//! Not for: one process (that is `store-sqlite`), vitals of a large fleet (that is `store-influx`).
//!
//! To add a table: a new numbered file in `migrations/postgres`, its line in `schema.rs`, its queries in the file of
//! the contract that owns it. A released migration is never edited; a function is changed by a new migration that
//! replaces it.

mod access;
mod access_rows;
mod action_log;
mod baselines;
mod case_rows;
mod cases;
mod client_records;
mod connect;
mod database;
mod error;
mod events;
mod healings;
mod listing;
mod log_chain;
mod migrate;
mod notifications;
mod nul;
mod options;
mod pool;
mod rows;
mod schema;
mod store;
mod types;
mod vitals;
mod vitals_rows;
mod vitals_series;

pub use error::OpenError;
pub use migrate::{Migrated, migrate};
pub use options::{Limits, Options};
pub use store::PostgresStore;
