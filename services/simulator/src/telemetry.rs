//! The agents' own telemetry: OTLP through the official SDK, in the words of the OpenTelemetry GenAI conventions.
//!
//! What a step takes is decided, not measured: spans carry the planned times, and the agent really waits that long.
//! So a busy machine shifts executions but does not make healthy agents look ill.

use crate::agent::AgentType;
use crate::agent::plan::Step;
use crate::config::Config;
use immune_domain::Timestamp;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use tonic::metadata::{MetadataKey, MetadataMap};

/// Instrumentation scope of the spans.
const SCOPE: &str = "opentelemetry.instrumentation.genai.immune_simulator";
/// How long a finished span waits for others, at most.
const BATCH_DELAY: Duration = Duration::from_millis(300);
/// Spans that may wait for export, per agent type; what is beyond is lost, as with any SDK.
const QUEUE_SPANS_MAX: usize = 16_384;
/// Spans per request: one execution of the worst loop fits in whole.
const BATCH_SPANS_MAX: usize = 4_096;
/// How long an export may take, and the last one when the simulation stops.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// One tracer provider per type of agent, as if each type were a service.
pub(crate) struct Telemetry {
    providers: BTreeMap<AgentType, SdkTracerProvider>,
}

impl Telemetry {
    /// Must be called within a tokio runtime, which carries the exporters' connections.
    pub(crate) fn new(config: &Config) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut headers = MetadataMap::new();
        for (name, value) in &config.otlp_headers {
            headers.insert(name.parse::<MetadataKey<_>>()?, value.parse()?);
        }
        let mut providers = BTreeMap::new();
        for kind in &config.types {
            let exporter = SpanExporter::builder()
                .with_tonic()
                .with_protocol(Protocol::Grpc)
                .with_endpoint(&config.otlp_endpoint)
                .with_timeout(EXPORT_TIMEOUT)
                .with_metadata(headers.clone())
                .build()?;
            let batches = BatchConfigBuilder::default()
                .with_scheduled_delay(BATCH_DELAY)
                .with_max_queue_size(QUEUE_SPANS_MAX)
                .with_max_export_batch_size(BATCH_SPANS_MAX)
                .build();
            let processor = BatchSpanProcessor::builder(exporter)
                .with_batch_config(batches)
                .build();
            let resource = Resource::builder()
                .with_service_name(format!("{kind}-agents"))
                .with_attribute(KeyValue::new("service.namespace", "immune-simulator"))
                .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                .with_attribute(KeyValue::new("immune.run_id", config.run.clone()))
                .build();
            let provider = SdkTracerProvider::builder()
                .with_resource(resource)
                .with_span_processor(processor)
                .build();
            providers.insert(*kind, provider);
        }
        Ok(Telemetry { providers })
    }

    pub(crate) fn tracer(&self, kind: AgentType) -> Option<SdkTracer> {
        self.providers.get(&kind).map(|provider| provider.tracer(SCOPE))
    }

    /// Sends what waits, at most [`EXPORT_TIMEOUT`]. The SDK blocks while it does.
    pub(crate) async fn shutdown(mut self) {
        let mut flushes = JoinSet::new();
        for provider in std::mem::take(&mut self.providers).into_values() {
            flushes.spawn_blocking(move || provider.shutdown_with_timeout(EXPORT_TIMEOUT));
        }
        while let Some(flushed) = flushes.join_next().await {
            match flushed {
                Ok(Ok(())) => {}
                Ok(Err(e)) => tracing::warn!(error = %e, "telemetry of the simulation was not sent in full"),
                Err(e) => tracing::warn!(error = %e, "telemetry of the simulation was not flushed"),
            }
        }
    }
}

impl Drop for Telemetry {
    /// A provider that is dropped sends what waits and blocks meanwhile, which an async thread must not; and the
    /// last to drop it might be a task of a runtime that has ended, which can send nothing.
    fn drop(&mut self) {
        for provider in std::mem::take(&mut self.providers).into_values() {
            std::thread::spawn(move || provider.shutdown_with_timeout(EXPORT_TIMEOUT));
        }
    }
}

/// The spans of one execution under way.
pub(crate) struct Trace<'a> {
    tracer: &'a SdkTracer,
    kind: AgentType,
    context: Context,
    /// The end of the last step.
    at: SystemTime,
    calls: u32,
}

