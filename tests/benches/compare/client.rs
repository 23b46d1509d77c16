//! Clients that cost little, so that the core they run on is not what is measured.

use super::requests::Request;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long an answer may take before the measurement is given up.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Grpc,
    Http,
}

/// What a server said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Taken, but for so many spans.
    Taken { refused: u64 },
    /// Come again later: 429, 503, or their kin in gRPC.
    Shed,
}

/// One connection to one server.
pub enum Client {
    Grpc(h2::client::SendRequest<Bytes>, http::Uri),
    Http(hyper::client::conn::http1::SendRequest<Full<Bytes>>, http::Uri),
}

impl Client {
    pub async fn connect(wire: Wire, port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("the server listens");
        stream.set_nodelay(true).expect("a socket takes options");
        match wire {
            Wire::Grpc => {
                let mut builder = h2::client::Builder::new();
                builder.max_send_buffer_size(16 << 20);
                let (sender, connection) = builder.handshake(stream).await.expect("HTTP/2 is spoken");
                tokio::spawn(connection);
                let path = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
                let uri = format!("http://127.0.0.1:{port}/{path}");
                Client::Grpc(sender, uri.parse().expect("an address"))
            }
            Wire::Http => Client::http(stream, "/v1/traces").await,
        }
    }

    /// A connection for bodies that are posted to a path.
    pub async fn to_path(port: u16, path: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("the server listens");
        stream.set_nodelay(true).expect("a socket takes options");
        Client::http(stream, path).await
    }

    async fn http(stream: TcpStream, path: &str) -> Self {
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.expect("HTTP/1.1 is spoken");
        tokio::spawn(connection);
        Client::Http(sender, path.parse().expect("a path"))
    }

    /// Sends a request of spans and reads the answer.
    pub async fn send(&mut self, request: &Request) -> Answer {
        let answer = async {
            match self {
                Client::Grpc(sender, uri) => grpc(sender, uri, request.framed.clone()).await,
                Client::Http(..) => self.post(request.message(), "application/x-protobuf").await,
            }
        };
        let answer = tokio::time::timeout(ANSWER_MAX, answer).await;
        answer.expect("the server answers in time")
    }

    /// Posts a body over HTTP.
    pub async fn post(&mut self, body: Bytes, kind: &'static str) -> Answer {
        let Client::Http(sender, uri) = self else {
            panic!("gRPC has no paths");
        };
        let request = http::Request::post(uri.clone())
            .header("host", "127.0.0.1")
            .header("content-type", kind)
            .body(Full::new(body))
            .expect("a request");
        sender.ready().await.expect("the connection is kept");
        let response = sender.send_request(request).await.expect("the server answers");
        let status = response.status();
        let body = read(response.into_body()).await;
        match status.as_u16() {
            200..300 if kind == "application/x-protobuf" => Answer::Taken {
                refused: refused(&body),
            },
            200..300 => Answer::Taken { refused: 0 },
            429 | 503 => Answer::Shed,
            _ => panic!("{status}: {}", String::from_utf8_lossy(&body)),
        }
    }
}

async fn read(body: Incoming) -> Bytes {
    body.collect().await.expect("the answer is whole").to_bytes()
}

async fn grpc(sender: &mut h2::client::SendRequest<Bytes>, uri: &http::Uri, framed: Bytes) -> Answer {
    let request = http::Request::post(uri.clone())
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    let mut ready = sender.clone().ready().await.expect("the connection is kept");
    let (response, mut stream) = ready.send_request(request, false).expect("a stream");
    stream.send_data(framed, true).expect("the body is sent");
    let response = response.await.expect("the server answers");
    let mut status = response.headers().get("grpc-status").cloned();
    let (mut body, mut data) = (response.into_body(), Vec::new());
    while let Some(part) = body.data().await {
        let part = part.expect("the answer is whole");
        let _ = body.flow_control().release_capacity(part.len());
        data.extend_from_slice(&part);
    }
    if let Some(trailers) = body.trailers().await.expect("the answer ends") {
        status = trailers.get("grpc-status").cloned().or(status);
    }
    match status.as_ref().map(|status| status.as_bytes()) {
        Some(b"0") => Answer::Taken {
            refused: refused(data.get(5..).unwrap_or_default()),
        },
        // RESOURCE_EXHAUSTED and UNAVAILABLE.
        Some(b"8" | b"14") => Answer::Shed,
        other => panic!("grpc-status {other:?}"),
    }
}

fn refused(body: &[u8]) -> u64 {
    let response = ExportTraceServiceResponse::decode(body).expect("the answer is one of OTLP");
    let refused = response
        .partial_success
        .map_or(0, |partial| partial.rejected_spans);
    u64::try_from(refused).unwrap_or_default()
}
