//! The binary `immune`: the six roles in one process, and the command line.
//!
//! - [`config`]: everything that can be set. [`wiring`], [`bus`]: the only places that name a backend.
//! - [`channels`], [`security`]: ways to the roles, in this process and in others, and how they know each other;
//!   `door`: who may come in. `gate`: whether agents may act, for
//!   gateways. `audit`: the end of the action log, and refused calls.
//! - [`roles`]: a file per role, each builds its service from the wiring. [`host`]: serves and drains them.
//! - [`cli`]: a file per command.
//!
//! [`start`] is also how another program embeds the whole system.

mod audit;
pub mod bus;
pub mod channels;
pub mod cli;
pub mod config;
mod door;
mod gate;
pub mod host;
mod notifier;
mod resources;
pub mod roles;
pub mod running;
pub mod security;
mod tasks;
pub mod wiring;

pub use config::{Checked, Config};
pub use host::{Addresses, start};
pub use running::Running;
