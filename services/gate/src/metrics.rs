//! What the gateway check counts.

use immune_runtime::metrics::TlsMetrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// How a check was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AnswerLabels {
    /// `allowed`, `allowed_observed` (contained, but policy only observes), `allowed_unidentified`, `allowed_blind`;
    /// `denied_contained`, `denied_unidentified`, `denied_malformed`, `denied_unknown`, `denied_blind`; `unavailable`.
    pub answer: &'static str,
}

/// Counters and gauges, named `immune_gate_...`.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Checks by answer.
    pub checks: Family<AnswerLabels, Counter>,
    /// From a decoded request to its answer.
    pub check_duration: Histogram,
    /// Contained agents in memory.
    pub contained: Gauge,
    /// How old the last news of cases may be, seconds.
    pub since_current: Gauge<f64, AtomicU64>,
    /// Contained agents that had no room.
    pub beyond_room: Gauge,
    /// Connections of gateways.
    pub connections: Gauge,
    /// Handshakes and certificates of the listener.
    pub tls: TlsMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            checks: Family::default(),
            // 5 µs to 80 ms: what is promised is far below one millisecond.
            check_duration: Histogram::new(exponential_buckets(0.000_005, 2.0, 15)),
            contained: Gauge::default(),
            since_current: Gauge::default(),
            beyond_room: Gauge::default(),
            connections: Gauge::default(),
            tls: TlsMetrics::default(),
        }
    }
}

impl Metrics {
    /// Metrics that the registry knows.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Metrics {
            tls: TlsMetrics::register(registry, "immune_gate"),
            ..Metrics::default()
        };
        let help = "Checks of gateways by answer";
        registry.register("immune_gate_checks", help, m.checks.clone());
        let help = "From a decoded check to its answer";
        registry.register(
            "immune_gate_check_duration_seconds",
            help,
            m.check_duration.clone(),
        );
        let help = "Agents that the gateway check keeps out";
        registry.register("immune_gate_contained_agents", help, m.contained.clone());
        let help = "How old the last news of cases may be; 0 while they are followed";
        registry.register("immune_gate_seconds_since_current", help, m.since_current.clone());
        let help = "Contained agents that had no room in memory (gate.agents_max)";
        registry.register("immune_gate_agents_beyond_room", help, m.beyond_room.clone());
        let help = "Connections of gateways";
        registry.register("immune_gate_connections", help, m.connections.clone());
        m
    }

    pub(crate) fn answered(&self, answer: &'static str) {
        self.checks.get_or_create(&AnswerLabels { answer }).inc();
    }
}
