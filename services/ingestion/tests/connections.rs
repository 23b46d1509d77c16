//! Connections that say little, say it slowly, or say too much at once: the answer, and that nobody else is held up.

mod world;

use bytes::Bytes;
use futures::StreamExt;
use prost::Message;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::ServiceExt;
use world::telemetry::execution;
use world::{DEADLINE, PROTOBUF, Plan, World, eventually};

const MIB: usize = 1024 * 1024;

/// What a server says on a raw connection until it closes it.
async fn rest(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is as good an end as any.
    let _ = tokio::time::timeout(DEADLINE, connection.read_to_end(&mut answer))
        .await
        .expect("closed in time");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn connected(address: std::net::SocketAddr, start: &[u8]) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.expect("listening");
    connection.write_all(start).await.expect("taken");
    connection
}

/// Scenario: connections that stop in the middle of the request's head, or before saying anything, on both ports,
/// when the process drains.
/// Guarantees: they do not keep it from ending, and what is in open traces is stored.
#[tokio::test(flavor = "multi_thread")]
async fn unfinished_heads_do_not_hold_up_the_end() {
    let world = World::start().await;
    let mut held = Vec::new();
    for (address, start) in [
        (world.http, &b"POST /v1/traces HTTP/1.1\r\nhost:"[..]),
        (world.http, &b""[..]),
        (world.grpc, &b"PRI * HTTP/2.0\r\n"[..]),
        (world.grpc, &b""[..]),
    ] {
        held.push(connected(address, start).await);
    }
    let open = world::telemetry::request(vec![world::telemetry::model_call("open", 1)]);
    assert_eq!(world.post_traces(&open).await.status(), 200);
    let (store, _) = world.stop().await;
    assert_eq!(world::records(&*store, "default", "open").await.len(), 1);
    drop(held);
}

/// Scenario: a sender of HTTP that does not finish the head of its request.
/// Guarantees: the connection is closed after the time that a body may take.
#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_are_cut_off() {
    let mut plan = Plan::default();
    plan.config.body_seconds_max = 1;
    let world = World::of(plan).await;
    let mut slow = connected(world.http, b"POST /v1/traces HTTP/1.1\r\nhost:").await;
    let answer = rest(&mut slow).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408 "),
        "{answer}"
    );
    world.stop().await;
}

/// Scenario: a head that announces more bytes than are allowed, and no body.
/// Guarantees: 413 at once, before anything of it is read.
#[tokio::test(flavor = "multi_thread")]
async fn announced_sizes_are_refused_at_once() {
    let world = World::start().await;
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {}\r\n\r\n",
        17 * MIB
    );
    let mut connection = connected(world.http, head.as_bytes()).await;
    let began = tokio::time::Instant::now();
    let answer = rest(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    world.stop().await;
}

/// A call whose message comes in pieces, and what is said to it.
struct Trickle {
    pieces: tokio::sync::mpsc::Sender<Bytes>,
    answer: tokio::task::JoinHandle<Status>,
}

impl Trickle {
    /// A call that announces a message of `length` bytes.
    async fn begin(world: &World, length: usize) -> Trickle {
        let (pieces, received) = tokio::sync::mpsc::channel(1);
        let body =
            axum::body::Body::from_stream(ReceiverStream::new(received).map(Ok::<Bytes, std::io::Error>));
        let call = http::Request::post("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(tonic::body::Body::new(body))
            .expect("a request");
        let channel = tonic::transport::Endpoint::new(format!("http://{}", world.grpc)).expect("an address");
        let channel = channel.connect().await.expect("a connection");
        let answer = tokio::spawn(async move {
            let answer = channel.oneshot(call).await.expect("an answer");
            Status::from_header_map(answer.headers()).expect("a status in the headers")
        });
        let mut head = vec![0];
        head.extend((length as u32).to_be_bytes());
        pieces.send(head.into()).await.expect("taken");
        Trickle { pieces, answer }
    }

    async fn send(&self, bytes: usize) {
        // When the answer has come, nobody takes the rest.
        let _ = self.pieces.send(vec![0; bytes].into()).await;
    }

    async fn answer(self) -> Status {
        tokio::time::timeout(DEADLINE, self.answer)
            .await
            .expect("an answer in time")
            .expect("no panic")
    }
}

/// Scenario: calls that have sent most of a message and stopped, until no more bytes may be under way.
/// Guarantees: the bytes of the next one are refused while they come (`RESOURCE_EXHAUSTED` with `RetryInfo`), not
/// when they have all been read; when the first ones are gone there is room again.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_counted_while_they_come() {
    let mut plan = Plan::default();
    plan.config.body_bytes_max = MIB;
    plan.config.bytes_under_way_max = 2 * MIB;
    let world = World::of(plan).await;
    let mut calls = Vec::new();
    for _ in 0..4 {
        let call = Trickle::begin(&world, MIB).await;
        call.send(600 * 1024).await;
        calls.push(call);
    }
    // Three of them find room; which ones is up to the network.
    let (pieces, answers): (Vec<_>, Vec<_>) =
        calls.into_iter().map(|call| (call.pieces, call.answer)).unzip();
    let first = tokio::time::timeout(DEADLINE, futures::future::select_all(answers)).await;
    let (status, _, others) = first.expect("an answer in time");
    let status = status.expect("no panic");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(
        status
            .get_details_retry_info()
            .is_some_and(|info| info.retry_delay.is_some()),
        "{status:?}"
    );
    others.iter().for_each(tokio::task::JoinHandle::abort);
    drop(pieces);
    let next = execution("next", 1);
    let mut client = world.traces().await;
    eventually("room by gRPC", async || client.export(next.clone()).await.ok()).await;
    eventually("room by HTTP", async || {
        world.post_traces(&next).await.status().is_success().then_some(())
    })
    .await;
    world.stop().await;
}

