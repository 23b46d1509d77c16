//! What the healer role counts.

use immune_domain::healing::Outcome;
use immune_levers as levers;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// A word of the closed list of outcomes.
    pub outcome: &'static str,
}

/// Counters and gauges, named `immune_healer_...`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Cases taken, or taken over.
    pub claimed: Counter,
    /// Cases lost to another healer, or closed by a person, while in hand.
    pub lost: Counter,
    /// Healing steps begun or resumed.
    pub steps: Counter,
    /// Healings by outcome.
    pub healings: Family<OutcomeLabels, Counter>,
    /// Asks of levers by answer.
    pub asks: Family<OutcomeLabels, Counter>,
    /// Ladders with no step left.
    pub exhausted: Counter,
    /// Jobs that ended in an error; their case is taken again after its lease.
    pub errors: Counter,
    /// Cases in hand.
    pub in_hand: Gauge,
}

impl Metrics {
    /// Metrics that the registry knows.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Metrics::default();
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(format!("immune_healer_{name}"), help, counter.clone());
        };
        counter("cases_claimed", "Cases taken or taken over", &m.claimed);
        counter("cases_lost", "Cases lost while in hand", &m.lost);
        counter("steps", "Healing steps begun or resumed", &m.steps);
        counter("ladders_exhausted", "Ladders with no step left", &m.exhausted);
        counter("errors", "Jobs that ended in an error", &m.errors);
        registry.register(
            "immune_healer_healings",
            "Healings by outcome",
            m.healings.clone(),
        );
        registry.register(
            "immune_healer_lever_asks",
            "Asks of levers by answer",
            m.asks.clone(),
        );
        registry.register("immune_healer_cases_in_hand", "Cases in hand", m.in_hand.clone());
        m
    }

    pub(crate) fn ended(&self, outcome: &Outcome) {
        self.healings
            .get_or_create(&OutcomeLabels {
                outcome: outcome.as_str(),
            })
            .inc();
    }

    pub(crate) fn asked(&self, outcome: levers::Outcome) {
        let outcome = match outcome {
            levers::Outcome::Done => "done",
            levers::Outcome::Failed => "failed",
            levers::Outcome::Unsupported => "unsupported",
            levers::Outcome::Unknown => "unknown",
        };
        self.asks.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}
