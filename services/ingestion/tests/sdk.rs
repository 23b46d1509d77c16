//! What the official SDK's exporters send arrives, over every transport, form and compression.

mod world;

use immune_domain::vitals::{Completeness, Source};
use opentelemetry::trace::{Span as _, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{
    Compression, Protocol, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter as Exporter};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use world::World;

/// Keeps the finished spans, so that a test can export them as one batch.
#[derive(Debug, Clone, Default)]
struct Finished(Arc<Mutex<Vec<SpanData>>>);

impl Exporter for Finished {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().expect("not poisoned").append(&mut batch);
        Ok(())
    }
}

fn resource() -> Resource {
    Resource::builder_empty()
        .with_attribute(KeyValue::new("service.name", "shop"))
        .build()
}

/// An agent of two seconds that asks a model twice and runs a tool once, instrumented by hand.
fn agent_spans(agent: &str) -> Vec<SpanData> {
    let finished = Finished::default();
    let provider = SdkTracerProvider::builder()
        .with_resource(resource())
        .with_simple_exporter(finished.clone())
        .build();
    let tracer = provider.tracer("by-hand");
    #[allow(clippy::disallowed_methods, reason = "a sender has a clock of its own")]
    let end = SystemTime::now();
    let invocation = tracer
        .span_builder(format!("invoke_agent {agent}"))
        .with_start_time(end - Duration::from_secs(2))
        .with_attributes([
            KeyValue::new("gen_ai.operation.name", "invoke_agent"),
            KeyValue::new("gen_ai.agent.id", "asst_1"),
            KeyValue::new("gen_ai.agent.name", agent.to_owned()),
            KeyValue::new("gen_ai.conversation.id", "talk-1"),
        ])
        .start(&tracer);
    let inside = Context::new().with_span(invocation);
    let child = |name: &'static str, attributes: Vec<KeyValue>| {
        let builder = tracer
            .span_builder(name)
            .with_start_time(end - Duration::from_secs(1));
        let mut span = builder
            .with_attributes(attributes)
            .start_with_context(&tracer, &inside);
        span.end_with_timestamp(end - Duration::from_millis(500));
    };
    for tokens in [100, 150] {
        child(
            "chat gpt-5",
            vec![
                KeyValue::new("gen_ai.operation.name", "chat"),
                KeyValue::new("gen_ai.request.model", "gpt-5"),
                KeyValue::new("gen_ai.usage.input_tokens", tokens),
                KeyValue::new("gen_ai.usage.output_tokens", 20),
            ],
        );
    }
    let tool = [
        KeyValue::new("gen_ai.operation.name", "execute_tool"),
        KeyValue::new("gen_ai.tool.name", "search"),
    ];
    child("execute_tool search", tool.to_vec());
    inside.span().end_with_timestamp(end);
    let spans = finished.0.lock().expect("not poisoned").clone();
    assert_eq!(spans.len(), 4);
    spans
}

async fn delivered(world: &World, name: &str, mut exporter: SpanExporter) {
    exporter.set_resource(&resource());
    exporter
        .export(agent_spans(name))
        .await
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    let vitals = world.record(&format!("shop/{name}")).await;
    assert_eq!(
        (vitals.input_tokens, vitals.output_tokens, vitals.token_count),
        (Some(250), Some(40), Some(290))
    );
    assert_eq!((vitals.tool_calls, vitals.success), (Some(1), true), "{name}");
    assert_eq!(
        (vitals.completeness, vitals.source),
        (Completeness::Complete, Source::Otlp),
        "{name}"
    );
    assert!(
        (vitals.latency_ms - 2_000.0).abs() < 1.0,
        "{name}: {}",
        vitals.latency_ms
    );
    assert_eq!(vitals.context.model.as_deref(), Some("gpt-5"), "{name}");
    assert_eq!(vitals.context.conversation.as_deref(), Some("talk-1"), "{name}");
    assert_eq!(vitals.context.tools, ["search"], "{name}");
}

const COMPRESSIONS: [Option<Compression>; 3] = [None, Some(Compression::Gzip), Some(Compression::Zstd)];

/// Scenario: an agent's trace from the official exporter by gRPC: plain, gzip, zstd.
/// Guarantees: the vitals have the numbers of the trace.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_exporter_delivers() {
    let world = World::start().await;
    for compression in COMPRESSIONS {
        let mut builder = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(format!("http://{}", world.grpc));
        if let Some(compression) = compression {
            builder = builder.with_compression(compression);
        }
        delivered(&world, &format!("grpc-{compression:?}"), builder.build().unwrap()).await;
    }
    world.stop().await;
}

/// Scenario: the same by HTTP in protobuf and in JSON.
/// Guarantees: the same numbers.
#[tokio::test(flavor = "multi_thread")]
async fn http_exporters_deliver() {
    let world = World::start().await;
    for protocol in [Protocol::HttpBinary, Protocol::HttpJson] {
        for compression in COMPRESSIONS {
            let mut builder = SpanExporter::builder()
                .with_http()
                .with_http_client(reqwest::Client::new())
                .with_protocol(protocol)
                .with_endpoint(format!("http://{}/v1/traces", world.http));
            if let Some(compression) = compression {
                builder = builder.with_compression(compression);
            }
            delivered(
                &world,
                &format!("{protocol:?}-{compression:?}"),
                builder.build().unwrap(),
            )
            .await;
        }
    }
    world.stop().await;
}
