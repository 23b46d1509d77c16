//! What real frameworks sent, through decoding and assembling, against what really happened.

mod truth;

use immune_domain::vitals::Vitals;
use immune_domain::{RunId, Timestamp};
use immune_ingestion::assemble::{Assembler, Config, Emitted, Runs};
use immune_ingestion::dialect::Dialect;
use immune_ingestion::json;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::path::Path;
use std::time::Duration;
use truth::{Exception, Field, File, Scenario, Signal, Verdicts};

/// What frameworks do not send. Sections are those of otlp-agents.md.
const EXCEPTIONS: &[Exception] = &[];

/// The record that stands of each execution when everything was reported.
fn standing(emitted: Vec<Emitted>) -> Vec<Vitals> {
    let mut standing: Vec<Vitals> = Vec::new();
    for emitted in emitted {
        match emitted {
            Emitted::Vitals(vitals) => {
                let before = standing.iter().position(|other| other.execution == vitals.execution);
                if let Some(before) = before.map(|at| standing.swap_remove(at)) {
                    assert!(vitals.revision > before.revision, "a correction needs a higher revision: {vitals:?}");
                    assert_eq!(vitals.key, before.key, "an execution changed hands without being taken back");
                }
                standing.push(vitals);
            }
            Emitted::Retracted { key, execution, .. } => {
                let at = standing.iter().position(|other| other.execution == execution && other.key == key);
                standing.swap_remove(at.expect("only what stands is taken back"));
            }
        }
    }
    standing
}

fn decode<T: Message + Default + json::Decode>(file: &File, body: &[u8]) -> T {
    let decoded = if file.is_json() {
        <T as json::Decode>::decode(body).map_err(|e| e.to_string())
    } else {
        <T as Message>::decode(body).map_err(|e| e.to_string())
    };
    decoded.unwrap_or_else(|e| panic!("{}: {e}", file.file))
}

/// Feeds a scenario's requests a tenth of a second apart, months after they were recorded, and ends it.
fn run(captures: &Path, scenario: &Scenario, config: Config) -> Vec<Vitals> {
    let run = RunId::default();
    let runs = Runs { stated: None, otherwise: &run };
    let mut assembler = Assembler::new(config, Dialect::builtin());
    let mut now = Timestamp::from_epoch_seconds(1_900_000_000.0).expect("a time");
    let mut emitted = Vec::new();
    for file in &scenario.files {
        now = now.plus(Duration::from_millis(100));
        let body = file.body(captures);
        match file.signal {
            Signal::Traces => {
                let request: ExportTraceServiceRequest = decode(file, &body);
                let accepted = assembler.accept(runs, &request, now, &mut emitted);
                assert_eq!(accepted.rejected_count(), 0, "{}: {}", file.file, accepted.message());
            }
            Signal::Logs => {
                let request: ExportLogsServiceRequest = decode(file, &body);
                assembler.accept_logs(runs, &request, now, &mut emitted);
            }
            Signal::Metrics => drop(decode::<ExportMetricsServiceRequest>(file, &body)),
        }
        assembler.tick(now, &mut emitted);
    }
    assembler.drain(now, &mut emitted);
    assert_eq!(assembler.totals().traces, 0);
    assert_eq!((assembler.totals().bytes, assembler.totals().spans), (0, 0), "the books balance");
    standing(emitted)
}

/// Scenario: every request of every capture, in order, through decoder and assembler.
/// Guarantees: executions, agents, tokens, tools, success, models, latency and conversations are what they really
/// were, except where a named framework does not send them.
#[test]
fn captures_give_the_truth() {
    let Some(captures) = truth::captures() else { return };
    let mut verdicts = Verdicts::default();
    for scenario in truth::scenarios(&captures) {
        let vitals = run(&captures, &scenario, Config::default());
        verdicts.judge(&scenario, &vitals, EXCEPTIONS);
    }
    verdicts.finish(EXCEPTIONS);
}
