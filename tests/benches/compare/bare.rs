//! Servers that do next to nothing, each a process of its own: what transport and framework cost, and so the limit that
//! no product on them can pass. `compare sink KIND PORT` runs one.

use super::walk;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use serde::Deserialize;
use std::convert::Infallible;
use std::hint::black_box;
use tokio::net::TcpListener;

/// What a sink does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// gRPC by hand on h2; a walk over the bytes.
    GrpcWalk,
    /// tonic and prost; the message is dropped.
    GrpcProst,
    /// HTTP/1.1; a walk over the bytes.
    HttpWalk,
    /// HTTP/1.1 and prost; the message is dropped.
    HttpProst,
    /// HTTP/1.1 and serde_json of one posted record, which is dropped.
    Json,
}

impl Kind {
    const ALL: [(Kind, &str); 5] = [
        (Kind::GrpcWalk, "grpc-walk"),
        (Kind::GrpcProst, "grpc-prost"),
        (Kind::HttpWalk, "http-walk"),
        (Kind::HttpProst, "http-prost"),
        (Kind::Json, "json"),
    ];

    pub fn word(self) -> &'static str {
        let found = Kind::ALL.iter().find(|(kind, _)| *kind == self);
        found.map_or("", |(_, word)| word)
    }

    fn of(word: &str) -> Option<Kind> {
        let found = Kind::ALL.iter().find(|(_, known)| *known == word);
        found.map(|(kind, _)| *kind)
    }
}

/// Runs a sink until the process is killed.
pub fn run(word: &str, port: &str) {
    let kind = Kind::of(word).unwrap_or_else(|| panic!("there is no sink {word:?}"));
    let port: u16 = port.parse().expect("a port is a number");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("the port is free");
        if kind == Kind::GrpcProst {
            let service = TraceServiceServer::new(Dropping).max_decoding_message_size(64 << 20);
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            let server = tonic::transport::Server::builder().add_service(service);
            server
                .serve_with_incoming(incoming)
                .await
                .expect("the sink serves");
            return;
        }
        loop {
            let (stream, _) = listener.accept().await.expect("connections come");
            stream.set_nodelay(true).expect("a socket takes options");
            if kind == Kind::GrpcWalk {
                tokio::spawn(grpc(stream));
            } else {
                let service = service_fn(move |request| answer(kind, request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .pipeline_flush(true)
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        }
    });
}

struct Dropping;

#[tonic::async_trait]
impl TraceService for Dropping {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        black_box(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

/// One connection; a client that leaves ends it.
async fn grpc(stream: tokio::net::TcpStream) {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(4 << 20);
    builder.initial_connection_window_size(16 << 20);
    builder.max_frame_size(1 << 20);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(call(request.into_body(), respond));
    }
}

async fn call(mut body: h2::RecvStream, mut respond: h2::server::SendResponse<Bytes>) {
    let mut whole = BytesMut::new();
    while let Some(Ok(part)) = body.data().await {
        let _ = body.flow_control().release_capacity(part.len());
        if whole.is_empty() && part.len() >= 5 {
            let length = u32::from_be_bytes([part[1], part[2], part[3], part[4]]);
            whole.reserve(length as usize + 5);
        }
        whole.extend_from_slice(&part);
    }
    let is_read = whole.len() >= 5 && walk::request(&whole[5..]).is_ok();
    let head = http::Response::builder()
        .header("content-type", "application/grpc")
        .body(())
        .expect("a head");
    let mut trailers = http::HeaderMap::new();
    let status = if is_read { "0" } else { "3" };
    trailers.insert("grpc-status", http::HeaderValue::from_static(status));
    if let Ok(mut stream) = respond.send_response(head, false) {
        let _ = stream.send_data(Bytes::from_static(&[0; 5]), false);
        let _ = stream.send_trailers(trailers);
    }
}

/// A record as platforms post it.
#[derive(Deserialize)]
#[expect(dead_code, reason = "what is read is dropped; reading it is what costs")]
struct Posted {
    agent_id: String,
    agent_type: String,
    latency_ms: f64,
    token_count: u64,
    tool_calls: u32,
    retries: u32,
    success: bool,
    timestamp: f64,
}

async fn answer(
    kind: Kind,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let is_read = match kind {
        Kind::Json => serde_json::from_slice::<Posted>(&body).map(black_box).is_ok(),
        Kind::HttpWalk => walk::request(&body).map(black_box).is_ok(),
        _ => ExportTraceServiceRequest::decode(body).map(black_box).is_ok(),
    };
    let status = if is_read { 200 } else { 400 };
    let response = hyper::Response::builder()
        .status(status)
        .body(Full::new(Bytes::new()));
    Ok(response.expect("a response"))
}
