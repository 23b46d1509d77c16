//! Rows as the telemetry of which they are records: each becomes a trace, and what ingestion reads from its bytes is judged.

use super::rows::Row;
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, Timestamp};
use immune_ingestion::assemble::{Assembler, Config, Emitted, Runs};
use immune_ingestion::dialect::Dialect;
use immune_ingestion::view::wire;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, status::StatusCode};
use prost::Message;

/// Tool calls of one execution that become spans. More than any recording has; beyond it nothing is judged otherwise.
const CALLS_MAX: usize = 1_000;

/// Reads rows as ingestion would.
pub struct Otlp {
    assembler: Assembler,
    traces: u64,
    read: Vec<Emitted>,
}

impl Otlp {
    /// Nothing read yet.
    pub fn new() -> Self {
        Otlp {
            assembler: Assembler::new(Config::default(), Dialect::builtin()),
            traces: 0,
            read: Vec::new(),
        }
    }

    /// What ingestion makes of a row that ended at `ended`.
    ///
    /// # Errors
    /// When it does not make one whole execution of it.
    pub fn read(&mut self, row: &Row, key: &AgentKey, ended: Timestamp) -> anyhow::Result<Vitals> {
        self.traces += 1;
        let body = Bytes::from(request(row, key, self.traces, ended).encode_to_vec());
        let checked = wire::check(body, usize::MAX)
            .ok()
            .context("ingestion refuses the spans of a row")?;
        let runs = Runs {
            stated: Some(&key.run),
            otherwise: &key.run,
        };
        self.read.clear();
        self.assembler.accept(runs, checked.view(), ended, &mut self.read);
        // The trace is whole: nothing is to be waited for.
        self.assembler.drain(ended, &mut self.read);
        let latest = self.read.drain(..).next_back();
        match latest {
            Some(Emitted::Vitals(vitals)) => {
                ensure!(
                    vitals.key == *key,
                    "ingestion takes agent {key} for {}",
                    vitals.key
                );
                Ok(vitals)
            }
            Some(Emitted::Retracted { .. }) | None => {
                bail!("ingestion sees no execution in the spans of a row")
            }
        }
    }
}

/// The spans of a row: the agent's own, and one for each tool call; where nobody counted those, a model's alone.
fn request(row: &Row, key: &AgentKey, trace: u64, ended: Timestamp) -> ExportTraceServiceRequest {
    let end = ended.as_micros().unsigned_abs() * 1_000;
    let latency = (row.latency_ms.unwrap_or(0.0) * 1e6).round().max(0.0) as u64;
    let span = |id: u64, name: &str, attributes: Vec<KeyValue>| Span {
        trace_id: u128::from(trace).to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        name: name.to_owned(),
        start_time_unix_nano: end.saturating_sub(latency),
        end_time_unix_nano: end,
        attributes,
        ..Span::default()
    };
    let mut own = vec![text("immune.agent.id", key.agent.as_str())];
    own.extend(row.task.as_deref().map(|task| text("immune.task_type", task)));
    own.extend(
        row.token_count
            .map(|count| whole("gen_ai.usage.total_tokens", count)),
    );
    own.extend(row.retries.map(|count| whole("http.request.resend_count", count)));
    let operation = match row.tool_calls {
        Some(_) => "invoke_agent",
        None => {
            // It stopped for a tool, and nothing says how many it asked for.
            let reasons = ArrayValue {
                values: vec![value(Value::StringValue("tool_calls".to_owned()))],
            };
            own.push(attribute(
                "gen_ai.response.finish_reasons",
                Value::ArrayValue(reasons),
            ));
            "chat"
        }
    };
    own.push(text("gen_ai.operation.name", operation));
    let mut spans = vec![Span {
        status: (row.success == Some(false)).then(|| Status {
            message: String::new(),
            code: StatusCode::Error.into(),
        }),
        ..span(1, operation, own)
    }];
    let calls = row.tool_calls.unwrap_or(0.0) as usize;
    spans.extend((0..calls.min(CALLS_MAX)).map(|call| Span {
        parent_span_id: 1_u64.to_be_bytes().to_vec(),
        ..span(
            2 + call as u64,
            "execute_tool",
            vec![text("gen_ai.operation.name", "execute_tool")],
        )
    }));
    let scope_spans = ScopeSpans {
        spans,
        ..ScopeSpans::default()
    };
    let resource_spans = ResourceSpans {
        scope_spans: vec![scope_spans],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![resource_spans],
    }
}

fn text(key: &str, text: &str) -> KeyValue {
    attribute(key, Value::StringValue(text.to_owned()))
}

fn whole(key: &str, count: f64) -> KeyValue {
    attribute(key, Value::IntValue(count as i64))
}

fn attribute(key: &str, of: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(value(of)),
        ..KeyValue::default()
    }
}

fn value(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

#[cfg(test)]
#[path = "otlp_tests.rs"]
mod tests;
