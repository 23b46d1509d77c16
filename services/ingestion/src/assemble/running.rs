//! Executions that still run.
//!
//! Children end before the agent above them does, so a run that never ends is known by its children. Its id is that
//! of the missing span above them, which is the final one when that span is the execution's own.

use super::span::SpanId;
use super::trace::OpenTrace;
use super::{Assembler, Emitted, Words};
use immune_domain::baseline::Limits;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, Timestamp};

/// Whether the vitals lie beyond one of the limits.
fn exceed(vitals: &Vitals, limits: &Limits) -> bool {
    let beyond =
        |value: Option<f64>, limit: Option<f64>| value.zip(limit).is_some_and(|(value, limit)| value > limit);
    beyond(Some(vitals.latency_ms), limits.latency_ms)
        || beyond(vitals.token_count.map(|tokens| tokens as f64), limits.tokens)
        || beyond(vitals.tool_calls.map(f64::from), limits.tool_calls)
}

/// A running record is given again when spans came, or when its duration has grown by this factor.
const GROWTH: f64 = 1.5;

impl Assembler {
    /// Vitals so far of every execution that still runs, one call each; a trace that fell silent counts no more. Agents whose name only the missing span
    /// tells appear under their service alone.
    pub fn running(&mut self, now: Timestamp, mut each: impl FnMut(&Vitals)) {
        let words = Words {
            config: &self.config,
            dialect: self.table.dialect(),
        };
        for trace in self
            .traces
            .values_mut()
            .filter(|trace| trace.has_open && !trace.is_quiet(&self.config, now))
        {
            for vitals in partial(trace, &words, now) {
                each(&vitals);
            }
        }
    }

    /// Reports the executions that still run and are beyond the limits of their agent. Each is reported again as it
    /// grows, with a higher revision, and replaced by the final record when its span ends.
    pub fn report_running(
        &mut self,
        now: Timestamp,
        mut limits: impl FnMut(&AgentKey) -> Option<Limits>,
        out: &mut Vec<Emitted>,
    ) {
        let words = Words {
            config: &self.config,
            dialect: self.table.dialect(),
        };
        for trace in self
            .traces
            .values_mut()
            .filter(|trace| trace.has_open && !trace.is_quiet(&self.config, now))
        {
            let bytes = trace.bytes();
            let is_new = trace.partial.is_none();
            let partial = partial(trace, &words, now);
            let ids: Vec<SpanId> = partial.iter().filter_map(span_of).collect();
            trace.retract_provisional(&ids, &mut self.totals, out);
            for (id, vitals) in ids.into_iter().zip(partial) {
                if !limits(&vitals.key).is_some_and(|limits| exceed(&vitals, &limits)) {
                    continue;
                }
                let before = trace.reports.standing().iter().find(|reported| reported.id == id);
                if before.is_none_or(|before| is_new || vitals.latency_ms > before.latency_ms * GROWTH) {
                    trace
                        .reports
                        .report(trace.key.id, id, vitals, &mut self.totals, out);
                }
            }
            self.totals.bytes = self.totals.bytes + trace.bytes() - bytes;
        }
    }
}

/// The vitals so far, computed when spans came and moved on by the time since.
fn partial(trace: &mut OpenTrace, words: &Words<'_>, now: Timestamp) -> Vec<Vitals> {
    if trace.partial.is_none() {
        trace.partial = Some(trace.running(words, trace.last));
    }
    let silence = now.since(trace.last);
    let mut partial = trace.partial.clone().unwrap_or_default();
    for vitals in &mut partial {
        vitals.latency_ms += silence.as_secs_f64() * 1e3;
        vitals.timestamp = vitals.timestamp.plus(silence);
        vitals.received_at = now;
    }
    partial
}

/// The span part of the execution's id, as [`crate::extract::execution_id`] writes it.
fn span_of(vitals: &Vitals) -> Option<SpanId> {
    let (_, span) = vitals.execution.as_str().split_once('-')?;
    SpanId::from_str_radix(span, 16).ok()
}
