//! The real REST server on a loopback port, in-memory stores, and the other roles played by [`fleet::Fleet`] over real
//! gRPC.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod access;
mod bodies;
mod chat;
mod description;
mod events;
mod fleet;
mod keys;
mod live;
mod log;
mod notifications;
mod operators;
mod original;
mod outages;
mod page;
mod posted;
mod reader;
mod replicas;
mod sessions;
mod two_people;
mod ui;
mod world;
