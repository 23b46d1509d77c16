//! The wire: protobuf contracts of package `immune.v1`, and their translation from and to the domain's types.
//!
//! One file per role in `immune/v1`; `convert/` has one file per domain room. Translation only: a message that
//! cannot be a domain value is refused with the field's name, nothing is decided here.

pub mod convert;

/// Generated from `immune/v1/*.proto`.
#[allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    reason = "generated; the contracts carry the comments"
)]
pub mod v1 {
    tonic::include_proto!("immune.v1");
}

/// Every contract as one descriptor set, for gRPC reflection and compatibility checks.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
