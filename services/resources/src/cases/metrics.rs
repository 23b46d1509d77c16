//! What the mirror of cases counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A request to the API server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// `apply`, `status`, `delete`, `get`, `decision`, `event`.
    pub request: &'static str,
    /// `done` or `failed`.
    pub outcome: &'static str,
}

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// A word from a closed list.
    pub outcome: &'static str,
}

/// Counters and gauges, named `immune_resources_case...`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Requests to the API server.
    pub requests: Family<RequestLabels, Counter>,
    /// Objects that show cases.
    pub mirrored: Gauge,
    /// Objects that are not as they should be.
    pub waiting: Gauge,
    /// 1 while this process writes.
    pub leading: Gauge,
    /// 1 while the API server cannot be read or written.
    pub api_down: Gauge,
    /// Decisions: `done`, `first_of_two`, `refused`, `expired`, `forged`.
    pub decisions: Family<OutcomeLabels, Counter>,
    /// Kubernetes Events: `written`, `dropped`.
    pub events: Family<OutcomeLabels, Counter>,
}

impl Metrics {
    /// Metrics that the registry knows.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Metrics::default();
        let help = "Requests to the Kubernetes API for cases, by request and outcome";
        registry.register("immune_resources_case_requests", help, m.requests.clone());
        let help = "AgentCase objects that show a case";
        registry.register("immune_resources_cases_mirrored", help, m.mirrored.clone());
        let help = "AgentCase objects that are not yet as they should be";
        registry.register("immune_resources_cases_waiting", help, m.waiting.clone());
        let help = "1 while this process is the one that writes AgentCase objects";
        registry.register("immune_resources_cases_leading", help, m.leading.clone());
        let help = "1 while this process leads and the Kubernetes API does not let it read or write AgentCase objects";
        registry.register("immune_resources_cases_api_down", help, m.api_down.clone());
        let help = "Decisions made on AgentCase objects, by outcome";
        registry.register("immune_resources_case_decisions", help, m.decisions.clone());
        let help = "Kubernetes Events on AgentCase objects, by outcome";
        registry.register("immune_resources_case_events", help, m.events.clone());
        m
    }

    pub(crate) fn asked(&self, request: &'static str, is_done: bool) {
        let outcome = if is_done { "done" } else { "failed" };
        self.requests
            .get_or_create(&RequestLabels { request, outcome })
            .inc();
    }

    pub(crate) fn decided(&self, outcome: &'static str) {
        self.decisions.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    pub(crate) fn told(&self, outcome: &'static str, times: u64) {
        self.events
            .get_or_create(&OutcomeLabels { outcome })
            .inc_by(times);
    }
}
