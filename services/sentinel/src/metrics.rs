//! What the sentinel role counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// Why an execution may or may not teach.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VerdictLabels {
    /// A word of the closed list in [`immune_domain::baseline::Reason`].
    pub reason: &'static str,
}

/// Counters and gauges, named `immune_sentinel_...`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Executions judged, by verdict.
    pub judged: Family<VerdictLabels, Counter>,
    /// Reports that quarantine accepted.
    pub reported: Counter,
    /// Attempts to report that failed and are repeated.
    pub report_retries: Counter,
    /// Reports that were refused for good, or found no room to wait.
    pub reports_dropped: Counter,
    /// Executions of agents that should be contained.
    pub breaches: Counter,
    /// Executions of such agents that spent no token and called no tool.
    pub attempts: Counter,
    /// Such executions that could not be told to quarantine.
    pub breaches_dropped: Counter,
    /// Agents that left memory because of the limit.
    pub evicted: Counter,
    /// Reports that were drafted and not sent, because the agent's latest case or another replica answers them.
    pub withdrawn: Counter,
    /// Partitions of the bus that are held.
    pub partitions: Gauge,
    /// Agents in memory.
    pub agents: Gauge,
    /// Agents with executions in their window.
    pub active: Gauge,
    /// Agents with an anomaly now.
    pub suspect: Gauge,
    /// Active agents whose telemetry has stopped.
    pub silent: Gauge,
    /// Watches on the agents of a run.
    pub watches: Gauge,
    /// Fleet incidents that are open.
    pub fleet_incidents: Gauge,
    /// Reports of single agents that a fleet incident has held back.
    pub held_back: Counter,
    /// How long the execution that was judged last had waited since ingestion received it, seconds.
    pub lag: Gauge<f64, AtomicU64>,
}

impl Metrics {
    /// Metrics that the registry knows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        let family = metrics.judged.clone();
        registry.register(
            "immune_sentinel_executions_judged",
            "Executions judged, by verdict",
            family,
        );
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(format!("immune_sentinel_{name}"), help, counter.clone());
        };
        counter(
            "infections_reported",
            "Reports that quarantine accepted",
            &metrics.reported,
        );
        counter(
            "report_retries",
            "Attempts to report that are repeated",
            &metrics.report_retries,
        );
        counter(
            "reports_dropped",
            "Reports refused for good or without room",
            &metrics.reports_dropped,
        );
        counter(
            "reports_withdrawn",
            "Reports that a case or another replica had answered before they were sent",
            &metrics.withdrawn,
        );
        counter(
            "executions_contained",
            "Executions of agents to be contained",
            &metrics.breaches,
        );
        counter(
            "executions_contained_attempts",
            "Executions of agents to be contained that did nothing, which is no breach",
            &metrics.attempts,
        );
        counter(
            "executions_contained_untold",
            "Such executions not told to quarantine",
            &metrics.breaches_dropped,
        );
        counter(
            "held_back",
            "Reports of single agents that a fleet incident has held back",
            &metrics.held_back,
        );
        counter(
            "agents_evicted",
            "Agents that left memory because of the limit",
            &metrics.evicted,
        );
        registry.register(
            "immune_sentinel_partitions",
            "Partitions of the vitals bus that this replica holds",
            metrics.partitions.clone(),
        );
        registry.register(
            "immune_sentinel_agents",
            "Agents in memory",
            metrics.agents.clone(),
        );
        registry.register(
            "immune_sentinel_agents_active",
            "Agents with a window",
            metrics.active.clone(),
        );
        registry.register(
            "immune_sentinel_agents_suspect",
            "Agents with an anomaly now",
            metrics.suspect.clone(),
        );
        registry.register(
            "immune_sentinel_agents_silent",
            "Active agents whose telemetry has stopped",
            metrics.silent.clone(),
        );
        registry.register(
            "immune_sentinel_watches",
            "Watches on the agents of a run",
            metrics.watches.clone(),
        );
        registry.register(
            "immune_sentinel_fleet_incidents",
            "Fleet incidents that are open: many agents that depart at once",
            metrics.fleet_incidents.clone(),
        );
        registry.register(
            "immune_sentinel_lag_seconds",
            "How long the execution that was judged last had waited; says something only while executions are judged",
            metrics.lag.clone(),
        );
        metrics
    }
}
