//! Requests of executions as instrumented agents send them: encoded once, then sent again and again with ids and times
//! of their own.
//!
//! An execution is a root span `invoke_agent` and two to six children, `chat` and `execute_tool` in turn; children come
//! first, as SDKs export a span when it ends. About 740 bytes per span, without the text of messages.

use bytes::{BufMut, Bytes, BytesMut};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use rand::RngExt;
use std::time::Duration;

/// Spans of a request, as OpenTelemetry's batch processors send by default.
pub const SPANS: usize = 512;

/// Requests that are encoded at least; agents are spread over them, and each has its place in one.
const TEMPLATES: usize = 40;

/// What stands in the place of a trace id: this, then the execution's number within the request.
const TRACE_MARK: [u8; 12] = *b"\xf1mmune-trace";

/// What stands in the place of a time: this in the upper half, microseconds before the sending in the lower.
const TIME_MARK: u32 = 0xf00d_face;

/// Requests of agents `agent-0` to `agent-N`.
pub struct Requests {
    templates: Vec<Template>,
    /// Sets the traces of this run of the program apart from all others.
    run: u32,
    sent: u32,
}

struct Template {
    bytes: Bytes,
    executions: u64,
    /// Where trace ids are, and whose.
    traces: Vec<(usize, u32)>,
    /// Where times are, and how long before the sending.
    times: Vec<(usize, Duration)>,
}

/// One request, ready to be sent.
pub struct Request {
    /// A gRPC frame: five bytes of header, then the message.
    pub framed: Bytes,
    pub executions: u64,
}

impl Request {
    /// The message alone, for HTTP.
    pub fn message(&self) -> Bytes {
        self.framed.slice(5..)
    }
}

impl Requests {
    pub fn new(agents: usize) -> Self {
        let mut first = 0;
        let mut templates = Vec::new();
        while templates.len() < TEMPLATES || first < agents {
            let template = Template::new(first, agents);
            first += template.executions as usize;
            templates.push(template);
        }
        Requests {
            templates,
            run: rand::rng().random(),
            sent: 0,
        }
    }

    /// The next request: executions that nobody has seen, ended just now.
    pub fn next(&mut self) -> Request {
        self.sent += 1;
        let template = &self.templates[self.sent as usize % self.templates.len()];
        let mut framed = BytesMut::with_capacity(template.bytes.len() + 5);
        framed.put_u8(0);
        framed.put_u32(template.bytes.len() as u32);
        framed.put_slice(&template.bytes);
        let message = &mut framed[5..];
        for (at, execution) in &template.traces {
            message[*at..at + 4].copy_from_slice(&self.run.to_be_bytes());
            message[at + 4..at + 8].copy_from_slice(&self.sent.to_be_bytes());
            message[at + 12..at + 16].copy_from_slice(&execution.to_be_bytes());
        }
        let now = super::now();
        for (at, before) in &template.times {
            let nanos = (now - *before).as_nanos() as u64;
            message[*at..at + 8].copy_from_slice(&nanos.to_le_bytes());
        }
        Request {
            framed: framed.freeze(),
            executions: template.executions,
        }
    }
}

impl Template {
    fn new(first: usize, agents: usize) -> Self {
        let (mut spans, mut executions) = (Vec::new(), 0);
        while spans.len() < SPANS {
            let room = SPANS - spans.len() - 1;
            let agent = (first + executions) % agents;
            // An agent always does the same. What is left of a request is for agents of their own.
            let (agent, children) = match 2 + agent % 5 {
                children if children <= room => (agent, children),
                _ => (agents + room, room),
            };
            spans.extend(execution(executions as u32, agent, children));
            executions += 1;
        }
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: resource(),
                    ..Resource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    spans,
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let bytes = Bytes::from(request.encode_to_vec());
        let (mut traces, mut times) = (Vec::new(), Vec::new());
        for at in 0..bytes.len() - 16 {
            if bytes[at..].starts_with(&TRACE_MARK) {
                traces.push((at, u32::from_be_bytes(quarter(&bytes, at + 12))));
            } else if bytes[at + 4..].starts_with(&TIME_MARK.to_le_bytes()) {
                let micros = u32::from_le_bytes(quarter(&bytes, at));
                times.push((at, Duration::from_micros(u64::from(micros))));
            }
        }
        assert_eq!((traces.len(), times.len()), (SPANS, 2 * SPANS), "marks are found");
        Template {
            bytes,
            executions: executions as u64,
            traces,
            times,
        }
    }
}

