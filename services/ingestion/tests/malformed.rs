//! What is not OTLP, through the real receivers: the answer that the specification asks for, other senders served
//! as before, and memory bounded.

mod world;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use reqwest::Method;
use tonic::Code;
use world::case::{Case, is_final, refused};
use world::telemetry::execution;
use world::{JSON, PROTOBUF};

/// A length-delimited field.
fn field(number: u8, inside: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encoding::encode_varint(inside.len() as u64, &mut field);
    field.extend_from_slice(inside);
    field
}

/// A request with one span that has the given bytes as its attributes field (9).
fn with_attribute_bytes(key_value: &[u8]) -> Vec<u8> {
    let span = [field(1, &[7; 16]), field(2, &[7; 8]), field(9, key_value)].concat();
    field(1, &field(2, &field(2, &span)))
}

/// Scenario: a good request cut off in the middle, in both forms and protocols.
/// Guarantees: 400 in the form of the request; `INVALID_ARGUMENT`.
#[tokio::test(flavor = "multi_thread")]
async fn cut_off() {
    let case = Case::start().await;
    let whole = execution("cut", 1).encode_to_vec();
    let half = &whole[..whole.len() / 2];
    refused(case.post(PROTOBUF, half.to_vec()).await, 400, PROTOBUF).await;
    refused(
        case.post(JSON, br#"{"resourceSpans":[{"sco"#.to_vec()).await,
        400,
        JSON,
    )
    .await;
    is_final(&case.call(half, None).await, Code::InvalidArgument);
    case.end().await;
}

/// Scenario: random bytes as protobuf, JSON, gzip, zstd, deflate, and over gRPC.
/// Guarantees: an answer every time, never 5xx, never a panic.
#[tokio::test(flavor = "multi_thread")]
async fn random_bytes() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| rand::rng().next_u64());
    println!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let case = Case::start().await;
    for _ in 0..100 {
        let mut bytes = vec![0; random.random_range(1..2_000)];
        random.fill(&mut bytes[..]);
        refused(case.post(JSON, bytes.clone()).await, 400, JSON).await;
        // A few bytes may happen to be a message of unknown fields.
        let answer = case.post(PROTOBUF, bytes.clone()).await;
        assert!(
            [200, 400].contains(&answer.status().as_u16()),
            "{}",
            answer.status()
        );
        for encoding in ["gzip", "zstd", "deflate"] {
            refused(case.post_encoded(encoding, bytes.clone()).await, 400, PROTOBUF).await;
        }
        let status = case.call(&bytes, Some("gzip")).await;
        is_final(&status, Code::InvalidArgument);
    }
    case.end().await;
}

/// Scenario: good requests with a few bytes changed.
/// Guarantees: each is taken or refused with 400.
#[tokio::test(flavor = "multi_thread")]
async fn flipped_bytes() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| rand::rng().next_u64());
    println!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let case = Case::start().await;
    for i in 0..300 {
        let mut bytes = execution("flipped", i).encode_to_vec();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        let answer = case.post(PROTOBUF, bytes).await;
        assert!(
            [200, 400].contains(&answer.status().as_u16()),
            "{}",
            answer.status()
        );
    }
    case.end().await;
}

/// Scenario: a string that is not UTF-8.
/// Guarantees: 400, `INVALID_ARGUMENT`.
#[tokio::test(flavor = "multi_thread")]
async fn not_utf8() {
    let case = Case::start().await;
    let bytes = with_attribute_bytes(&field(1, &[0xff, 0xfe, 0x80]));
    refused(case.post(PROTOBUF, bytes.clone()).await, 400, PROTOBUF).await;
    is_final(&case.call(&bytes, None).await, Code::InvalidArgument);
    let json = [
        br#"{"resourceSpans":[{"schemaUrl":""#.as_slice(),
        &[0xff, 0xfe],
        br#""}]}"#,
    ]
    .concat();
    refused(case.post(JSON, json).await, 400, JSON).await;
    case.end().await;
}

