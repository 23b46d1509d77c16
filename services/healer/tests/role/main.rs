//! The healer role over real gRPC, with the in-memory store, a quarantine that decides with the real state machine,
//! a platform that keeps its promises about idempotency keys, and a sentinel that sees what the platform did.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say so and stop"
)]

mod crashes;
mod healing;
mod memory;
mod platform;
mod quarantine;
mod replicas;
mod sentinel;
mod world;
