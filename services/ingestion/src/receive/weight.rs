//! What a request will weigh once it is decoded, found out from its bytes before anything is allocated.
//!
//! An empty span is two bytes on the wire and some 250 in memory, and 16 MiB of them compress to 16 KiB: without
//! this, a small request takes gigabytes. The sums are those of the structs in lists; what lists keep in reserve and
//! what the allocator adds make at most some two and a half times of it. Malformed bytes are left to the decoder.

use crate::metrics::Signal;
use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, SummaryDataPoint,
};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::encoding::decode_varint;
use std::mem::size_of;

/// Messages within messages that are looked into; decoders refuse fewer (prost 100, serde_json 128).
const DEPTH_MAX: usize = 130;

/// Messages of OTLP that hold lists of others.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Traces,
    ResourceSpans,
    ScopeSpans,
    Span,
    Event,
    Link,
    Logs,
    ResourceLogs,
    ScopeLogs,
    LogRecord,
    Metrics,
    ResourceMetrics,
    ScopeMetrics,
    Metric,
    Numbers,
    Histogram,
    ExponentialHistogram,
    Summary,
    NumberPoint,
    HistogramPoint,
    ExponentialPoint,
    SummaryPoint,
    Buckets,
    Exemplar,
    Resource,
    EntityRef,
    Scope,
    KeyValue,
    AnyValue,
    Values,
    KeyValues,
    /// Holds nothing that weighs more in memory than on the wire.
    Leaf,
}

impl Kind {
    fn root(signal: Signal) -> Self {
        match signal {
            Signal::Traces => Kind::Traces,
            Signal::Metrics => Kind::Metrics,
            Signal::Logs => Kind::Logs,
        }
    }

    /// What stands in a field with `bytes` inside, and its weight in memory; 0 for what is part of its holder.
    fn field(self, number: u64, bytes: usize) -> Option<(Kind, usize)> {
        let inside = match (self, number) {
            (Kind::Traces, 1) => (Kind::ResourceSpans, size_of::<ResourceSpans>()),
            (Kind::ResourceSpans, 2) => (Kind::ScopeSpans, size_of::<ScopeSpans>()),
            (Kind::ScopeSpans, 2) => (Kind::Span, size_of::<Span>()),
            (Kind::Span, 11) => (Kind::Event, size_of::<Event>()),
            (Kind::Span, 13) => (Kind::Link, size_of::<Link>()),
            (Kind::Logs, 1) => (Kind::ResourceLogs, size_of::<ResourceLogs>()),
            (Kind::ResourceLogs, 2) => (Kind::ScopeLogs, size_of::<ScopeLogs>()),
            (Kind::ScopeLogs, 2) => (Kind::LogRecord, size_of::<LogRecord>()),
            (Kind::LogRecord, 5) => (Kind::AnyValue, 0),
            (Kind::Metrics, 1) => (Kind::ResourceMetrics, size_of::<ResourceMetrics>()),
            (Kind::ResourceMetrics, 2) => (Kind::ScopeMetrics, size_of::<ScopeMetrics>()),
            (Kind::ScopeMetrics, 2) => (Kind::Metric, size_of::<Metric>()),
            (Kind::Metric, 5 | 7) => (Kind::Numbers, 0),
            (Kind::Metric, 9) => (Kind::Histogram, 0),
            (Kind::Metric, 10) => (Kind::ExponentialHistogram, 0),
            (Kind::Metric, 11) => (Kind::Summary, 0),
            (Kind::Numbers, 1) => (Kind::NumberPoint, size_of::<NumberDataPoint>()),
            (Kind::Histogram, 1) => (Kind::HistogramPoint, size_of::<HistogramDataPoint>()),
            (Kind::ExponentialHistogram, 1) => {
                (Kind::ExponentialPoint, size_of::<ExponentialHistogramDataPoint>())
            }
            (Kind::Summary, 1) => (Kind::SummaryPoint, size_of::<SummaryDataPoint>()),
            (Kind::ExponentialPoint, 8 | 9) => (Kind::Buckets, 0),
            // One byte of the wire is one number, packed or not.
            (Kind::Buckets, 2) => (Kind::Leaf, bytes.max(1).saturating_mul(size_of::<u64>())),
            (Kind::SummaryPoint, 6) => (Kind::Leaf, size_of::<ValueAtQuantile>()),
            (Kind::NumberPoint, 5) | (Kind::HistogramPoint, 8) | (Kind::ExponentialPoint, 11) => {
                (Kind::Exemplar, size_of::<Exemplar>())
            }
            (Kind::ResourceSpans | Kind::ResourceLogs | Kind::ResourceMetrics, 1) => (Kind::Resource, 0),
            (Kind::ScopeSpans | Kind::ScopeLogs | Kind::ScopeMetrics, 1) => (Kind::Scope, 0),
            (Kind::Resource, 3) => (Kind::EntityRef, size_of::<EntityRef>()),
            (Kind::EntityRef, 3 | 4) => (Kind::Leaf, size_of::<String>()),
            (Kind::Resource | Kind::ExponentialPoint | Kind::KeyValues, 1)
            | (Kind::Scope | Kind::Event, 3)
            | (Kind::Link, 4)
            | (Kind::LogRecord, 6)
            | (Kind::NumberPoint | Kind::SummaryPoint | Kind::Exemplar, 7)
            | (Kind::Span | Kind::HistogramPoint, 9)
            | (Kind::Metric, 12) => (Kind::KeyValue, size_of::<KeyValue>()),
            (Kind::KeyValue, 2) => (Kind::AnyValue, 0),
            (Kind::AnyValue, 5) => (Kind::Values, 0),
            (Kind::AnyValue, 6) => (Kind::KeyValues, 0),
            (Kind::Values, 1) => (Kind::AnyValue, size_of::<AnyValue>()),
            // Fields are numbers, not our own words: those that are not listed hold nothing that grows.
            (_, _) => return None,
        };
        Some(inside)
    }
}

