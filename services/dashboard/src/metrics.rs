//! What the dashboard role counts.

use immune_runtime::metrics::TlsMetrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// An answered request. The route is the pattern of the path, never the path itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// `GET`, `POST`, `DELETE`, `other`.
    pub method: &'static str,
    /// Pattern of the path; `none` where no route matched.
    pub route: String,
    /// HTTP status.
    pub status: u16,
}

/// Why a request was refused at the door.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// `stranger`, `session_ended`, `csrf`, `locked_out`, `too_many`, `not_ready`, `role`, `run`, `origin`, `host`,
    /// `no_rule`, `busy`.
    pub reason: &'static str,
}

/// Counters and gauges, named `immune_dashboard_...`.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Answered requests.
    pub requests: Family<RequestLabels, Counter>,
    /// Time to the beginning of the answer.
    pub request_seconds: Histogram,
    /// Refused at the door.
    pub refused: Family<RefusalLabels, Counter>,
    /// Readers of live events.
    pub event_streams: Gauge,
    /// Runs whose fleet somebody looks at.
    pub fleets_watched: Gauge,
    /// Updates that were given to the readers of a fleet.
    pub fleet_updates: Counter,
    /// TLS of the listener.
    pub tls: TlsMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            requests: Family::default(),
            request_seconds: Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0]),
            refused: Family::default(),
            event_streams: Gauge::default(),
            fleets_watched: Gauge::default(),
            fleet_updates: Counter::default(),
            tls: TlsMetrics::default(),
        }
    }
}

impl Metrics {
    /// Metrics that the registry knows.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Metrics {
            tls: TlsMetrics::register(registry, "immune_dashboard"),
            ..Metrics::default()
        };
        registry.register(
            "immune_dashboard_requests",
            "Answered REST requests",
            m.requests.clone(),
        );
        registry.register_with_unit(
            "immune_dashboard_request",
            "Time to the beginning of the answer",
            Unit::Seconds,
            m.request_seconds.clone(),
        );
        registry.register(
            "immune_dashboard_requests_refused",
            "REST requests refused at the door",
            m.refused.clone(),
        );
        registry.register(
            "immune_dashboard_event_streams",
            "Readers of live events",
            m.event_streams.clone(),
        );
        registry.register(
            "immune_dashboard_fleets_watched",
            "Runs whose fleet somebody looks at",
            m.fleets_watched.clone(),
        );
        registry.register(
            "immune_dashboard_fleet_updates",
            "Updates given to the readers of a fleet",
            m.fleet_updates.clone(),
        );
        m
    }

    pub(crate) fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create(&RefusalLabels { reason }).inc();
    }
}
