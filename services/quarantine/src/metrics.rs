//! What the quarantine role counts.

use immune_domain::case::Decision;
use immune_levers::Outcome;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// What a person decided, and whether it was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DecisionLabels {
    /// `approve`, `reject`, `heal_now`, `release`.
    pub decision: &'static str,
    /// `done`, `first_of_two`, `refused`.
    pub outcome: &'static str,
}

/// How a lever answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AskLabels {
    /// `done`, `failed`, `unsupported`, `unknown`.
    pub outcome: &'static str,
}

/// Counters and gauges, named `immune_quarantine_...`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Cases opened.
    pub opened: Counter,
    /// Reports merged into an open case, or known already.
    pub merged: Counter,
    /// People's decisions.
    pub decisions: Family<DecisionLabels, Counter>,
    /// Quarantines in which an execution was seen.
    pub breaches: Counter,
    /// Asks of levers.
    pub asks: Family<AskLabels, Counter>,
    /// Saves that had to be repeated because somebody else was faster.
    pub conflicts: Counter,
    /// Cases that were not contained because of the blast radius.
    pub beyond_blast_radius: Counter,
    /// Waits that escalated.
    pub escalations: Counter,
    /// Admission checks that said no.
    pub denied: Counter,
    /// Admission checks answered as last known, because the store could not be asked.
    pub admissions_uncertain: Counter,
    /// Openings decided anew because other replicas had contained more agents.
    pub crowded: Counter,
    /// How old the news of other replicas may be, seconds; 0 while they are followed.
    pub feed_lag: Gauge<f64, AtomicU64>,
    /// Open cases.
    pub open: Gauge,
    /// Open cases whose agent is contained or on probation.
    pub contained: Gauge,
}

impl Metrics {
    /// Metrics that the registry knows.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Metrics::default();
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(format!("immune_quarantine_{name}"), help, counter.clone());
        };
        counter("cases_opened", "Cases opened", &m.opened);
        counter(
            "reports_merged",
            "Reports of agents that have an open case",
            &m.merged,
        );
        counter(
            "breaches",
            "Confirmed quarantines in which an execution was seen",
            &m.breaches,
        );
        counter(
            "save_conflicts",
            "Saves repeated because the case had changed",
            &m.conflicts,
        );
        counter(
            "cases_beyond_blast_radius",
            "Cases not contained: too many are",
            &m.beyond_blast_radius,
        );
        counter("escalations", "Waits for a person that escalated", &m.escalations);
        counter("admissions_denied", "Admission checks that said no", &m.denied);
        counter(
            "admissions_uncertain",
            "Admission checks answered as last known: the store could not be asked",
            &m.admissions_uncertain,
        );
        counter(
            "openings_crowded",
            "Openings decided anew: others had contained more agents",
            &m.crowded,
        );
        registry.register(
            "immune_quarantine_feed_lag_seconds",
            "How old the news of other replicas may be",
            m.feed_lag.clone(),
        );
        registry.register(
            "immune_quarantine_decisions",
            "People's decisions",
            m.decisions.clone(),
        );
        registry.register(
            "immune_quarantine_lever_asks",
            "Asks of levers by answer",
            m.asks.clone(),
        );
        registry.register("immune_quarantine_cases_open", "Open cases", m.open.clone());
        registry.register(
            "immune_quarantine_agents_contained",
            "Agents contained or on probation",
            m.contained.clone(),
        );
        m
    }

    pub(crate) fn decided(&self, decision: Decision, outcome: &'static str) {
        self.decisions
            .get_or_create(&DecisionLabels {
                decision: decision.as_str(),
                outcome,
            })
            .inc();
    }

    pub(crate) fn asked(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
            Outcome::Unsupported => "unsupported",
            Outcome::Unknown => "unknown",
        };
        self.asks.get_or_create(&AskLabels { outcome }).inc();
    }
}
