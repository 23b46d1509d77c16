//! The real REST server on a loopback port, in-memory stores, and the other roles played by [`fleet::Fleet`] over real
//! gRPC.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod access;
mod bodies;
mod description;
mod events;
mod fleet;
mod operators;
mod original;
mod outages;
mod posted;
mod replicas;
mod world;
