//! From the bytes of a body to a request that the service takes, within the limits; the same for both protocols.

use super::admission::{Admission, Ticket};
use super::body::{self, BodyError, Form};
use crate::json;
use crate::metrics::Signal;
use crate::view::wire;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

/// Why a body is no request.
#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the body is not an OTLP request: {0}")]
    Undecodable(String),
}

impl MessageError {
    /// A word of a closed list, for metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            MessageError::Body(error) => error.reason(),
            MessageError::Undecodable(_) => "undecodable",
        }
    }
}

/// A request that bodies hold.
pub(super) trait Message: Sized {
    /// Reads it, and takes room for what it weighs.
    ///
    /// # Errors
    /// When it is too heavy or malformed, or when there is no room.
    fn read(
        body: Bytes,
        form: Form,
        admission: &Admission,
        ticket: &mut Ticket,
    ) -> Result<Self, MessageError>;
}

impl Message for ExportMetricsServiceRequest {
    fn read(
        body: Bytes,
        form: Form,
        admission: &Admission,
        ticket: &mut Ticket,
    ) -> Result<Self, MessageError> {
        decoded(Signal::Metrics, body, form, admission, ticket)
    }
}

impl Message for ExportLogsServiceRequest {
    fn read(
        body: Bytes,
        form: Form,
        admission: &Admission,
        ticket: &mut Ticket,
    ) -> Result<Self, MessageError> {
        decoded(Signal::Logs, body, form, admission, ticket)
    }
}

/// The spans of a request.
pub(super) enum Traces {
    /// Bytes that are read where they lie.
    Checked(wire::Checked),
    /// JSON, and protobuf as no encoder writes it.
    Decoded(ExportTraceServiceRequest),
}

impl Message for Traces {
    fn read(
        body: Bytes,
        form: Form,
        admission: &Admission,
        ticket: &mut Ticket,
    ) -> Result<Self, MessageError> {
        if form == Form::Protobuf
            && let Ok(checked) = wire::check(body.clone(), admission.decoded_bytes_max)
        {
            // Nothing is decoded, but what is kept of the spans grows as the structs would.
            ticket.take(checked.weight()).map_err(BodyError::from)?;
            return Ok(Traces::Checked(checked));
        }
        decoded(Signal::Traces, body, form, admission, ticket).map(Traces::Decoded)
    }
}

fn decoded<Q>(
    signal: Signal,
    body: Bytes,
    form: Form,
    admission: &Admission,
    ticket: &mut Ticket,
) -> Result<Q, MessageError>
where
    Q: prost::Message + Default + json::Decode,
{
    body::weigh(&body, form, signal, admission, ticket)?;
    match form {
        Form::Protobuf => {
            <Q as prost::Message>::decode(body).map_err(|error| MessageError::Undecodable(error.to_string()))
        }
        Form::Json => {
            <Q as json::Decode>::decode(&body).map_err(|error| MessageError::Undecodable(error.to_string()))
        }
    }
}
