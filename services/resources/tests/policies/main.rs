//! Policies of the cluster, against an API server in memory, with just the rights that the chart grants.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails at the line that was wrong"
)]

mod following;
mod rights;
mod schema;
mod status;
mod world;
