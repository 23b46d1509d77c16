//! The ingestion role: OTLP in, vitals out.
//!
//! - [`receive`]: the listeners, limits, and answers as OTLP wants them.
//! - [`view`]: a borrowed span. [`dialect`]: what attributes are called; data, not code.
//! - [`assemble`]: open traces to executions. [`extract`]: an execution to its vitals.
//! - [`service`]: the role around them. [`writer`]: to the store and the bus, in order, before the answer.
//!
//! Not here: judging (`sentinel`), learning (`baseline`). Prompts and outputs are read for nothing and kept nowhere.
//!
//! To add a framework: names in `dialect/defaults.yaml`, a capture with its truth, `cargo test -p immune-ingestion`.

pub mod assemble;
pub mod config;
pub mod dialect;
pub mod extract;
mod grpc;
pub mod json;
mod limits;
pub mod metrics;
pub mod receive;
pub mod service;
mod torn;
pub mod view;
mod writer;

pub use config::Config;
pub use metrics::Metrics;
pub use receive::Receivers;
pub use service::{Dependencies, Service};
