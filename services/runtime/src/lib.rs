//! What every process needs and no business rule: clock, configuration, telemetry, gRPC and HTTP builders, access,
//! start and drain.
//!
//! Only this crate turns [`immune_domain::ErrorKind`] into gRPC statuses ([`grpc::status`]) and HTTP problems
//! ([`http::problem`]), reads the clock ([`clock`]), knows how a caller's identity travels ([`access`]) and sees
//! certificates ([`tls`]).

pub mod access;
pub mod clock;
pub mod config;
pub mod grpc;
pub mod health;
pub mod http;
pub mod lifecycle;
pub mod metrics;
pub mod telemetry;
pub mod tls;
