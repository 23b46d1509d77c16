//! Executions as OTLP: an `invoke_agent` span over one `chat` span and one `execute_tool` span.

use super::agents::{Execution, name};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

/// One request with executions that end at `now`, nanoseconds since 1970. `salt` makes its ids its own.
pub(crate) fn request(executions: &[Execution], now: u64, salt: u64) -> Vec<u8> {
    let spans = (0_u64..)
        .zip(executions)
        .flat_map(|(n, execution)| of(execution, now, salt, n));
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", "fleet")],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: spans.collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    request.encode_to_vec()
}

fn of(execution: &Execution, now: u64, salt: u64, n: u64) -> [Span; 3] {
    let took = (execution.latency_ms * 1e6) as u64;
    let start = now - took;
    let trace_id = [salt.to_be_bytes(), n.to_be_bytes()].concat();
    let id = |part: u64| (salt.rotate_left(17) ^ (n * 4 + part)).to_be_bytes().to_vec();
    let agent = name(execution.agent);
    let span = |part: u64, name: String, from: u64, to: u64, attributes| Span {
        trace_id: trace_id.clone(),
        span_id: id(part),
        parent_span_id: if part == 0 { Vec::new() } else { id(0) },
        name,
        kind: 1,
        start_time_unix_nano: from,
        end_time_unix_nano: to,
        attributes,
        ..Span::default()
    };
    let middle = start + took / 2;
    [
        span(
            1,
            "chat small".to_owned(),
            start,
            middle,
            vec![
                text("gen_ai.operation.name", "chat"),
                text("gen_ai.request.model", "small"),
                number("gen_ai.usage.input_tokens", execution.input_tokens),
                number("gen_ai.usage.output_tokens", execution.output_tokens),
            ],
        ),
        span(
            2,
            "execute_tool lookup".to_owned(),
            middle,
            now,
            vec![
                text("gen_ai.operation.name", "execute_tool"),
                text("gen_ai.tool.name", "lookup"),
            ],
        ),
        span(
            0,
            format!("invoke_agent {agent}"),
            start,
            now,
            vec![
                text("gen_ai.operation.name", "invoke_agent"),
                text("gen_ai.agent.name", &agent),
                text("immune.agent.id", &agent),
            ],
        ),
    ]
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
