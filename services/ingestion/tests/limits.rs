//! Too much of it, or too slow, through the real receivers: the answer that the specification asks for, other senders
//! served as before, and memory bounded.

mod world;

use flate2::{Compress, Compression, FlushCompress};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use world::case::{Case, MIB, SEED, is_final, refused};
use world::telemetry::{attribute, execution, invocation, request, text};
use world::{DEADLINE, JSON, PROTOBUF, Plan};

/// Scenario: an attribute of 10 MiB, by HTTP and gRPC, several times; and 100,000 attributes on one span.
/// Guarantees: accepted with the right numbers, and not kept in memory.
#[tokio::test(flavor = "multi_thread")]
async fn huge_attributes() {
    let case = Case::start().await;
    let huge = "x".repeat(10 * MIB);
    for i in 0..4 {
        let mut large = execution(&format!("large-{i}"), i);
        large.resource_spans[0].scope_spans[0].spans[0]
            .attributes
            .push(attribute("gen_ai.prompt", text(&huge)));
        assert_eq!(case.world.post_traces(&large).await.status(), 200);
        case.world.traces().await.export(large).await.expect("success");
        assert_eq!(
            case.world.record(&format!("large-{i}")).await.token_count,
            Some(120)
        );
    }
    let mut many = execution("many", 9);
    for span in &mut many.resource_spans[0].scope_spans[0].spans {
        span.attributes
            .extend((0..100_000).map(|i| attribute(&format!("k{i}"), Value::IntValue(i))));
    }
    assert_eq!(case.world.post_traces(&many).await.status(), 200);
    assert_eq!(case.world.record("many").await.token_count, Some(120));
    case.end().await;
}

/// A gzip of 1 GiB of zeros in about 1 MiB: one compressed MiB that ends on a byte, repeated.
fn gzip_bomb() -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), false);
    let mut block = Vec::with_capacity(64 * 1024);
    compress
        .compress_vec(&vec![0; MIB], &mut block, FlushCompress::Full)
        .expect("room");
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for _ in 0..1024 {
        bomb.extend_from_slice(&block);
    }
    bomb.extend([3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bomb
}

/// Scenario: 1 GiB of zeros in a MiB of gzip, and in as little zstd; eight at once.
/// Guarantees: 413, and `RESOURCE_EXHAUSTED` that is not to be repeated, without the memory.
#[tokio::test(flavor = "multi_thread")]
async fn bombs() {
    let case = Case::start().await;
    let gzip = gzip_bomb();
    assert!(gzip.len() < 2 * MIB, "{}", gzip.len());
    let zstd = zstd::encode_all(&vec![0; MIB][..], 3)
        .expect("compresses")
        .repeat(1024);
    for (encoding, bomb) in [("gzip", &gzip), ("zstd", &zstd)] {
        let answers = (0..4).map(|_| case.post_encoded(encoding, bomb.clone()));
        for answer in futures::future::join_all(answers).await {
            refused(answer, 413, PROTOBUF).await;
        }
        is_final(&case.call(bomb, Some(encoding)).await, Code::ResourceExhausted);
        case.still_serves().await;
    }
    case.end().await;
}

/// Scenario: bodies over 16 MiB, with and without a stated length.
/// Guarantees: 413, and `RESOURCE_EXHAUSTED` that is not to be repeated.
#[tokio::test(flavor = "multi_thread")]
async fn too_large() {
    let case = Case::start().await;
    let mut large = request(vec![invocation("large", 1)]);
    let attributes = &mut large.resource_spans[0].scope_spans[0].spans[0].attributes;
    attributes.push(attribute("gen_ai.prompt", text(&"x".repeat(17 * MIB))));
    let bytes = large.encode_to_vec();
    for _ in 0..5 {
        refused(case.post(PROTOBUF, bytes.clone()).await, 413, PROTOBUF).await;
        let pieces: Vec<_> = bytes
            .chunks(MIB)
            .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
            .collect();
        let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
        let answer = case
            .world
            .post("/v1/traces", JSON, body)
            .send()
            .await
            .expect("an answer");
        refused(answer, 413, JSON).await;
    }
    let status = case
        .world
        .traces()
        .await
        .export(large.clone())
        .await
        .expect_err("too large");
    is_final(&status, Code::ResourceExhausted);
    let mut compressed = case
        .world
        .traces()
        .await
        .send_compressed(CompressionEncoding::Gzip);
    is_final(
        &compressed.export(large).await.expect_err("too large"),
        Code::ResourceExhausted,
    );
    case.end().await;
}

/// Scenario: a sender that begins a body and does not go on; another one that hangs up.
/// Guarantees: 408 after the limit, and its place is free again.
#[tokio::test(flavor = "multi_thread")]
async fn slow_and_gone() {
    let mut plan = Plan::default();
    plan.config.body_seconds_max = 1;
    plan.config.requests_max = 1;
    let case = Case::of(plan).await;
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    let mut slow = TcpStream::connect(case.world.http).await.unwrap();
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 4096];
    let read = tokio::time::timeout(DEADLINE, slow.read(&mut answer))
        .await
        .expect("an answer in time")
        .unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let mut gone = TcpStream::connect(case.world.http).await.unwrap();
    gone.write_all(head.as_bytes()).await.unwrap();
    drop(gone);
    let seed = SEED.fetch_add(1, Ordering::Relaxed);
    let next = execution("next", seed);
    let is_served = async || {
        case.world
            .post_traces(&next)
            .await
            .status()
            .is_success()
            .then_some(())
    };
    world::eventually("the place is free", is_served).await;
    case.end().await;
}
