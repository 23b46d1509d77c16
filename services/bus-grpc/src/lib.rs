//! The vitals bus over gRPC streams: for a cluster without Redis, with one replica each of baseline and sentinel.
//!
//! - [`GrpcPublisher`], in ingestion: one long-lived stream to each consumer. `publish` returns when every consumer
//!   has received the batch; the publisher keeps it until the consumer has settled it, and sends it again to a
//!   consumer that was started anew.
//! - [`server`], in baseline and sentinel: the service that these streams reach, and the [`GrpcConsumer`] that hands
//!   the batches to the role. Acknowledging a delivery settles it.
//!
//! So a consumer may be killed at any time: what it had not settled arrives again, in order. A publisher may be
//! killed at any time: what `publish` returned for is with the consumers. What only the two of them together can
//! lose, killed at once, is in the vitals store. Delivery is at least once; a publication that failed after a
//! consumer had it is published again by its caller, and the consumers know executions that come twice by their ids
//! and revisions.
//!
//! Not for: several replicas of a consumer. Without partitions each would see a part of an agent, so publishing is
//! refused ([`immune_bus::BusError::Undivided`]); `bus-redis` has partitions.
//!
//! To change the protocol: `proto/immune/v1/bus.proto` says what the messages mean. `publisher/link.rs` is the
//! publisher's side of one stream as plain state, `publisher/stream.rs` moves it over the wire; `consumer/origin.rs`
//! and `consumer/conversation.rs` are the same two on the other side.

pub mod config;
mod consumer;
pub mod metrics;
mod publisher;

pub use config::Config;
pub use consumer::{GrpcConsumer, Receiver, server};
pub use metrics::Metrics;
pub use publisher::{GrpcPublisher, Left};

/// The largest message that a consumer decodes, bytes. An entry is far smaller, unless one record alone is larger.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
