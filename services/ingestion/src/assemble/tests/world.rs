//! Words to build spans with.

use crate::assemble::{Accepted, Assembler, Config, Emitted, Runs};
use crate::dialect::Dialect;
use immune_domain::vitals::Vitals;
use immune_domain::{RunId, Timestamp};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use std::time::Duration;

/// An assembler, its clock, and what it gave.
pub(crate) struct World {
    pub(crate) assembler: Assembler,
    pub(crate) now: Timestamp,
    pub(crate) out: Vec<Emitted>,
    run: RunId,
}

impl World {
    pub(crate) fn new() -> Self {
        World::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        World::speaking(config, Dialect::builtin())
    }

    pub(crate) fn speaking(config: Config, dialect: Dialect) -> Self {
        let now = Timestamp::from_epoch_seconds(1_000_000.0).expect("a time");
        World {
            assembler: Assembler::new(config, dialect),
            now,
            out: Vec::new(),
            run: RunId::default(),
        }
    }

    /// Sends one request with these spans.
    pub(crate) fn send(&mut self, spans: impl IntoIterator<Item = S>) -> Accepted {
        self.send_from("shop", spans)
    }

    pub(crate) fn send_from(&mut self, service: &str, spans: impl IntoIterator<Item = S>) -> Accepted {
        let request = request(&[("service.name", service.into())], spans);
        let runs = Runs {
            stated: None,
            otherwise: &self.run,
        };
        self.assembler.accept(runs, &request, self.now, &mut self.out)
    }

    /// Lets seconds pass.
    pub(crate) fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now.plus(Duration::from_secs(1));
            self.assembler.tick(self.now, &mut self.out);
        }
    }

    pub(crate) fn drain(&mut self) {
        self.assembler.drain(self.now, &mut self.out);
    }

    /// What was given since the last call.
    pub(crate) fn given(&mut self) -> Vec<Emitted> {
        std::mem::take(&mut self.out)
    }

    /// The one record that was given since the last call, and nothing else.
    pub(crate) fn one(&mut self) -> Vitals {
        match <[Emitted; 1]>::try_from(self.given()) {
            Ok([Emitted::Vitals(vitals)]) => vitals,
            other => panic!("one record expected, not {other:?}"),
        }
    }
}

/// The vitals of spans that arrive in one request.
pub(crate) fn vitals_of(spans: impl IntoIterator<Item = S>) -> Vitals {
    let mut world = World::new();
    world.send(spans);
    world.drain();
    world.one()
}

pub(crate) fn request(
    resource: &[(&str, Said)],
    spans: impl IntoIterator<Item = S>,
) -> ExportTraceServiceRequest {
    let attributes = resource
        .iter()
        .map(|(key, value)| pair(key, value.clone()))
        .collect();
    let scope_spans = spans
        .into_iter()
        .map(|span| ScopeSpans {
            scope: Some(InstrumentationScope {
                name: span.scope.into(),
                ..Default::default()
            }),
            spans: vec![span.span],
            ..Default::default()
        })
        .collect();
    let resource = Some(Resource {
        attributes,
        ..Default::default()
    });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource,
            scope_spans,
            ..Default::default()
        }],
    }
}

/// A value of an attribute.
#[derive(Clone)]
pub(crate) struct Said(Value);

impl From<&str> for Said {
    fn from(text: &str) -> Self {
        Said(Value::StringValue(text.into()))
    }
}

impl From<i64> for Said {
    fn from(n: i64) -> Self {
        Said(Value::IntValue(n))
    }
}

impl From<bool> for Said {
    fn from(yes: bool) -> Self {
        Said(Value::BoolValue(yes))
    }
}

fn pair(key: &str, value: Said) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value.0) }),
        ..Default::default()
    }
}

/// A span in the making. Times are seconds.
#[derive(Clone)]
pub(crate) struct S {
    span: Span,
    scope: &'static str,
}

const TRACE: u128 = 0x7ace;
const SECOND: u64 = 1_000_000_000;
/// Where the tests' spans begin.
const ORIGIN: u64 = 900_000;

impl S {
    /// A span without meaning, from second 0 to 1, root of the trace `TRACE`.
    pub(crate) fn new(id: u64) -> Self {
        let span = Span {
            trace_id: TRACE.to_be_bytes().to_vec(),
            span_id: id.to_be_bytes().to_vec(),
            start_time_unix_nano: ORIGIN * SECOND,
            end_time_unix_nano: (ORIGIN + 1) * SECOND,
            ..Default::default()
        };
        S { span, scope: "app" }
    }

    /// A run of an agent.
    pub(crate) fn agent(id: u64, name: &str) -> Self {
        let span = S::new(id)
            .named(&format!("invoke_agent {name}"))
            .says("gen_ai.operation.name", "invoke_agent");
        span.says("gen_ai.agent.name", name)
    }

    /// A model call that used 10 tokens in and 1 out.
    pub(crate) fn model(id: u64) -> Self {
        S::new(id).says("gen_ai.operation.name", "chat").uses(10, 1)
    }

    /// A tool call.
    pub(crate) fn tool(id: u64, name: &str) -> Self {
        S::new(id)
            .says("gen_ai.operation.name", "execute_tool")
            .says("gen_ai.tool.name", name)
    }

    pub(crate) fn uses(self, input: i64, output: i64) -> Self {
        self.says("gen_ai.usage.input_tokens", input)
            .says("gen_ai.usage.output_tokens", output)
    }

    pub(crate) fn in_trace(mut self, trace: u128) -> Self {
        self.span.trace_id = trace.to_be_bytes().to_vec();
        self
    }

    /// Below a span of the same process, whose SDK says so.
    pub(crate) fn below(mut self, parent: u64) -> Self {
        self.span.parent_span_id = parent.to_be_bytes().to_vec();
        self.span.flags = 0x100;
        self
    }

    /// Below a span of another process.
    pub(crate) fn below_remote(mut self, parent: u64) -> Self {
        self = self.below(parent);
        self.span.flags = 0x300;
        self
    }

    /// The SDK does not say where the parent is.
    pub(crate) fn without_flags(mut self) -> Self {
        self.span.flags = 0;
        self
    }

    pub(crate) fn at(mut self, start: u64, end: u64) -> Self {
        self.span.start_time_unix_nano = (ORIGIN + start) * SECOND;
        self.span.end_time_unix_nano = (ORIGIN + end) * SECOND;
        self
    }

    pub(crate) fn nanos(mut self, start: u64, end: u64) -> Self {
        self.span.start_time_unix_nano = start;
        self.span.end_time_unix_nano = end;
        self
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        self.span.name = name.into();
        self
    }

    pub(crate) fn scope(mut self, scope: &'static str) -> Self {
        self.scope = scope;
        self
    }

    pub(crate) fn server(mut self) -> Self {
        self.span.kind = 2;
        self
    }

    pub(crate) fn fails(mut self) -> Self {
        self.span.status = Some(Status {
            code: 2,
            ..Default::default()
        });
        self
    }

    pub(crate) fn says_ok(mut self) -> Self {
        self.span.status = Some(Status {
            code: 1,
            ..Default::default()
        });
        self
    }

    pub(crate) fn says(mut self, key: &str, value: impl Into<Said>) -> Self {
        self.span.attributes.retain(|pair| pair.key != key);
        self.span.attributes.push(pair(key, value.into()));
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.span.attributes.retain(|pair| pair.key != key);
        self
    }

    pub(crate) fn change(mut self, change: impl FnOnce(&mut Span)) -> Self {
        change(&mut self.span);
        self
    }
}
