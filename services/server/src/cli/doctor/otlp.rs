//! Checks of the OTLP doors, each with an empty export: valid by the specification and without effect.

use super::finding::Finding;
use super::roles::connect;
use super::targets::Place;
use crate::cli::failure::innermost;
use immune_runtime::config::Secret;
use reqwest::header::CONTENT_TYPE;
use std::time::Duration;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

/// The longest that one check may take.
const PROBE_MAX: Duration = Duration::from_secs(3);
const START: &str = "start it with `immune serve`, or see the listeners under `ingestion`";
const KEY: &str =
    "give a key with the role ingest in IMMUNE_API_KEY, and in OTEL_EXPORTER_OTLP_HEADERS of the agents";
/// The method of the OTLP specification for traces.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const STRANGER: &str = "check the port: something else may listen there";

/// OTLP over gRPC.
pub async fn grpc(place: &Place, key: Option<&Secret>) -> Finding {
    let channel = match connect(place).await {
        Ok(channel) => channel,
        Err(cause) => return Finding::failed("OTLP gRPC", format!("{place}: {cause}"), START),
    };
    match export_nothing(channel, key).await {
        Ok(()) => Finding::ok("OTLP gRPC", format!("accepts telemetry on {place}")),
        Err(status) if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) => {
            let said = format!("{place} answers, but refuses this caller: {}", status.message());
            Finding::warning("OTLP gRPC", said, KEY)
        }
        Err(status) => {
            let said = format!("{place}: {} ({})", status.message(), status.code());
            Finding::failed("OTLP gRPC", said, STRANGER)
        }
    }
}

/// An empty export. In protobuf it has no bytes, as has `()`, so that no type of OTLP's is needed for it; what the
/// answer holds is skipped.
async fn export_nothing(channel: Channel, key: Option<&Secret>) -> Result<(), Status> {
    let mut request = Request::new(());
    if let Some(value) = key.and_then(|key| format!("Bearer {}", key.expose()).parse().ok()) {
        request.metadata_mut().insert("authorization", value);
    }
    let mut client = tonic::client::Grpc::new(channel);
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let method = PathAndQuery::from_static(EXPORT);
    client
        .unary(request, method, ProstCodec::<(), ()>::default())
        .await
        .map(|answer| answer.into_inner())
}

/// OTLP over HTTP.
pub async fn http(place: &Place, key: Option<&Secret>) -> Finding {
    let post = || async {
        let http = reqwest::Client::builder().timeout(PROBE_MAX).build()?;
        // No bytes are an empty request in protobuf.
        let mut request = http.post(format!("http://{place}/v1/traces"));
        request = request
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(Vec::new());
        if let Some(key) = key {
            request = request.bearer_auth(key.expose());
        }
        request.send().await
    };
    match post().await {
        Err(error) => Finding::failed("OTLP HTTP", format!("{place}: {}", innermost(&error)), START),
        Ok(response) => match response.status().as_u16() {
            200 => Finding::ok("OTLP HTTP", format!("accepts telemetry on {place}")),
            401 | 403 => Finding::warning(
                "OTLP HTTP",
                format!("{place} answers, but refuses this caller"),
                KEY,
            ),
            status => {
                let said = format!("{place}: an empty export was answered with status {status}");
                Finding::failed("OTLP HTTP", said, STRANGER)
            }
        },
    }
}
