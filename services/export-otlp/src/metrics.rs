//! Vitals and severity as metrics.

use crate::config::{Config, Protocol};
use crate::error::Error;
use immune_domain::AgentKey;
use immune_domain::case::Case;
use immune_domain::healing::{Healing, Outcome};
use immune_domain::vitals::{Completeness, Vitals};
use immune_store::cases::NewEvent;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, MeterProvider};
use opentelemetry_otlp::{MetricExporter, WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{Instrument, PeriodicReader, SdkMeterProvider, Stream};
use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tonic::metadata::MetadataMap;

/// Name of the instrumentation scope.
pub(crate) const SCOPE: &str = "immune";
/// Bounds of durations, seconds: from a cache hit to an agent that works for an hour.
const SECONDS: [f64; 14] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0,
];
/// Running executions that are remembered, so that their end is counted and their corrections are not.
const RUNNING_MAX: usize = 4_096;
/// Series of one agent in the instrument that has most: two outcomes, or two kinds of tokens.
const SERIES_PER_AGENT: usize = 2;

pub(crate) fn provider(
    config: &Config,
    endpoint: &str,
    headers: &MetadataMap,
    resource: Resource,
) -> Result<SdkMeterProvider, Error> {
    let built = match config.protocol {
        Protocol::Grpc => MetricExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_metadata(headers.clone())
            .build(),
        Protocol::Http => MetricExporter::builder()
            .with_http()
            .with_endpoint(Config::http_url(endpoint, "metrics"))
            .with_headers(config.http_headers())
            .build(),
    };
    let exporter = built.map_err(|source| Error::Build {
        endpoint: endpoint.to_owned(),
        source,
    })?;
    let reader = PeriodicReader::builder(exporter)
        .with_interval(Duration::from_millis(config.interval_ms))
        .build();
    let limit = config.agents_max.saturating_mul(SERIES_PER_AGENT);
    // Built once for its errors, then for each instrument.
    Stream::builder()
        .with_cardinality_limit(limit)
        .build()
        .map_err(|error| Error::View(error.to_string()))?;
    let bounded = move |_: &Instrument| Stream::builder().with_cardinality_limit(limit).build().ok();
    Ok(SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(reader)
        .with_view(bounded)
        .build())
}

pub(crate) struct Metrics {
    executions: Counter<u64>,
    duration: Histogram<f64>,
    tokens: Counter<u64>,
    tool_calls: Counter<u64>,
    retries: Counter<u64>,
    severity: Gauge<f64>,
    cases: Counter<u64>,
    healings: Counter<u64>,
    running: Mutex<Running>,
}

/// The latest executions that were told of while they ran.
#[derive(Default)]
struct Running {
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Metrics {
    pub(crate) fn new(provider: &SdkMeterProvider) -> Self {
        let meter = provider.meter(SCOPE);
        let counter = |name: &'static str, unit: &'static str, what: &'static str| {
            meter
                .u64_counter(name)
                .with_unit(unit)
                .with_description(what)
                .build()
        };
        Metrics {
            executions: counter(
                "immune.agent.executions",
                "{execution}",
                "Executions that ended, by outcome.",
            ),
            duration: meter
                .f64_histogram("immune.agent.duration")
                .with_unit("s")
                .with_description("Wall time of executions.")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            tokens: counter(
                "immune.agent.tokens",
                "{token}",
                "Tokens read and written by models.",
            ),
            tool_calls: counter(
                "immune.agent.tool_calls",
                "{call}",
                "Tool calls that were executed.",
            ),
            retries: counter("immune.agent.retries", "{retry}", "Attempts beyond the first."),
            severity: meter
                .f64_gauge("immune.agent.severity")
                .with_unit("1")
                .with_description("Severity of the agent's open case, 0 to 10; 0 when it has none.")
                .build(),
            cases: counter("immune.cases", "{event}", "Events of cases, by kind."),
            healings: counter(
                "immune.healings",
                "{attempt}",
                "Healing attempts that ended, by action and outcome.",
            ),
            running: Mutex::default(),
        }
    }

    pub(crate) fn vitals(&self, batch: &[Vitals]) {
        for vitals in batch.iter().filter(|vitals| self.is_counted(vitals)) {
            let mut who = agent(&vitals.key);
            if let Some(name) = &vitals.context.agent_name {
                who.push(KeyValue::new("gen_ai.agent.name", name.clone()));
            }
            self.duration.record(vitals.latency_ms / 1_000.0, &who);
            if let Some(calls) = vitals.tool_calls {
                self.tool_calls.add(u64::from(calls), &who);
            }
            if let Some(retries) = vitals.retries {
                self.retries.add(u64::from(retries), &who);
            }
            for (kind, tokens) in [("input", vitals.input_tokens), ("output", vitals.output_tokens)] {
                if let Some(tokens) = tokens {
                    self.tokens.add(tokens, &with(&who, "gen_ai.token.type", kind));
                }
            }
            let outcome = if vitals.success { "success" } else { "failure" };
            self.executions.add(1, &with(&who, "outcome", outcome));
        }
    }

    /// Whether a record is the first one of an execution that has ended: a counter cannot take a correction back.
    fn is_counted(&self, vitals: &Vitals) -> bool {
        if vitals.completeness != Completeness::Running && vitals.revision == 0 {
            return true;
        }
        let mut hasher = DefaultHasher::new();
        (
            vitals.key.run.as_str(),
            vitals.key.agent.as_str(),
            vitals.execution.as_str(),
        )
            .hash(&mut hasher);
        let id = hasher.finish();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match vitals.completeness {
            Completeness::Running => {
                if running.known.insert(id) {
                    running.order.push_back(id);
                    if running.order.len() > RUNNING_MAX
                        && let Some(oldest) = running.order.pop_front()
                    {
                        running.known.remove(&oldest);
                    }
                }
                false
            }
            Completeness::Complete | Completeness::Incomplete => running.known.remove(&id),
        }
    }

    pub(crate) fn case(&self, case: &Case, events: &[NewEvent]) {
        let severity = if case.state.is_closed() {
            0.0
        } else {
            case.infection.severity
        };
        let who = agent(&case.key);
        self.severity.record(severity, &who);
        for event in events {
            let kind = KeyValue::new("immune.event", event.kind.clone());
            let run = KeyValue::new("immune.run_id", case.key.run.to_string());
            self.cases.add(1, &[run, kind]);
        }
    }

    pub(crate) fn healing(&self, healing: &Healing) {
        let outcome = match healing.outcome {
            Outcome::Running | Outcome::Verifying { .. } => return,
            Outcome::Succeeded { .. } => "succeeded",
            Outcome::Failed { .. } => "failed",
            Outcome::Unsupported { .. } => "unsupported",
            Outcome::Abandoned { .. } => "abandoned",
        };
        let labels = [
            KeyValue::new("immune.run_id", healing.key.run.to_string()),
            KeyValue::new("immune.action", healing.action.as_str()),
            KeyValue::new("outcome", outcome),
        ];
        self.healings.add(1, &labels);
    }
}

fn agent(key: &AgentKey) -> Vec<KeyValue> {
    vec![
        KeyValue::new("gen_ai.agent.id", key.agent.to_string()),
        KeyValue::new("immune.run_id", key.run.to_string()),
    ]
}

fn with(who: &[KeyValue], name: &'static str, value: &'static str) -> Vec<KeyValue> {
    let mut all = who.to_vec();
    all.push(KeyValue::new(name, value));
    all
}