/// Scenario: a call that begins a message and does not go on.
/// Guarantees: it ends after the time that a body may take, in a way that senders repeat, and its place is free.
#[tokio::test(flavor = "multi_thread")]
async fn slow_messages_are_cut_off() {
    let mut plan = Plan::default();
    plan.config.body_seconds_max = 1;
    plan.config.requests_max = 1;
    let world = World::of(plan).await;
    let slow = Trickle::begin(&world, 1000).await;
    slow.send(10).await;
    let status = slow.answer().await;
    assert!(
        [Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()),
        "{status:?}"
    );
    let mut client = world.traces().await;
    eventually("the place is free", async || {
        client.export(execution("next", 1)).await.ok()
    })
    .await;
    world.stop().await;
}

/// Scenario: run ids that are not well formed: empty, too long, bytes that are no text; and one in another script.
/// Guarantees: the former are refused by name in both protocols instead of landing in another run; the latter is a
/// run like any other.
#[tokio::test(flavor = "multi_thread")]
async fn run_ids_are_taken_or_refused() {
    let world = World::start().await;
    let body = execution("named", 1).encode_to_vec();
    let long = "x".repeat(600);
    for bad in [&b""[..], long.as_bytes(), b"\xff\xfe"] {
        let value = reqwest::header::HeaderValue::from_bytes(bad).expect("a header");
        let answer = world
            .post("/v1/traces", PROTOBUF, body.clone())
            .header("x-run-id", value)
            .send()
            .await;
        assert_eq!(answer.expect("an answer").status(), 400, "{bad:?}");
        let mut call = http::HeaderMap::new();
        call.insert("x-run-id", http::HeaderValue::from_bytes(bad).expect("a header"));
        let metadata = tonic::metadata::MetadataMap::from_headers(call);
        let call = tonic::Request::from_parts(metadata, tonic::Extensions::new(), execution("named", 1));
        let status = world.traces().await.export(call).await.expect_err("no run");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains("x-run-id"), "{status:?}");
    }
    assert!(world.records("default", "named").await.is_empty());
    let run = "lauf-ä";
    let value = reqwest::header::HeaderValue::from_bytes(run.as_bytes()).expect("a header");
    let answer = world
        .post("/v1/traces", PROTOBUF, body)
        .header("x-run-id", value)
        .send()
        .await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert_eq!(world.records(run, "named").await.len(), 1);
    world.stop().await;
}

/// Scenario: senders whose base address has a path of its own, as other vendors' do.
/// Guarantees: what ends like a path of OTLP is one; anything else is not found.
#[tokio::test(flavor = "multi_thread")]
async fn paths_may_have_a_prefix() {
    let world = World::start().await;
    for (i, path) in [
        "/api/public/otel/v1/traces",
        "/otlp/v1/traces",
        "/a/b/c/v1/traces",
    ]
    .into_iter()
    .enumerate()
    {
        let body = execution(&format!("agent-{i}"), i as u64).encode_to_vec();
        assert_eq!(
            world
                .post(path, PROTOBUF, body)
                .send()
                .await
                .expect("an answer")
                .status(),
            200,
            "{path}"
        );
        assert_eq!(
            world.records("default", &format!("agent-{i}")).await.len(),
            1,
            "{path}"
        );
    }
    for path in ["/otlp/v1/metrics", "/otlp/v1/logs"] {
        assert_eq!(
            world
                .post(path, PROTOBUF, "")
                .send()
                .await
                .expect("an answer")
                .status(),
            200,
            "{path}"
        );
    }
    for path in ["/", "/v1", "/xv1/traces", "/v1/traces/x", "/v2/traces"] {
        assert_eq!(
            world
                .post(path, PROTOBUF, "")
                .send()
                .await
                .expect("an answer")
                .status(),
            404,
            "{path}"
        );
    }
    let url = format!("http://{}/otlp/v1/traces", world.http);
    assert_eq!(
        reqwest::Client::new()
            .get(url)
            .send()
            .await
            .expect("an answer")
            .status(),
        405
    );
    world.stop().await;
}
