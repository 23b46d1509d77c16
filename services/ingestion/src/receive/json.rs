//! OTLP's JSON form, into the same structs as protobuf.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

/// A request that has a JSON form.
pub(crate) trait Decode: Sized {
    /// Reads it. Unknown fields are ignored; nesting is limited by the parser.
    fn decode(body: &[u8]) -> Result<Self, serde_json::Error>;
}

macro_rules! decode {
    ($($request:ty),+) => {
        $(impl Decode for $request {
            fn decode(body: &[u8]) -> Result<Self, serde_json::Error> {
                serde_json::from_slice(body)
            }
        })+
    };
}

decode!(ExportTraceServiceRequest, ExportMetricsServiceRequest, ExportLogsServiceRequest);
