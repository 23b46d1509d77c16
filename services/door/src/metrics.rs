//! What the door counts.

use crate::identity::Refusal;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Why somebody was not let in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// The word of a [`Refusal`].
    pub reason: &'static str,
}

/// A login and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LoginLabels {
    /// `oidc` or `api_key`.
    pub way: &'static str,
    /// `done`, or the word of what was wrong.
    pub outcome: &'static str,
}

/// Counters and gauges, named `immune_door_...`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Requests whose sender was not let in, or not now.
    pub refused: Family<RefusalLabels, Counter>,
    /// Logins of people, with what came of them.
    pub logins: Family<LoginLabels, Counter>,
    /// Stored keys that may be used or could once.
    pub keys: Gauge,
    /// Readings of the stored keys that failed; the ones read last go on.
    pub refresh_failures: Counter,
}

impl Metrics {
    /// Metrics that the registry knows.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Metrics::default();
        registry.register(
            "immune_door_requests_refused",
            "Requests whose sender was not let in",
            m.refused.clone(),
        );
        registry.register(
            "immune_door_logins",
            "Logins of people, with what came of them",
            m.logins.clone(),
        );
        registry.register("immune_door_keys", "Stored API keys", m.keys.clone());
        registry.register(
            "immune_door_key_refresh_failures",
            "Readings of the stored API keys that failed",
            m.refresh_failures.clone(),
        );
        m
    }

    /// Counts a login.
    pub(crate) fn login(&self, way: &'static str, outcome: &'static str) {
        self.logins.get_or_create(&LoginLabels { way, outcome }).inc();
    }

    /// Counts a refusal.
    pub fn refuse(&self, refusal: &Refusal) {
        let labels = RefusalLabels {
            reason: refusal.word(),
        };
        self.refused.get_or_create(&labels).inc();
    }
}
