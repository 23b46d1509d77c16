//! Cases as an operator sees them with kubectl, over the real quarantine role, the in-memory store and an in-memory
//! Kubernetes API server.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say so and stop"
)]

mod away;
mod decisions;
mod edits;
mod leading;
mod others;
mod rights;
mod story;
mod world;
