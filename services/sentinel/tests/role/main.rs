//! The sentinel role over its real gRPC service.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod around;
mod bus;
mod cases;
mod cluster;
mod fixtures;
mod fleet;
mod moves;
mod ownership;
mod reports;
mod settling;
mod watchers;
mod world;
