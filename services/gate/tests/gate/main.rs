//! The gateway check over its protocols, with the real quarantine role writing the cases.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

mod answers;
mod away;
mod behind_envoy;
mod certificates;
mod listener;
mod replicas;
mod world;
