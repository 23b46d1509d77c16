//! OTLP/JSON.
//!
//! The encoding of <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding> as senders really write it:
//! ids in hex, 64-bit numbers as text or as numbers, enums as numbers or names, `null` for what is absent, unknown
//! fields anywhere. The serde support of `opentelemetry-proto` refuses some of these (an unknown field inside a
//! value ends the whole request), so traces and logs have a model of their own; metrics, which are only counted,
//! use the library's.

mod model;
mod read;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

/// A body that is no OTLP/JSON request.
#[derive(Debug, thiserror::Error)]
#[error("not OTLP/JSON: {0}")]
pub struct JsonError(#[from] serde_json::Error);

impl JsonError {
    /// What kind of mistake it is: the sender's.
    pub fn kind(&self) -> immune_domain::ErrorKind {
        immune_domain::ErrorKind::Invalid
    }
}

/// A request that can be read from JSON.
pub trait Decode: Sized {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is not JSON, or not of the request's form.
    fn decode(body: &[u8]) -> Result<Self, JsonError>;
}

impl Decode for ExportTraceServiceRequest {
    fn decode(body: &[u8]) -> Result<Self, JsonError> {
        Ok(serde_json::from_slice::<model::Traces>(body)?.into())
    }
}

impl Decode for ExportLogsServiceRequest {
    fn decode(body: &[u8]) -> Result<Self, JsonError> {
        Ok(serde_json::from_slice::<model::Logs>(body)?.into())
    }
}

impl Decode for ExportMetricsServiceRequest {
    fn decode(body: &[u8]) -> Result<Self, JsonError> {
        Ok(serde_json::from_slice(body)?)
    }
}

#[cfg(test)]
mod tests;
