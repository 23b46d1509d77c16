//! The baseline role over its real gRPC service, with the in-memory store, and a sentinel that says what the test
//! says: alone on the in-process bus, and as one of several replicas on a bus with partitions.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod alone;
mod bus;
mod crashes;
mod people;
mod replicas;
mod sentinel;
mod store;
mod watches;
mod world;
