//! Requests that are small on the wire and huge once decoded. Alone in its process, as the memory it measures is the
//! highest that the process ever held.

mod world;

use flate2::Compression;
use flate2::write::GzEncoder;
use immune_bus::conformance::delivery;
use prost::encoding::encode_varint;
use std::io::Write;
use tonic::Code;
use world::case::{Case, MIB, is_final, refused};
use world::telemetry::{attribute, execution, text};
use world::{JSON, PROTOBUF};

/// How much of an inflated body a test sends: just within the limit.
const BODY: usize = 15 * MIB;
/// The most that this process, senders included, may ever hold. Without weighing, one of the requests below takes
/// 2 GiB.
const HIGHEST_MAX: usize = 500 * MIB;

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(body).expect("memory");
    gzip.finish().expect("memory")
}

/// Empty messages within messages; the fields' numbers from the inside out.
fn hollow(fields: &[u8]) -> Vec<u8> {
    let mut inside = [fields[0] << 3 | 2, 0].repeat(BODY / 2);
    for number in &fields[1..] {
        let mut outside = vec![number << 3 | 2];
        encode_varint(inside.len() as u64, &mut outside);
        outside.extend(inside);
        inside = outside;
    }
    inside
}

/// Memory that this process held at most, bytes.
fn highest() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("the high-water mark");
    let kib: usize = line
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .expect("a number");
    kib * 1024
}

/// Scenario: a few kilobytes that inflate to 15 MiB of empty spans, events, attributes, values, metrics, points or
/// log records, two bytes each; by HTTP in both forms and by gRPC, several at once.
/// Guarantees: 413 and `RESOURCE_EXHAUSTED` that is not to be repeated, before they are decoded; others are served;
/// the memory held at the highest point is bounded.
#[tokio::test(flavor = "multi_thread")]
async fn hollow_requests_are_refused_before_they_are_decoded() {
    let case = Case::start().await;
    let places: [(&str, &[u8]); 8] = [
        ("/v1/traces", &[2, 2, 1]),
        ("/v1/traces", &[9, 2, 2, 1]),
        ("/v1/traces", &[11, 2, 2, 1]),
        ("/v1/traces", &[1, 5, 2, 9, 2, 2, 1]),
        ("/v1/metrics", &[2, 2, 1]),
        ("/v1/metrics", &[1, 10, 2, 2, 1]),
        ("/v1/logs", &[2, 2, 1]),
        ("/v1/logs", &[6, 2, 2, 1]),
    ];
    for (path, fields) in places {
        let body = gzip(&hollow(fields));
        assert!(body.len() < 64 * 1024, "{}", body.len());
        let post = || {
            case.world
                .post(path, PROTOBUF, body.clone())
                .header("content-encoding", "gzip")
                .send()
        };
        for answer in futures::future::join_all([post(), post()]).await {
            refused(answer.expect("an answer"), 413, PROTOBUF).await;
        }
        if path == "/v1/traces" {
            is_final(&case.call(&body, Some("gzip")).await, Code::ResourceExhausted);
        }
    }
    for (path, before, after) in [
        (
            "/v1/traces",
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":["#,
            "]}]}]}",
        ),
        (
            "/v1/metrics",
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":["#,
            "]}]}]}",
        ),
        (
            "/v1/logs",
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":["#,
            "]}]}]}",
        ),
    ] {
        let body = gzip(format!("{before}{}{{}}{after}", "{},".repeat(BODY / 3 - 100)).as_bytes());
        let answer = case
            .world
            .post(path, JSON, body)
            .header("content-encoding", "gzip")
            .send()
            .await;
        refused(answer.expect("an answer"), 413, JSON).await;
    }
    println!("{} MiB at the highest", highest() / MIB);
    assert!(highest() < HIGHEST_MAX, "{} MiB", highest() / MIB);
    case.end().await;
}

/// Scenario: a batch of ordinary spans that fills the limit: twenty attributes of ordinary length on each.
/// Guarantees: it is not taken for a hollow one.
#[tokio::test(flavor = "multi_thread")]
async fn full_requests_are_taken() {
    let mut case = Case::start().await;
    let mut batch = execution("agent-0", 0);
    let spans = &mut batch.resource_spans[0].scope_spans[0].spans;
    let mut bytes = 0;
    for seed in 1.. {
        for mut span in execution("full", seed)
            .resource_spans
            .remove(0)
            .scope_spans
            .remove(0)
            .spans
        {
            span.attributes
                .extend((0..20).map(|i| attribute(&format!("app.tag.{i}"), text("ordinary value"))));
            bytes += prost::Message::encoded_len(&span) + 4;
            spans.push(span);
        }
        if bytes > BODY {
            break;
        }
    }
    let count = spans.len();
    // The bus of this world has one consumer, which takes what comes.
    assert_eq!(
        case.world.post_traces(&batch).await.status(),
        200,
        "{count} spans"
    );
    assert!(delivery(&mut case.world.consumer).await.is_some());
    case.end().await;
}