/// Scenario: lists in lists, 10,000 deep, in a known and an unknown place.
/// Guarantees: no stack overflow; 400 where they are read.
#[tokio::test(flavor = "multi_thread")]
async fn nested_deep() {
    const DEPTH: usize = 10_000;
    let case = Case::start().await;
    // AnyValue.array_value (5) holds ArrayValue.values (1).
    let mut value = field(1, b"x");
    for _ in 0..DEPTH {
        value = field(5, &field(1, &value));
    }
    let bytes = with_attribute_bytes(&[field(1, b"deep"), field(2, &value)].concat());
    refused(case.post(PROTOBUF, bytes.clone()).await, 400, PROTOBUF).await;
    is_final(&case.call(&bytes, None).await, Code::InvalidArgument);
    let open = r#"{"arrayValue":{"values":["#.repeat(DEPTH);
    let close = "]}}".repeat(DEPTH);
    let json = |before: &str, after: &str| format!("{before}{open}{{}}{close}{after}").into_bytes();
    let before = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"deep","value":"#;
    refused(case.post(JSON, json(before, "}]}]}]}]}")).await, 400, JSON).await;
    let answer = case.post(JSON, json(r#"{"unknown":"#, "}")).await;
    assert!(
        [200, 400].contains(&answer.status().as_u16()),
        "{}",
        answer.status()
    );
    let answer = case.post(JSON, "[".repeat(100_000).into_bytes()).await;
    refused(answer, 400, JSON).await;
    case.end().await;
}

/// Scenario: types, encodings, methods and paths that are not OTLP's, a preflight of a browser, and nothing at all.
/// Guarantees: 415, 405, 404, no permission for browsers; an empty protobuf message is a request.
#[tokio::test(flavor = "multi_thread")]
async fn not_for_us() {
    let case = Case::start().await;
    let good = execution("good", 1).encode_to_vec();
    refused(case.post("text/plain", good.clone()).await, 415, JSON).await;
    refused(case.post_encoded("br", good.clone()).await, 415, PROTOBUF).await;
    assert_eq!(case.call(&good, Some("snappy")).await.code(), Code::Unimplemented);

    let url = format!("http://{}/v1/traces", case.world.http);
    let client = reqwest::Client::new();
    assert_eq!(client.get(&url).send().await.unwrap().status(), 405);
    let elsewhere = case
        .world
        .post("/v1/profiles", PROTOBUF, good)
        .send()
        .await
        .unwrap();
    assert_eq!(elsewhere.status(), 404);
    let preflight = client
        .request(Method::OPTIONS, &url)
        .header("origin", "http://example.com")
        .header("access-control-request-method", "POST")
        .send()
        .await
        .unwrap();
    assert!(!preflight.status().is_success(), "{}", preflight.status());
    let is_cors = |name: &reqwest::header::HeaderName| name.as_str().starts_with("access-control-");
    assert!(
        !preflight.headers().keys().any(is_cors),
        "{:?}",
        preflight.headers()
    );

    for path in ["/v1/traces", "/v1/metrics", "/v1/logs"] {
        for (form, body) in [
            (PROTOBUF, ""),
            (JSON, "{}"),
            ("application/json; charset=utf-8", "{}"),
        ] {
            let answer = case.world.post(path, form, body).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path} {form}");
            let same = form.split(';').next().unwrap();
            assert_eq!(answer.headers()["content-type"], same, "{path} {form}");
        }
    }
    case.world
        .traces()
        .await
        .export(ExportTraceServiceRequest::default())
        .await
        .expect("success");
    case.end().await;
}

/// Scenario: valid requests in forms that no encoder of OTLP writes: a group among the fields, a resource in pieces.
/// Guarantees: taken like any other, with what they say.
#[tokio::test(flavor = "multi_thread")]
async fn unusual_forms() {
    let case = Case::start().await;
    let group = [99 << 3 | 3, 99 << 3 | 4].map(|key: u64| {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(key, &mut bytes);
        bytes
    });
    let whole = execution("grouped", 1).encode_to_vec();
    let grouped = [group.concat(), whole].concat();
    assert_eq!(case.post(PROTOBUF, grouped).await.status(), 200);
    assert_eq!(case.world.record("grouped").await.token_count, Some(120));

    let mut request = execution("pieces", 2);
    let spans = request.resource_spans.remove(0);
    // A message in pieces is the same field several times; here an empty second piece.
    let pieces = field(1, &[spans.encode_to_vec(), field(1, &[])].concat());
    assert_eq!(case.post(PROTOBUF, pieces).await.status(), 200);
    assert_eq!(case.world.record("pieces").await.token_count, Some(120));
    case.end().await;
}
