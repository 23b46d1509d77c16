//! Spans to vitals, against bare decoding of the same bytes.
//!
//! The bodies are those of the captures where they are to be found (`IMMUNE_CAPTURES`, else beside the workspace),
//! else agents' runs made here. Each iteration takes them all under fresh trace ids, as new runs would come.

use immune_domain::{RunId, Timestamp};
use immune_ingestion::assemble::{Assembler, Config, Runs};
use immune_ingestion::dialect::Dialect;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn main() {
    let bodies = bodies();
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    println!(
        "{} requests, {} spans, {bytes} bytes",
        bodies.len(),
        spans(&bodies)
    );
    divan::main();
}

/// The floor: prost alone.
#[divan::bench]
fn decode(bencher: divan::Bencher<'_, '_>) {
    let bodies = bodies();
    let spans = spans(&bodies);
    bencher.counter(divan::counter::ItemsCount::new(spans)).bench(|| {
        for body in &bodies {
            divan::black_box(decoded(body));
        }
    });
}

/// Decoding, assembling, extracting; every trace new, and forgotten when it is over.
#[divan::bench]
fn decode_and_extract(bencher: divan::Bencher<'_, '_>) {
    let bodies = bodies();
    let spans = spans(&bodies);
    let mut world = World::new();
    bencher
        .counter(divan::counter::ItemsCount::new(spans))
        .bench_local(|| {
            world.begin();
            for body in &bodies {
                let mut request = decoded(body);
                world.renew(&mut request);
                world.take(&request);
            }
            world.end()
        });
}

/// Assembling and extracting alone, of decoded requests.
#[divan::bench]
fn extract(bencher: divan::Bencher<'_, '_>) {
    let mut requests: Vec<ExportTraceServiceRequest> = bodies().iter().map(|body| decoded(body)).collect();
    let spans = spans(&bodies());
    let mut world = World::new();
    bencher
        .counter(divan::counter::ItemsCount::new(spans))
        .bench_local(|| {
            world.begin();
            for request in &mut requests {
                world.renew(request);
                world.take(request);
            }
            world.end()
        });
}

struct World {
    assembler: Assembler,
    run: RunId,
    now: Timestamp,
    round: u8,
}

impl World {
    fn new() -> Self {
        let now = Timestamp::from_epoch_seconds(1_900_000_000.0).expect("a time");
        let assembler = Assembler::new(Config::default(), Dialect::builtin());
        World {
            assembler,
            run: RunId::default(),
            now,
            round: 0,
        }
    }

    fn begin(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// Other trace ids in each round, so that no run is taken for a repetition.
    fn renew(&self, request: &mut ExportTraceServiceRequest) {
        let scopes = request
            .resource_spans
            .iter_mut()
            .flat_map(|resource| &mut resource.scope_spans);
        for span in scopes.flat_map(|scope| &mut scope.spans) {
            if let Some(first) = span.trace_id.first_mut() {
                *first = first.wrapping_add(self.round);
            }
        }
    }

    fn take(&mut self, request: &ExportTraceServiceRequest) {
        let mut out = Vec::new();
        let runs = Runs {
            stated: None,
            otherwise: &self.run,
        };
        self.assembler.accept(runs, request, self.now, &mut out);
        divan::black_box(out);
    }

    fn end(&mut self) -> usize {
        let mut out = Vec::new();
        self.now = self.now.plus(Duration::from_secs(3_600));
        self.assembler.tick(self.now, &mut out);
        out.len()
    }
}

fn decoded(body: &[u8]) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(body).expect("the bodies are valid")
}

fn spans(bodies: &[Vec<u8>]) -> usize {
    let requests = bodies.iter().map(|body| decoded(body));
    let scopes = requests
        .flat_map(|request| request.resource_spans)
        .flat_map(|resource| resource.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

fn bodies() -> Vec<Vec<u8>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures");
    let captures = std::env::var_os("IMMUNE_CAPTURES").map_or(beside, PathBuf::from);
    let mut paths = Vec::new();
    for capture in children(&captures) {
        for scenario in children(&capture) {
            paths.extend(children(&scenario).into_iter().filter(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().ends_with(".traces.pb"))
            }));
        }
    }
    paths.sort();
    if paths.is_empty() {
        return made();
    }
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("a capture can be read"))
        .collect()
}

fn children(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// A thousand runs of an agent with three model calls and two tools, each span with a prompt's worth of text.
fn made() -> Vec<Vec<u8>> {
    let text = |key: &str, value: &str| KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.into())),
        }),
        ..KeyValue::default()
    };
    let number = |key: &str, value: i64| KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(Value::IntValue(value)),
        }),
        ..KeyValue::default()
    };
    let span = |trace: u128, id: u64, parent: u64, operation: &str| Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: if parent == 0 {
            Vec::new()
        } else {
            parent.to_be_bytes().to_vec()
        },
        flags: 0x100,
        name: operation.into(),
        start_time_unix_nano: 1_795_000_000_000_000_000 + id,
        end_time_unix_nano: 1_795_000_001_000_000_000 - id,
        attributes: vec![
            text("gen_ai.operation.name", operation),
            text("gen_ai.agent.name", "assistant"),
            text("gen_ai.tool.name", "search"),
            text("gen_ai.request.model", "model-1"),
            text(
                "gen_ai.input.messages",
                &"what is the weather in Paris? ".repeat(40),
            ),
            number("gen_ai.usage.input_tokens", 120),
            number("gen_ai.usage.output_tokens", 11),
        ],
        ..Span::default()
    };
    (1..=1_000_u128)
        .map(|trace| {
            let calls = [
                (2, "chat"),
                (3, "execute_tool"),
                (4, "chat"),
                (5, "execute_tool"),
                (6, "chat"),
            ];
            let mut spans: Vec<Span> = calls
                .iter()
                .map(|(id, operation)| span(trace, *id, 1, operation))
                .collect();
            spans.push(span(trace, 1, 0, "invoke_agent"));
            let scope_spans = vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }];
            let resource_spans = vec![ResourceSpans {
                scope_spans,
                ..ResourceSpans::default()
            }];
            ExportTraceServiceRequest { resource_spans }.encode_to_vec()
        })
        .collect()
}
