//! The quarantine role over real gRPC, with the in-memory store and a lever that plays a script.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say so and stop"
)]

mod concurrency;
mod containment;
mod decisions;
mod harness;
mod reports;
mod watching;