/// The weight of a protobuf body, bytes. Counting ends above `max`.
pub(super) fn protobuf(signal: Signal, body: &[u8], max: usize) -> usize {
    let mut weight = 0;
    weigh(Kind::root(signal), body, 0, &mut weight, max);
    weight
}

fn weigh(kind: Kind, mut wire: &[u8], depth: usize, weight: &mut usize, max: usize) {
    while let Some((number, value)) = next(&mut wire) {
        let Some((inside, bytes)) = kind.field(number, value.len()) else {
            continue;
        };
        *weight = weight.saturating_add(bytes);
        if *weight > max {
            return;
        }
        if depth < DEPTH_MAX {
            weigh(inside, value, depth + 1, weight, max);
        }
    }
}

/// The next field's number and, if it has a length, its bytes. The fields of a group count as those of its holder,
/// which can only be too many.
fn next<'a>(wire: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let tag = decode_varint(wire).ok()?;
    let mut value: &[u8] = &[];
    let length = match tag & 7 {
        0 => decode_varint(wire).map(|_| 0).ok()?,
        1 => 8,
        2 => usize::try_from(decode_varint(wire).ok()?).ok()?,
        5 => 4,
        _ => 0,
    };
    let (here, rest) = wire.split_at_checked(length)?;
    *wire = rest;
    if tag & 7 == 2 {
        value = here;
    }
    Some((tag >> 3, value))
}

/// The weight of a JSON body, bytes. Counting ends above `max`.
///
/// Only objects that stand in lists weigh, by how many objects they are in: the fourth is a span, metric or log
/// record (or a resource's attribute), deeper ones are attributes, events, links, values, or points of metrics. What
/// serde reads and what becomes of it exist at the same time.
pub(super) fn json(signal: Signal, body: &[u8], max: usize) -> usize {
    let (mut weight, mut objects) = (0usize, 0usize);
    // Whether each open bracket is a list's. Deeper ones than this are refused by the decoder.
    let mut lists = Vec::with_capacity(DEPTH_MAX);
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                while let Some(inside) = bytes.next() {
                    match inside {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            b'{' => {
                objects += 1;
                if lists.last() == Some(&true) {
                    weight += of_object(signal, objects);
                }
                lists.push(false);
            }
            b'[' => lists.push(true),
            b'}' | b']' if lists.pop() == Some(false) => objects = objects.saturating_sub(1),
            _ => {}
        }
        if weight > max || lists.len() > DEPTH_MAX {
            break;
        }
    }
    weight
}

