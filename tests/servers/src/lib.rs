//! Real servers for tests: PostgreSQL, Redis and InfluxDB from Debian's packages, Envoy from `make tools`, each on free
//! ports of loopback in a temporary folder. They end with the test process, however it ends: every server has a guard,
//! a shell that waits for the end of a pipe that only the test process holds.
//!
//! ```no_run
//! # async fn example() {
//! let postgres = immune_test_servers::Postgres::shared().await;
//! let url = postgres.database().await;
//! # }
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and wait by the real clock"
)]

mod envoy;
mod guard;
mod influx;
mod port;
mod postgres;
mod redis;
mod server;

pub use envoy::Envoy;
pub use influx::Influx;
pub use port::{free_port, free_ports};
pub use postgres::Postgres;
pub use redis::Redis;