fn quarter(bytes: &[u8], at: usize) -> [u8; 4] {
    [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
}

/// The spans of one execution, its root last.
fn execution(number: u32, agent: usize, children: usize) -> Vec<Span> {
    let mut trace_id = TRACE_MARK.to_vec();
    trace_id.extend(number.to_be_bytes());
    // Of each kind of agent the same within a tenth, so that nobody is ill.
    let step = 100_000 + (agent % 8) as u32 * 20_000 + number * 7_919 % 10_000;
    let took = step * (children as u32 + 1);
    let span = |id: usize, parent: usize, name: String, start: u32, end: u32, attributes| Span {
        trace_id: trace_id.clone(),
        span_id: (id as u64).to_be_bytes().to_vec(),
        parent_span_id: if parent == 0 {
            Vec::new()
        } else {
            (parent as u64).to_be_bytes().to_vec()
        },
        name,
        kind: 1,
        start_time_unix_nano: time(start),
        end_time_unix_nano: time(end),
        attributes,
        ..Span::default()
    };
    let mut spans: Vec<Span> = (0..children)
        .map(|n| {
            let start = took - step * n as u32;
            let (name, attributes) = if n % 2 == 0 {
                ("chat gpt-4.1-mini".to_owned(), chat(agent))
            } else {
                (format!("execute_tool lookup_{}", agent % 5), tool(agent))
            };
            span(n + 2, 1, name, start, start - step, attributes)
        })
        .collect();
    let name = format!("invoke_agent agent-{agent}");
    spans.push(span(1, 0, name, took, 0, root(agent, children)));
    spans
}

fn time(micros_before: u32) -> u64 {
    u64::from(TIME_MARK) << 32 | u64::from(micros_before)
}

fn root(agent: usize, children: usize) -> Vec<KeyValue> {
    let calls = children.div_ceil(2) as i64;
    let mut attributes = common("invoke_agent");
    attributes.extend([
        text("gen_ai.agent.id", format!("agent-{agent}")),
        text("gen_ai.agent.name", format!("agent-{agent}")),
        text("gen_ai.agent.description", "answers questions about orders"),
        text("gen_ai.request.model", "gpt-4.1-mini"),
        text(
            "gen_ai.conversation.id",
            format!("conversation-{:08}", agent * 31),
        ),
        number("gen_ai.usage.input_tokens", 900 * calls),
        number("gen_ai.usage.output_tokens", 120 * calls),
        text("gen_ai.output.type", "text"),
        number("gen_ai.request.max_tokens", 4_096),
        text("agent.version", "2026.11.3"),
        text("tenant.id", format!("tenant-{}", agent % 40)),
        text("deployment.ring", "production"),
    ]);
    attributes
}

fn chat(agent: usize) -> Vec<KeyValue> {
    let mut attributes = common("chat");
    attributes.extend([
        text("gen_ai.request.model", "gpt-4.1-mini"),
        text("gen_ai.response.model", "gpt-4.1-mini-2025-04-14"),
        text("gen_ai.response.id", format!("chatcmpl-{:020}", agent * 7_919)),
        text(
            "gen_ai.conversation.id",
            format!("conversation-{:08}", agent * 31),
        ),
        number("gen_ai.usage.input_tokens", 900),
        number("gen_ai.usage.output_tokens", 120),
        number("gen_ai.usage.cache_read.input_tokens", 512),
        number("gen_ai.request.max_tokens", 4_096),
        number("gen_ai.request.seed", 7),
        text("gen_ai.output.type", "text"),
        text("gen_ai.openai.response.service_tier", "default"),
        text("openai.response.system_fingerprint", "fp_92f5e1a3c7"),
        text("http.request.method", "POST"),
        number("http.response.status_code", 200),
        text("url.path", "/v1/chat/completions"),
    ]);
    attributes
}

fn tool(agent: usize) -> Vec<KeyValue> {
    let mut attributes = common("execute_tool");
    attributes.extend([
        text("gen_ai.tool.name", format!("lookup_{}", agent % 5)),
        text("gen_ai.tool.type", "function"),
        text("gen_ai.tool.call.id", format!("call_{:024}", agent * 104_729)),
        text("gen_ai.tool.description", "looks an order up by its number"),
    ]);
    attributes
}

fn common(operation: &str) -> Vec<KeyValue> {
    vec![
        text("gen_ai.operation.name", operation),
        text("gen_ai.provider.name", "openai"),
        text("server.address", "api.openai.com"),
        number("server.port", 443),
        number("thread.id", 140_213),
        text("thread.name", "asyncio_0"),
    ]
}

fn resource() -> Vec<KeyValue> {
    [
        ("service.name", "orders-assistant"),
        ("service.namespace", "shop"),
        ("service.version", "2026.11.3"),
        ("service.instance.id", "9b1d2f34-5a0e-4d07-8a62-1f2f6f3b1c22"),
        ("deployment.environment.name", "production"),
        ("telemetry.sdk.language", "python"),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.sdk.version", "1.38.0"),
        ("host.name", "node-17"),
        ("os.type", "linux"),
        ("process.runtime.name", "cpython"),
        ("process.runtime.version", "3.12.8"),
        ("k8s.namespace.name", "shop"),
        ("k8s.pod.name", "orders-assistant-6c5f7d9b4-x2x9k"),
        ("k8s.node.name", "node-17"),
        ("cloud.region", "eu-central-1"),
    ]
    .map(|(key, value)| text(key, value))
    .to_vec()
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
