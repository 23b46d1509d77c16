//! What the notifier counts, per target; the names of targets come from configuration.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// A configured target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TargetLabels {
    /// Its name.
    pub target: String,
}

/// A configured target, and how an attempt went.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// Its name.
    pub target: String,
    /// `delivered`, `digested`, `again`, `dead`.
    pub outcome: &'static str,
}

/// Counters and gauges, named `immune_notify_...`.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Attempts that ended.
    pub attempts: Family<OutcomeLabels, Counter>,
    /// Time that one attempt took, seconds.
    pub attempt_seconds: Histogram,
    /// Notifications that wait.
    pub waiting: Family<TargetLabels, Gauge>,
    /// Dead letters.
    pub dead: Family<TargetLabels, Gauge>,
    /// Age of the oldest notification that waits, seconds.
    pub lag: Family<TargetLabels, Gauge<f64, AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            attempts: Family::default(),
            attempt_seconds: Histogram::new(exponential_buckets(0.005, 2.0, 12)),
            waiting: Family::default(),
            dead: Family::default(),
            lag: Family::default(),
        }
    }
}

impl Metrics {
    /// Metrics that the registry knows.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Metrics::default();
        let help = "Attempts to tell something, by target and outcome";
        registry.register("immune_notify_attempts", help, m.attempts.clone());
        let help = "Time that one attempt took, seconds";
        registry.register("immune_notify_attempt_seconds", help, m.attempt_seconds.clone());
        let help = "Notifications that wait, by target; the same at every replica";
        registry.register("immune_notify_waiting", help, m.waiting.clone());
        let help = "Dead letters, by target; the same at every replica";
        registry.register("immune_notify_dead", help, m.dead.clone());
        let help = "Age of the oldest notification that waits, seconds, by target; the same at every replica";
        registry.register("immune_notify_lag_seconds", help, m.lag.clone());
        m
    }

    pub(crate) fn attempted(&self, target: &str, outcome: &'static str, times: usize) {
        let labels = OutcomeLabels {
            target: target.to_owned(),
            outcome,
        };
        self.attempts.get_or_create(&labels).inc_by(times as u64);
    }
}
