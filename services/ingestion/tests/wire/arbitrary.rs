//! Requests of any content.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

/// Up to so many of something, each made anew.
fn some<T>(random: &mut StdRng, max: usize, make: impl Fn(&mut StdRng) -> T) -> Vec<T> {
    (0..random.random_range(0..=max)).map(|_| make(random)).collect()
}

fn perhaps<T>(random: &mut StdRng, make: impl Fn(&mut StdRng) -> T) -> Option<T> {
    random.random_bool(0.7).then(|| make(random))
}

/// A request.
pub fn request(random: &mut StdRng) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: some(random, 3, resource_spans),
    }
}

fn resource_spans(random: &mut StdRng) -> ResourceSpans {
    ResourceSpans {
        resource: perhaps(random, |random| Resource {
            attributes: some(random, 4, attribute),
            dropped_attributes_count: random.random_range(0..3),
            entity_refs: some(random, 2, |random| EntityRef {
                schema_url: text(random),
                r#type: text(random),
                id_keys: some(random, 3, text),
                description_keys: some(random, 3, text),
            }),
        }),
        scope_spans: some(random, 3, |random| ScopeSpans {
            scope: perhaps(random, |random| InstrumentationScope {
                name: text(random),
                version: text(random),
                attributes: some(random, 2, attribute),
                dropped_attributes_count: random.random_range(0..3),
            }),
            spans: some(random, 4, span),
            schema_url: text(random),
        }),
        schema_url: text(random),
    }
}

fn span(random: &mut StdRng) -> Span {
    Span {
        trace_id: some(random, 16, |random| random.random()),
        span_id: some(random, 8, |random| random.random()),
        trace_state: text(random),
        parent_span_id: some(random, 8, |random| random.random()),
        flags: random.random(),
        name: text(random),
        kind: random.random_range(-1..7),
        start_time_unix_nano: random.random(),
        end_time_unix_nano: random.random(),
        attributes: some(random, 8, attribute),
        dropped_attributes_count: random.random_range(0..3),
        events: some(random, 3, |random| Event {
            time_unix_nano: random.random(),
            name: text(random),
            attributes: some(random, 3, attribute),
            dropped_attributes_count: random.random(),
        }),
        dropped_events_count: random.random(),
        links: some(random, 2, |random| Link {
            trace_id: some(random, 16, |random| random.random()),
            span_id: some(random, 8, |random| random.random()),
            trace_state: text(random),
            attributes: some(random, 2, attribute),
            dropped_attributes_count: random.random(),
            flags: random.random(),
        }),
        dropped_links_count: random.random(),
        status: perhaps(random, |random| Status {
            message: text(random),
            code: random.random_range(-1..4),
        }),
    }
}

fn attribute(random: &mut StdRng) -> KeyValue {
    KeyValue {
        key: text(random),
        value: perhaps(random, |random| value(random, 4)),
        key_strindex: random.random_range(0..2),
    }
}

fn value(random: &mut StdRng, nested: u32) -> AnyValue {
    let kinds = if nested == 0 { 6 } else { 8 };
    let value = match random.random_range(0..kinds) {
        0 => Some(Value::StringValue(text(random))),
        1 => Some(Value::BoolValue(random.random())),
        2 => Some(Value::IntValue(random.random())),
        3 => Some(Value::DoubleValue(f64::from_bits(random.next_u64()))),
        4 => Some(Value::BytesValue(some(random, 20, |random| random.random()))),
        5 => perhaps(random, |random| Value::StringValueStrindex(random.random())),
        6 => Some(Value::ArrayValue(ArrayValue {
            values: some(random, 4, |random| value(random, nested - 1)),
        })),
        _ => Some(Value::KvlistValue(KeyValueList {
            values: some(random, 3, |random| KeyValue {
                key: text(random),
                value: Some(value(random, nested - 1)),
                key_strindex: 0,
            }),
        })),
    };
    AnyValue { value }
}

fn text(random: &mut StdRng) -> String {
    const WORDS: [&str; 8] = [
        "",
        "a",
        "gen_ai.usage.input_tokens",
        "k8s.pod.name",
        "naïve",
        "日本語",
        "\u{10ffff}",
        "the quick brown fox jumps over the lazy dog; ",
    ];
    let word = WORDS[random.random_range(0..WORDS.len())];
    word.repeat(random.random_range(1..4))
}
