//! The vitals bus over Redis Streams: partitioned, for many replicas of every role.
//!
//! A publication becomes one entry in the stream of each partition that it touches; `publish` returns when Redis has
//! all of them. Consumers hold partitions by lease, read the streams from their own positions, and acknowledge by
//! moving a position that Redis keeps for them. Redis is the buffer: a slow consumer makes nobody wait, and what it
//! has not read when the time of keeping is over is lost to it, counted and logged.
//!
//! # What is promised
//! - The records of an agent are in one partition, in the order of their publications. A publication that failed may
//!   be there in part or twice after it is repeated; consumers know executions that come twice by their ids and
//!   revisions.
//! - One replica of a consumer at a time has a partition. It stops delivering before the lease ends at Redis, by a
//!   clock that only goes forward. A replica that hangs may still be working on what it was given when another takes
//!   over: state that must not be written twice is fenced by its own store.
//! - Nothing acknowledged to a publisher is lost as far as Redis keeps it. A primary that dies before its replica has
//!   the last entries takes them along unless `replicas_min` is set; Redis itself wants an append-only file, and
//!   `min-replicas-to-write` where a primary could be cut off from the others.
//!
//! # Keys
//! `immune` is the configured prefix. What is between braces decides the slot in a Redis Cluster, so that each
//! partition has a slot and every script touches the keys of one slot:
//!
//! | key | holds |
//! |---|---|
//! | `immune:{vitals.17}:entries` | the stream of partition 17 |
//! | `immune:{vitals.17}:meta` | how many entries it ever had, and the id of the last |
//! | `immune:{vitals.17}:baseline:lease` | which replica of baseline has it; ends by itself |
//! | `immune:{vitals.17}:baseline:state` | fencing token and acknowledged position |
//! | `immune:{baseline}:members` | replicas of baseline and when each was last heard |
//! | `immune:{baseline}:lives` | counts replicas ever started |
//! | `immune:{vitals}:partitions` | into how many partitions the bus is divided |
//!
//! Redis 6.2 or newer, or a server that speaks like it. See [`Address`] for URLs.
//!
//! To change what happens at Redis: `script.rs`. What a replica knows about its partitions is plain state in
//! `consumer/holds.rs`; `consumer/keeper.rs` (leases) and `consumer/reader.rs` (entries) move it over the wire.

mod address;
mod bus;
mod connect;
mod consumer;
mod entry;
mod keys;
mod link;
mod place;
mod publisher;
mod script;
mod trouble;

pub mod config;
pub mod metrics;

pub use address::{Address, AddressError};
pub use bus::RedisBus;
pub use config::Config;
pub use metrics::Metrics;
pub use trouble::Trouble;
