//! What the quarantine role counts.

use crate::directory::Sweep;
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
    /// Quarantines that a lever had confirmed and that were taken away.
    pub lost: Counter,
    /// Asks of levers.
    pub asks: Family<AskLabels, Counter>,
    /// Saves that had to be repeated because somebody else was faster.
    pub conflicts: Counter,
    /// Cases that were not contained because of the blast radius.
    pub beyond_blast_radius: Counter,
    /// Waits that escalated.
    pub escalations: Counter,
    /// Cases released because a fleet incident explains them.
    pub explained: Counter,
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
    /// Open cases that wait for a person.
    pub waiting: Gauge,
    /// How long the one that waits longest has waited, seconds.
    pub waiting_longest: Gauge<f64, AtomicU64>,
    /// Open cases whose containment was asked for and that not every lever has confirmed.
    pub unconfirmed: Gauge,
    /// How long the oldest of them has been so, seconds.
    pub unconfirmed_longest: Gauge<f64, AtomicU64>,
    /// Open cases whose agent executed although every lever had confirmed.
    pub breached: Gauge,
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
            "containments_lost",
            "Confirmed quarantines that a lever found taken away",
            &m.lost,
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
        counter(
            "cases_explained",
            "Cases released because a fleet incident explains them",
            &m.explained,
        );
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
        let mut standing = |name: &str, help: &str, cases: &Gauge| {
            registry.register(format!("immune_quarantine_cases_{name}"), help, cases.clone());
        };
        standing("waiting", "Open cases that wait for a person", &m.waiting);
        let help = "Open cases whose containment not every lever has confirmed";
        standing("unconfirmed", help, &m.unconfirmed);
        let help = "Open cases whose agent executed in a confirmed quarantine, until it is confirmed again";
        standing("breached", help, &m.breached);
        registry.register(
            "immune_quarantine_waiting_longest_seconds",
            "How long the case that waits longest for a person has waited",
            m.waiting_longest.clone(),
        );
        registry.register(
            "immune_quarantine_unconfirmed_longest_seconds",
            "How long the oldest containment that is not confirmed has been asked for",
            m.unconfirmed_longest.clone(),
        );
        m
    }

    /// Sets the gauges of open cases.
    pub(crate) fn stand(&self, sweep: &Sweep) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.open.set(count(sweep.open));
        self.contained.set(count(sweep.contained));
        self.waiting.set(count(sweep.waiting));
        self.waiting_longest.set(sweep.waiting_longest.as_secs_f64());
        self.unconfirmed.set(count(sweep.unconfirmed));
        self.unconfirmed_longest
            .set(sweep.unconfirmed_longest.as_secs_f64());
        self.breached.set(count(sweep.breached));
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
