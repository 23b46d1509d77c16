//! The binary `immune`: the six roles in one process, and the command line.
//!
//! - [`config`]: everything that can be set. [`wiring`]: the only place that names a backend.
//! - [`roles`]: a file per role, each builds its service from the wiring. [`host`]: serves and drains them.
//! - [`cli`]: a file per command.
//!
//! [`start`] is also how another program embeds the whole system.

pub mod cli;
pub mod config;
pub mod host;
pub mod roles;
pub mod wiring;

pub use config::{Checked, Config};
pub use host::{Addresses, Running, start};
