//! The quarantine role over real gRPC, with the in-memory store and a lever that plays a script.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say so and stop"
)]

mod away;
mod claims;
mod concurrency;
mod containment;
mod deaf;
mod decisions;
mod faults;
mod harness;
mod incidents;
mod postgres;
mod repeated;
mod replicas;
mod reports;
mod two_people;
mod watching;
