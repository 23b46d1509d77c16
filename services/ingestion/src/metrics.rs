//! What the ingestion role counts. Accepted and refused come as a pair.

use immune_runtime::metrics::TlsMetrics;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The signal that a request carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(missing_docs, reason = "OTLP's own words")]
pub enum Signal {
    Traces,
    Metrics,
    Logs,
}

/// A signal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SignalLabels {
    /// Which.
    pub signal: Signal,
}

/// Why something was refused: a word of a closed list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    /// Which.
    pub reason: &'static str,
}

/// Counters and gauges, named `immune_ingestion_...`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Requests answered with success, by signal.
    pub requests: Family<SignalLabels, Counter>,
    /// Requests refused, by reason.
    pub requests_refused: Family<ReasonLabels, Counter>,
    /// Spans, metrics and log records accepted, by signal.
    pub items: Family<SignalLabels, Counter>,
    /// Spans refused, by reason.
    pub spans_refused: Family<ReasonLabels, Counter>,
    /// Executions reported for the first time.
    pub executions: Counter,
    /// Executions more than five minutes old when they came; stored, and not judged.
    pub executions_late: Counter,
    /// Vitals posted by platforms.
    pub posted: Counter,
    /// Traces in memory.
    pub traces_open: Gauge,
    /// Memory of them, bytes.
    pub traces_bytes: Gauge,
    /// Traces finished early for want of memory.
    pub traces_finished_early: Gauge,
    /// Requests that were let in and are not answered yet.
    pub requests_under_way: Gauge,
    /// What they hold, as received and decoded, bytes.
    pub bytes_under_way: Gauge,
    /// Requests whose records wait to be stored.
    pub waiting: Gauge,
    /// Attempts to store or publish that failed and are repeated.
    pub store_retries: Counter,
    /// Records that were dropped because the store refuses them for good.
    pub records_lost: Counter,
    /// TLS of both listeners.
    pub tls: TlsMetrics,
}

impl Metrics {
    /// Metrics that the registry knows.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Metrics {
            tls: TlsMetrics::register(registry, "immune_ingestion"),
            ..Metrics::default()
        };
        let name = |thing: &str| format!("immune_ingestion_{thing}");
        registry.register(
            name("requests"),
            "Requests accepted, by signal",
            m.requests.clone(),
        );
        registry.register(
            name("requests_refused"),
            "Requests refused, by reason",
            m.requests_refused.clone(),
        );
        registry.register(
            name("items"),
            "Spans, metrics, log records accepted, by signal",
            m.items.clone(),
        );
        registry.register(
            name("spans_refused"),
            "Spans refused, by reason",
            m.spans_refused.clone(),
        );
        registry.register(name("executions"), "Executions seen", m.executions.clone());
        registry.register(
            name("executions_late"),
            "Executions too old to be judged",
            m.executions_late.clone(),
        );
        registry.register(
            name("vitals_posted"),
            "Vitals posted by platforms",
            m.posted.clone(),
        );
        registry.register(name("traces_open"), "Traces in memory", m.traces_open.clone());
        registry.register(
            name("traces_bytes"),
            "Memory of open traces, bytes",
            m.traces_bytes.clone(),
        );
        let early = "Traces finished early for want of memory, since the start";
        registry.register(
            name("traces_finished_early"),
            early,
            m.traces_finished_early.clone(),
        );
        let under_way = "Requests let in and not answered yet";
        registry.register(
            name("requests_under_way"),
            under_way,
            m.requests_under_way.clone(),
        );
        let bytes = "Memory of requests under way, bytes";
        registry.register(name("bytes_under_way"), bytes, m.bytes_under_way.clone());
        registry.register(
            name("requests_waiting"),
            "Requests whose records wait to be stored",
            m.waiting.clone(),
        );
        registry.register(
            name("store_retries"),
            "Attempts to store or publish, repeated",
            m.store_retries.clone(),
        );
        registry.register(
            name("records_lost"),
            "Records that the store refuses for good",
            m.records_lost.clone(),
        );
        m
    }

    /// Counts a refused request.
    pub fn refuse(&self, reason: &'static str) {
        self.requests_refused
            .get_or_create(&ReasonLabels { reason })
            .inc();
    }
}
