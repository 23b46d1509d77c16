//! Spans to vitals, by the reader over the bytes and by prost, and what reading alone takes.
//!
//! The bodies are those of the captures where they are to be found (`IMMUNE_CAPTURES`, else beside the workspace),
//! else agents' runs made here. Each iteration takes them all under fresh trace ids, as new runs would come.

use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use immune_domain::{RunId, Timestamp};
use immune_ingestion::assemble::{Assembler, Config, Runs};
use immune_ingestion::dialect::{Dialect, Table};
use immune_ingestion::view::{RequestView, ResourceView, ScopeView, SpanView, wire};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let bodies = bodies();
    let bytes: usize = bodies.iter().map(Bytes::len).sum();
    println!(
        "{} requests, {} spans, {bytes} bytes",
        bodies.len(),
        spans(&bodies)
    );
    divan::main();
}

/// The floor: a copy of the bytes.
#[divan::bench]
fn copy(bencher: Bencher<'_, '_>) {
    each(bencher, |body| drop(black_box(Bytes::copy_from_slice(body))));
}

/// What decides whether the bytes are a request, and what it weighs.
#[divan::bench]
fn wire_check(bencher: Bencher<'_, '_>) {
    each(bencher, |body| drop(black_box(checked(body))));
}

/// Checking, and reading of each span what the rules ask for.
#[divan::bench]
fn wire_check_and_read(bencher: Bencher<'_, '_>) {
    let table = Table::new(Dialect::builtin());
    each(bencher, |body| read(&table, checked(body).view()));
}

/// Checking, assembling, extracting; every trace new, and forgotten when it is over.
#[divan::bench]
fn wire_check_and_extract(bencher: Bencher<'_, '_>) {
    extract(bencher, |world, body| world.take(checked(body).view()));
}

/// prost alone.
#[divan::bench]
fn prost_decode(bencher: Bencher<'_, '_>) {
    each(bencher, |body| drop(black_box(decoded(body))));
}

/// Decoding, and reading of each span what the rules ask for.
#[divan::bench]
fn prost_decode_and_read(bencher: Bencher<'_, '_>) {
    let table = Table::new(Dialect::builtin());
    each(bencher, |body| read(&table, &decoded(body)));
}

/// Decoding, assembling, extracting.
#[divan::bench]
fn prost_decode_and_extract(bencher: Bencher<'_, '_>) {
    extract(bencher, |world, body| world.take(&decoded(body)));
}

fn each(bencher: Bencher<'_, '_>, act: impl Fn(&Bytes) + Sync) {
    let bodies = bodies();
    let spans = spans(&bodies);
    bencher
        .counter(ItemsCount::new(spans))
        .bench(|| bodies.iter().for_each(&act));
}

fn extract(bencher: Bencher<'_, '_>, mut act: impl FnMut(&mut World, &Bytes)) {
    let mut bodies: Vec<Body> = bodies().into_iter().map(Body::new).collect();
    let spans = bodies.iter().map(|body| body.ids.len()).sum::<usize>();
    let mut world = World::new();
    bencher.counter(ItemsCount::new(spans)).bench_local(|| {
        for body in &mut bodies {
            body.renew();
            act(&mut world, &body.bytes);
        }
        world.end()
    });
}

fn read<'r>(table: &Table, request: impl RequestView<'r>) {
    let mut reading = table.reading();
    for resource in request.resources() {
        table.read(&mut reading, resource.attributes());
        for span in resource.scopes().flat_map(ScopeView::spans) {
            black_box((span.trace_id(), span.span_id(), span.start(), span.status()));
            table.read(&mut reading, span.attributes());
            black_box(&reading);
        }
    }
}

/// A request, and where its spans' trace ids are.
struct Body {
    bytes: Bytes,
    ids: Vec<usize>,
}

impl Body {
    fn new(bytes: Bytes) -> Self {
        let view = checked(&bytes);
        let begin = bytes.as_ptr().addr();
        let spans = view
            .view()
            .resources()
            .flat_map(ResourceView::scopes)
            .flat_map(ScopeView::spans);
        let ids = spans
            .map(|span| span.trace_id().as_ptr().addr() - begin)
            .collect();
        Body { bytes, ids }
    }

    /// Another trace id in each round, so that no run is taken for a repetition.
    fn renew(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes)
            .try_into_mut()
            .expect("nobody else holds them");
        for at in &self.ids {
            bytes[*at] = bytes[*at].wrapping_add(1);
        }
        self.bytes = bytes.freeze();
    }
}

fn checked(body: &Bytes) -> wire::Checked {
    wire::check(body.clone(), usize::MAX).expect("the bodies are valid")
}

struct World {
    assembler: Assembler,
    run: RunId,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let now = Timestamp::from_epoch_seconds(1_900_000_000.0).expect("a time");
        let assembler = Assembler::new(Config::default(), Dialect::builtin());
        World {
            assembler,
            run: RunId::default(),
            now,
        }
    }

    fn take<'r>(&mut self, request: impl RequestView<'r>) {
        let mut out = Vec::new();
        let runs = Runs {
            stated: None,
            otherwise: &self.run,
        };
        self.assembler.accept(runs, request, self.now, &mut out);
        black_box(out);
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

fn spans(bodies: &[Bytes]) -> usize {
    let requests = bodies.iter().map(|body| decoded(body));
    let scopes = requests
        .flat_map(|request| request.resource_spans)
        .flat_map(|resource| resource.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

fn bodies() -> Vec<Bytes> {
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
        .map(|path| std::fs::read(path).expect("a capture can be read").into())
        .collect()
}

fn children(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// A thousand runs of an agent with three model calls and two tools, each span with a prompt's worth of text.
fn made() -> Vec<Bytes> {
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
            ExportTraceServiceRequest { resource_spans }
                .encode_to_vec()
                .into()
        })
        .collect()
}
