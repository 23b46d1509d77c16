//! The lever against an API server in memory, with just the rights that the chart grants.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails at the line that was wrong"
)]

mod cloning;
mod finding;
mod healing;
mod quarantine;
mod rights;
mod suite;
mod trouble;
mod uninstall;
mod world;
