//! Traces of agents, in protobuf and JSON.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use std::time::{SystemTime, UNIX_EPOCH};

/// Text.
pub fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

/// An attribute.
pub fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// The machine's time, nanoseconds.
#[allow(clippy::disallowed_methods, reason = "a sender has a clock of its own")]
pub fn now_ns() -> u64 {
    u64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_nanos(),
    )
    .expect("before 2554")
}

/// An agent's execution of one second: one model call (100 tokens in, 20 out) and one tool call. The ids come from
/// `seed`; another seed is another trace.
pub fn execution(agent: &str, seed: u64) -> ExportTraceServiceRequest {
    request(vec![
        model_call(agent, seed),
        tool_call(seed),
        invocation(agent, seed),
    ])
}

/// The agent's own span.
pub fn invocation(agent: &str, seed: u64) -> Span {
    let attributes = vec![
        attribute("gen_ai.operation.name", text("invoke_agent")),
        attribute("immune.agent.id", text(agent)),
        attribute("gen_ai.agent.name", text(agent)),
    ];
    span(seed, 1, None, &format!("invoke_agent {agent}"), attributes)
}

/// The model call beneath the agent's span.
pub fn model_call(agent: &str, seed: u64) -> Span {
    let attributes = vec![
        attribute("gen_ai.operation.name", text("chat")),
        attribute("immune.agent.id", text(agent)),
        attribute("gen_ai.request.model", text("gpt-5")),
        attribute("gen_ai.usage.input_tokens", Value::IntValue(100)),
        attribute("gen_ai.usage.output_tokens", Value::IntValue(20)),
    ];
    span(seed, 2, Some(1), "chat gpt-5", attributes)
}

/// The tool call beneath the agent's span.
pub fn tool_call(seed: u64) -> Span {
    let attributes = vec![
        attribute("gen_ai.operation.name", text("execute_tool")),
        attribute("gen_ai.tool.name", text("search")),
    ];
    span(seed, 3, Some(1), "execute_tool search", attributes)
}

fn span(seed: u64, id: u8, parent: Option<u8>, name: &str, attributes: Vec<KeyValue>) -> Span {
    let end = now_ns();
    let span_id = |id: u8| [&seed.to_be_bytes()[1..], &[id]].concat();
    let trace_id = [[7u8; 8], seed.to_be_bytes()].concat();
    Span {
        trace_id,
        span_id: span_id(id),
        parent_span_id: parent.map(span_id).unwrap_or_default(),
        name: name.to_owned(),
        kind: 1,
        start_time_unix_nano: end - 1_000_000_000,
        end_time_unix_nano: end,
        attributes,
        ..Span::default()
    }
}

/// Spans of one service and scope.
pub fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource = Resource {
        attributes: vec![attribute("service.name", text("shop"))],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "test".to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_spans = vec![ScopeSpans {
        scope: Some(scope),
        spans,
        ..ScopeSpans::default()
    }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans,
            ..ResourceSpans::default()
        }],
    }
}
