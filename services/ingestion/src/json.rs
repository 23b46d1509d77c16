//! OTLP/JSON.
//!
//! The encoding of <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding> as senders really write it:
//! ids in hex, 64-bit numbers as text or as numbers, enums as numbers or names, `null` for what is absent, unknown
//! fields anywhere. The serde support of `opentelemetry-proto` refuses some of these (an unknown field inside a
//! value ends the whole request), so traces and logs have a model of their own; metrics, which are only counted,
//! use the library's.

mod fields;
mod model;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

/// A body that is no OTLP/JSON request.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or a field is not of its form.
    #[error("not OTLP/JSON: {0}")]
    Malformed(#[from] serde_json::Error),
    /// JSON, but not an object.
    #[error("not OTLP/JSON: the body is not an object")]
    NotAnObject,
}

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
        Ok(read::<model::Traces>(body)?.into())
    }
}

impl Decode for ExportLogsServiceRequest {
    fn decode(body: &[u8]) -> Result<Self, JsonError> {
        Ok(read::<model::Logs>(body)?.into())
    }
}

impl Decode for ExportMetricsServiceRequest {
    fn decode(body: &[u8]) -> Result<Self, JsonError> {
        read(body)
    }
}

/// Reads the spans of a request.
///
/// # Errors
/// When the body is not JSON, or not of the request's form.
pub fn traces(body: &[u8]) -> Result<ExportTraceServiceRequest, JsonError> {
    ExportTraceServiceRequest::decode(body)
}

/// serde would take an array for a request, its elements for the fields.
fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, JsonError> {
    if body
        .trim_ascii_start()
        .first()
        .is_some_and(|first| *first != b'{')
    {
        return Err(JsonError::NotAnObject);
    }
    Ok(serde_json::from_slice(body)?)
}

#[cfg(test)]
mod tests;
