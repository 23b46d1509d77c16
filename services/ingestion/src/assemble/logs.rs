//! Log records that tell tokens of a span.
//!
//! Instrumentations may send each model call's details as a log record too (`gen_ai.client.inference.operation.
//! details`). Where one span stands for several calls the records hold what the span lacks; otherwise they repeat
//! it. [`super::tree::Spans::usage`] decides which; nothing is counted twice.

use super::trace::TraceKey;
use super::{Assembler, Emitted, Runs};
use crate::dialect::Fact;
use immune_domain::id::is_well_formed;
use immune_domain::{RunId, Timestamp};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

impl Assembler {
    /// Takes the log records of a request. Returns how many told tokens of a span; all others are of no use here,
    /// and none is refused.
    pub fn accept_logs(
        &mut self,
        runs: Runs<'_>,
        request: &ExportLogsServiceRequest,
        now: Timestamp,
        out: &mut Vec<Emitted>,
    ) -> u64 {
        let mut found = Vec::new();
        let mut reading = self.table.reading();
        for resource_logs in &request.resource_logs {
            let resource = resource_logs
                .resource
                .as_ref()
                .map_or(&[][..], |resource| &resource.attributes);
            self.table.read(&mut reading, resource.iter());
            let named = reading
                .text(Fact::Run)
                .filter(|run| is_well_formed(run))
                .map(RunId::new);
            let run = runs.of(named.as_ref());
            for record in resource_logs
                .scope_logs
                .iter()
                .flat_map(|scope| &scope.log_records)
            {
                self.table.read(&mut reading, record.attributes.iter());
                let tokens = reading
                    .count(Fact::InputTokens)
                    .zip(reading.count(Fact::OutputTokens));
                if let (Some((trace, span)), Some((input, output))) = (ids(record), tokens) {
                    let fingerprint = fingerprint(record, reading.text(Fact::ResponseId), input, output);
                    found.push((
                        TraceKey {
                            run: run.clone(),
                            id: trace,
                        },
                        span,
                        fingerprint,
                        input,
                        output,
                    ));
                }
            }
        }
        let told = found.len() as u64;
        let mut touched = BTreeSet::new();
        for (key, span, fingerprint, input, output) in found {
            let known = self.by_key.get(&key).copied();
            let serial = known.unwrap_or_else(|| self.open(&key, now));
            self.with(serial, |trace, _, _| {
                if trace.spans.add_logged(span, fingerprint, input, output) {
                    trace.changed();
                    trace.look_needed();
                    touched.insert(serial);
                }
            });
        }
        self.settle(touched, now, out);
        told
    }
}

/// Trace and span that a record belongs to, when it names both.
fn ids(record: &LogRecord) -> Option<(u128, u64)> {
    let trace = u128::from_be_bytes(record.trace_id.as_slice().try_into().ok()?);
    let span = u64::from_be_bytes(record.span_id.as_slice().try_into().ok()?);
    (trace != 0 && span != 0).then_some((trace, span))
}

/// The same for a record that is sent again, another for another call.
fn fingerprint(record: &LogRecord, response: Option<&str>, input: u64, output: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (
        record.time_unix_nano,
        record.observed_time_unix_nano,
        response,
        input,
        output,
    )
        .hash(&mut hasher);
    hasher.finish()
}
