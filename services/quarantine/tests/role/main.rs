//! The quarantine role over real gRPC, with the in-memory store and a lever that plays a script.

mod concurrency;
mod containment;
mod decisions;
mod harness;
mod reports;
mod watching;