/// Both forms of an object that is in so many objects, itself included.
fn of_object(signal: Signal, objects: usize) -> usize {
    match (signal, objects) {
        (Signal::Metrics, _) => size_of::<ExponentialHistogramDataPoint>().max(size_of::<Metric>()),
        (Signal::Traces | Signal::Logs, ..=4) => 2 * size_of::<Span>(),
        (Signal::Traces | Signal::Logs, _) => 3 * size_of::<KeyValue>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message;

    const MAX: usize = usize::MAX;

    fn field(number: u8, inside: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2];
        prost::encoding::encode_varint(inside.len() as u64, &mut field);
        field.extend_from_slice(inside);
        field
    }

    /// A thousand empty messages, within messages of the given fields from the inside out.
    fn hollow(fields: &[u8]) -> Vec<u8> {
        let mut inside = [fields[0] << 3 | 2, 0].repeat(1000);
        for number in &fields[1..] {
            inside = field(*number, &inside);
        }
        inside
    }

    /// Scenario: a thousand empty messages in each place where messages repeat.
    /// Guarantees: they are a request of two bytes each, and weigh at least what a thousand small structs do; spans
    /// weigh the same by either reader.
    #[test]
    fn every_list_weighs() {
        let traces: [&[u8]; 12] = [
            &[1],
            &[2, 1],
            &[2, 2, 1],
            &[9, 2, 2, 1],
            &[11, 2, 2, 1],
            &[13, 2, 2, 1],
            &[3, 11, 2, 2, 1],
            &[4, 13, 2, 2, 1],
            &[1, 1, 1],
            &[3, 1, 2, 1],
            &[1, 5, 2, 9, 2, 2, 1],
            &[1, 6, 2, 9, 2, 2, 1],
        ];
        let logs: [&[u8]; 4] = [&[1], &[2, 1], &[2, 2, 1], &[6, 2, 2, 1]];
        let metrics: [&[u8]; 12] = [
            &[1],
            &[2, 2, 1],
            &[12, 2, 2, 1],
            &[1, 5, 2, 2, 1],
            &[1, 7, 2, 2, 1],
            &[1, 9, 2, 2, 1],
            &[1, 10, 2, 2, 1],
            &[1, 11, 2, 2, 1],
            &[7, 1, 5, 2, 2, 1],
            &[5, 1, 5, 2, 2, 1],
            &[6, 1, 11, 2, 2, 1],
            &[1, 1, 10, 2, 2, 1],
        ];
        for fields in traces {
            let body = hollow(fields);
            ExportTraceServiceRequest::decode(&body[..]).expect("a request");
            let weight = protobuf(Signal::Traces, &body, MAX);
            assert!(weight >= 16_000, "{fields:?}");
            // Requests that are not decoded are weighed while they are checked.
            let checked = crate::view::wire::check(body.into(), MAX).expect("a request");
            assert_eq!(checked.weight(), weight, "{fields:?}");
        }
        for fields in logs {
            let body = hollow(fields);
            ExportLogsServiceRequest::decode(&body[..]).expect("a request");
            assert!(protobuf(Signal::Logs, &body, MAX) >= 16_000, "{fields:?}");
        }
        for fields in metrics {
            let body = hollow(fields);
            ExportMetricsServiceRequest::decode(&body[..]).expect("a request");
            assert!(protobuf(Signal::Metrics, &body, MAX) >= 16_000, "{fields:?}");
        }
    }

    /// Scenario: a thousand numbers of an exponential histogram, packed.
    /// Guarantees: eight bytes each.
    #[test]
    fn packed_numbers_weigh() {
        let numbers = field(2, &[1; 1000]);
        let body = field(
            1,
            &field(2, &field(2, &field(10, &field(1, &field(8, &numbers))))),
        );
        ExportMetricsServiceRequest::decode(&body[..]).expect("a request");
        assert!(protobuf(Signal::Metrics, &body, MAX) >= 8_000);
    }

    /// Guarantees: counting stops above the limit, and bytes of any kind do no harm.
    #[test]
    fn counting_ends() {
        let body = hollow(&[2, 2, 1]);
        assert!(protobuf(Signal::Traces, &body, 1_000) < 2_000);
        assert!(json(Signal::Traces, "[{".repeat(1_000_000).as_bytes(), 1_000_000) < 1_001_000);
        for body in [&[0xff; 20][..], &[0x0a, 0xff, 0xff, 0xff, 0x7f], &[0x0a, 5, 1]] {
            assert!(protobuf(Signal::Traces, body, MAX) < 1_000);
        }
        for body in ["", "}", "]", "\"", "\"\\", "[[[[", "{\"a\":\"{[{[{[\"}"] {
            assert_eq!(json(Signal::Traces, body.as_bytes(), MAX), 0, "{body}");
        }
    }

    /// Scenario: empty spans and ordinary attributes in JSON.
    /// Guarantees: the former weigh much more than their text, the latter hardly more.
    #[test]
    fn json_weighs_by_place() {
        let spans =
            |spans: &str| format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
        let empty = spans(&vec!["{}"; 1000].join(","));
        assert!(json(Signal::Traces, empty.as_bytes(), MAX) >= 400_000);
        let attribute = r#"{"key":"gen_ai.usage.input_tokens","value":{"intValue":"100"}}"#;
        let attributes = spans(&format!(
            r#"{{"attributes":[{}]}}"#,
            vec![attribute; 1000].join(",")
        ));
        assert!(json(Signal::Traces, attributes.as_bytes(), MAX) < 4 * attributes.len());
    }
}