impl<'a> Trace<'a> {
    pub(crate) fn begin(tracer: &'a SdkTracer, agent: &str, kind: AgentType, now: Timestamp) -> Self {
        let at = UNIX_EPOCH + Duration::from_micros(u64::try_from(now.as_micros()).unwrap_or(0));
        let root = tracer
            .span_builder(format!("invoke_agent {agent}"))
            .with_kind(SpanKind::Internal)
            .with_start_time(at)
            .with_attributes([
                KeyValue::new("gen_ai.operation.name", "invoke_agent"),
                KeyValue::new("gen_ai.provider.name", "immune_simulator"),
                KeyValue::new("gen_ai.agent.name", agent.to_owned()),
                KeyValue::new("gen_ai.agent.id", agent.to_owned()),
                KeyValue::new("gen_ai.request.model", kind.traits().model),
                KeyValue::new("immune.agent.id", agent.to_owned()),
                KeyValue::new("immune.agent.type", kind.as_str()),
            ])
            .start_with_context(tracer, &Context::new());
        Trace {
            tracer,
            kind,
            context: Context::new().with_span(root),
            at,
            calls: 0,
        }
    }

    /// Tells of a step that took that long.
    pub(crate) fn step(&mut self, step: &Step, took: Duration) {
        match step {
            Step::Chat {
                input_tokens,
                output_tokens,
                resends,
                ..
            } => {
                self.chat(*input_tokens, *output_tokens, *resends, took);
            }
            Step::Tools { calls, .. } => {
                let each = took / u32::try_from(calls.len()).unwrap_or(u32::MAX).max(1);
                for tool in calls {
                    self.tool(tool, each);
                }
            }
        }
    }

    fn chat(&mut self, input_tokens: u64, output_tokens: u64, resends: u32, took: Duration) {
        let model = self.kind.traits().model;
        self.calls += 1;
        let response = format!(
            "resp-{}-{}",
            self.context.span().span_context().span_id(),
            self.calls
        );
        let finish: Vec<StringValue> = vec!["stop".into()];
        self.child(
            format!("chat {model}"),
            SpanKind::Client,
            took,
            vec![
                KeyValue::new("gen_ai.operation.name", "chat"),
                KeyValue::new("gen_ai.provider.name", "immune_simulator"),
                KeyValue::new("gen_ai.request.model", model),
                KeyValue::new("gen_ai.response.model", model),
                KeyValue::new("gen_ai.response.id", response),
                KeyValue::new(
                    "gen_ai.response.finish_reasons",
                    Value::Array(Array::String(finish)),
                ),
                KeyValue::new("gen_ai.usage.input_tokens", int(input_tokens)),
                KeyValue::new("gen_ai.usage.output_tokens", int(output_tokens)),
                // Said also when it is 0: without it, retries would be unknown.
                KeyValue::new("http.request.resend_count", i64::from(resends)),
            ],
        );
    }

    fn tool(&mut self, tool: &'static str, took: Duration) {
        self.calls += 1;
        let call = format!(
            "call-{}-{}",
            self.context.span().span_context().span_id(),
            self.calls
        );
        self.child(
            format!("execute_tool {tool}"),
            SpanKind::Internal,
            took,
            vec![
                KeyValue::new("gen_ai.operation.name", "execute_tool"),
                KeyValue::new("gen_ai.tool.name", tool),
                KeyValue::new("gen_ai.tool.type", "function"),
                KeyValue::new("gen_ai.tool.call.id", call),
            ],
        );
    }

    fn child(&mut self, name: String, kind: SpanKind, took: Duration, attributes: Vec<KeyValue>) {
        use opentelemetry::trace::Span;
        let mut span = self
            .tracer
            .span_builder(name)
            .with_kind(kind)
            .with_start_time(self.at)
            .with_attributes(attributes)
            .start_with_context(self.tracer, &self.context);
        self.at += took;
        span.end_with_timestamp(self.at);
    }

    /// Ends the execution `more` after its last step, with the error that ended it.
    pub(crate) fn end(self, more: Duration, failure: Option<&'static str>) {
        let span = self.context.span();
        if let Some(error) = failure {
            span.set_attribute(KeyValue::new("error.type", error));
            span.set_status(Status::error(error));
        }
        span.end_with_timestamp(self.at + more);
    }
}

fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
