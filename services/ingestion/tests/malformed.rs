//! What is not OTLP, too much of it, or slow, through the real receivers: the answer that the specification asks
//! for, other senders served as before, and memory bounded.

mod world;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use http_body_util::Full;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use reqwest::{Method, Response};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, MutexGuard};
use tonic::codec::CompressionEncoding;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tonic_types::pb::Status as RpcStatus;
use tower::ServiceExt;
use world::telemetry::{attribute, execution, invocation, request, text};
use world::{DEADLINE, JSON, PROTOBUF, Plan, World};

const MIB: usize = 1024 * 1024;
/// Memory that the whole test process, senders included, may hold after any case. Requests are of up to 17 MiB here
/// and exist a few times over (built, sent, received, decoded), and the allocator keeps some.
const RSS_MAX: usize = 400 * MIB;

/// One case at a time, so that the memory measured is its own.
static ALONE: Mutex<()> = Mutex::const_new(());
static SEED: AtomicU64 = AtomicU64::new(1_000_000);

struct Case {
    world: World,
    _alone: MutexGuard<'static, ()>,
}

impl Case {
    async fn start() -> Case {
        Case::of(Plan::default()).await
    }

    async fn of(plan: Plan) -> Case {
        let alone = ALONE.lock().await;
        Case {
            world: World::of(plan).await,
            _alone: alone,
        }
    }

    /// Another sender of either protocol is served, memory is within bounds, and the role stops in order.
    async fn end(self) {
        self.still_serves().await;
        self.world.stop().await;
    }

    async fn still_serves(&self) {
        let seed = SEED.fetch_add(2, Ordering::Relaxed);
        assert_eq!(
            self.world
                .post_traces(&execution(&format!("fine-{seed}"), seed))
                .await
                .status(),
            200
        );
        self.world
            .traces()
            .await
            .export(execution(&format!("well-{seed}"), seed + 1))
            .await
            .expect("success");
        for agent in [format!("fine-{seed}"), format!("well-{seed}")] {
            assert_eq!(self.world.record(&agent).await.token_count, Some(120));
        }
        let rss = rss();
        println!("{} MiB held", rss / MIB);
        assert!(rss < RSS_MAX, "{} MiB held", rss / MIB);
    }

    async fn post(&self, content_type: &str, body: Vec<u8>) -> Response {
        self.world
            .post("/v1/traces", content_type, body)
            .send()
            .await
            .expect("an answer")
    }

    async fn post_encoded(&self, encoding: &str, body: Vec<u8>) -> Response {
        let post = self
            .world
            .post("/v1/traces", PROTOBUF, body)
            .header("content-encoding", encoding);
        post.send().await.expect("an answer")
    }

    /// What gRPC says to raw bytes of a message.
    async fn call(&self, body: &[u8], encoding: Option<&str>) -> Status {
        let mut frame = vec![u8::from(encoding.is_some())];
        frame.extend((body.len() as u32).to_be_bytes());
        frame.extend(body);
        let mut call = http::Request::post("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(encoding) = encoding {
            call = call.header("grpc-encoding", encoding);
        }
        let call = call
            .body(tonic::body::Body::new(Full::new(Bytes::from(frame))))
            .expect("a request");
        let channel = Endpoint::new(format!("http://{}", self.world.grpc))
            .expect("an address")
            .connect_lazy();
        let answer = tokio::time::timeout(DEADLINE, channel.oneshot(call))
            .await
            .expect("in time")
            .expect("an answer");
        Status::from_header_map(answer.headers()).expect("a status in the headers")
    }
}

/// Memory held by this process, bytes.
fn rss() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages: usize = statm
        .split(' ')
        .nth(1)
        .expect("the second field")
        .parse()
        .expect("a number");
    pages * 4096
}

/// The answer is a `google.rpc.Status` in the form of the request.
async fn refused(answer: Response, status: u16, form: &str) {
    assert_eq!(answer.status().as_u16(), status);
    assert_eq!(answer.headers()["content-type"], form);
    let body = answer.bytes().await.expect("a body");
    let (code, message) = if form == JSON {
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        (
            body["code"].as_i64().expect("a code"),
            body["message"].as_str().expect("a message").to_owned(),
        )
    } else {
        let status = RpcStatus::decode(body).expect("google.rpc.Status");
        (i64::from(status.code), status.message)
    };
    assert!(code > 0 && !message.is_empty(), "{code} {message}");
}

/// A message that a sender must not repeat as it is.
fn is_final(status: &Status, code: Code) {
    assert_eq!(status.code(), code, "{status:?}");
    assert!(status.get_details_retry_info().is_none(), "{status:?}");
}

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
