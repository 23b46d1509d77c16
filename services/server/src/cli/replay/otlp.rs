//! Rows as the telemetry of which they are records: each becomes a trace, first in OTLP/JSON and then in protobuf, and what
//! ingestion reads from it is judged.

use super::rows::Row;
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, Timestamp};
use immune_ingestion::assemble::{Assembler, Config, Emitted, Runs};
use immune_ingestion::dialect::Dialect;
use immune_ingestion::{json, view::wire};
use prost::Message;
use serde_json::{Value, json};

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
        let sent = request(row, key, self.traces, ended).to_string();
        let sent = json::traces(sent.as_bytes()).context("ingestion refuses the spans of a row")?;
        let checked = wire::check(Bytes::from(sent.encode_to_vec()), usize::MAX)
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

/// The spans of a row, as OTLP/JSON: the agent's own, and one for each tool call; where nobody counted those, a model's
/// alone.
fn request(row: &Row, key: &AgentKey, trace: u64, ended: Timestamp) -> Value {
    let end = ended.as_micros().unsigned_abs() * 1_000;
    let latency = (row.latency_ms.unwrap_or(0.0) * 1e6).round().max(0.0) as u64;
    let span = |id: usize, parent: Option<usize>, name: &str, attributes: Vec<Value>, is_error: bool| {
        json!({
            "traceId": format!("{trace:032x}"), "spanId": format!("{id:016x}"),
            "parentSpanId": parent.map(|parent| format!("{parent:016x}")).unwrap_or_default(), "name": name,
            "startTimeUnixNano": end.saturating_sub(latency).to_string(), "endTimeUnixNano": end.to_string(),
            "attributes": attributes, "status": { "code": if is_error { 2 } else { 0 } },
        })
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
            let reasons = json!({ "arrayValue": { "values": [{ "stringValue": "tool_calls" }] } });
            own.push(json!({ "key": "gen_ai.response.finish_reasons", "value": reasons }));
            "chat"
        }
    };
    own.push(text("gen_ai.operation.name", operation));
    let calls = (row.tool_calls.unwrap_or(0.0) as usize).min(CALLS_MAX);
    let call = |call: usize| {
        let attributes = vec![text("gen_ai.operation.name", "execute_tool")];
        span(2 + call, Some(1), "execute_tool", attributes, false)
    };
    let spans: Vec<Value> = [span(1, None, operation, own, row.success == Some(false))]
        .into_iter()
        .chain((0..calls).map(call))
        .collect();
    json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] })
}

fn text(key: &str, text: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": text } })
}

fn whole(key: &str, count: f64) -> Value {
    json!({ "key": key, "value": { "intValue": count as i64 } })
}

#[cfg(test)]
#[path = "otlp_tests.rs"]
mod tests;
