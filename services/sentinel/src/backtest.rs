//! Stored executions judged once more: would last month's data have raised it, and under another policy?
//!
//! Each agent by itself, in virtual time, by the detector that judges live ([`crate::replay`]). Cases on record happened
//! in the replay as they did: what a person or a healer did then cannot be played again. Every infection on record is
//! decided once more beside it; that it comes out the same to the last bit is what the rest may be believed by.
//!
//! What no record has is not repeated: executions that were reported while they ran and replaced when they ended, records
//! that were corrected later, and what notes and references held when the process of that time began.

use crate::replay::{Alarm, Happened, Replay, Settings};
use immune_domain::case::{Case, State};
use immune_domain::detection::Infection;
use immune_domain::policy::{Compiled, Policy};
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, Timestamp};
use std::sync::Arc;

/// Executions that are read of one agent, those to learn from included; the latest.
pub const EXECUTIONS_MAX: u32 = 10_000;
/// Alarms that are told of one agent.
pub const ALARMS_MAX: usize = 1_000;

/// A period: from a time on and before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// From when on.
    pub from: Timestamp,
    /// Before when.
    pub to: Timestamp,
}

impl Period {
    fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

/// An infection on record, decided once more.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The case that has it.
    pub case: immune_domain::CaseId,
    /// As it is on record.
    pub recorded: Infection,
    /// The first part in which the replay differs.
    pub difference: Option<&'static str>,
}

/// What became of one agent in a replay.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// The alarms that began in the period.
    pub alarms: Vec<Alarm>,
    /// The infections on record in the period.
    pub decisions: Vec<Decision>,
}

/// One agent as it is on record.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Who.
    pub key: AgentKey,
    /// Its executions, in any order.
    pub executions: Vec<Vitals>,
    /// Its cases, in any order.
    pub cases: Vec<Case>,
}

impl Recorded {
    /// The policy that holds for the agent, by what its last execution says of it.
    pub fn policy(&self, policies: &Compiled) -> Arc<Policy> {
        let context = self.executions.last().map(|vitals| &vitals.context);
        let agent_type = context.and_then(|context| context.agent_type.as_deref());
        let namespace = context.and_then(|context| context.namespace());
        policies
            .resolve(&self.key.run, &self.key.agent, agent_type, namespace)
            .clone()
    }

    /// Brings executions into the order in which they were received, as the sentinel saw them.
    pub fn order(&mut self) {
        self.executions.sort_by(|a, b| {
            (a.received_at, a.timestamp, &a.execution).cmp(&(b.received_at, b.timestamp, &b.execution))
        });
    }

    /// Replays the agent under a policy; executions must be in order.
    pub fn replay(&self, policy: Arc<Policy>, settings: Settings, period: Period) -> Outcome {
        let mut replay = Replay::new(self.key.clone(), policy, settings);
        let mut outcome = Outcome::default();
        let mut alarms = Vec::new();
        let mut steps = self.steps().into_iter().peekable();
        for vitals in &self.executions {
            while let Some((at, step)) = steps.next_if(|(at, _)| *at < vitals.received_at) {
                take_step(&mut replay, at, &step, &mut outcome, period);
            }
            replay.take(vitals, &mut alarms);
            keep(&mut alarms, &mut outcome, period);
        }
        for (at, step) in steps {
            take_step(&mut replay, at, &step, &mut outcome, period);
        }
        replay.end(&mut alarms);
        keep(&mut alarms, &mut outcome, period);
        outcome
    }

    /// What is on record beside the executions, in the order of time.
    fn steps(&self) -> Vec<(Timestamp, Step<'_>)> {
        let mut steps = Vec::new();
        for case in &self.cases {
            steps.push((case.infection.detected_at, Step::Decided(case)));
            steps.push((case.opened_at, Step::Happened(Happened::Opened(case.id.clone()))));
            let probations = case
                .timeline
                .iter()
                .filter(|entry| entry.kind == "probation_started");
            steps.extend(probations.map(|entry| (entry.at, Step::Happened(Happened::Probation))));
            match &case.state {
                State::Healed { at, .. } | State::Released { at, .. } => {
                    steps.push((*at, Step::Happened(Happened::Closed(case.id.clone()))));
                }
                State::AwaitingApproval { .. }
                | State::Rejected { .. }
                | State::HealQueued { .. }
                | State::Healing { .. }
                | State::Probation { .. } => {}
            }
        }
        // Stable: an infection is decided before the case that it opens.
        steps.sort_by_key(|(at, _)| *at);
        steps
    }
}

enum Step<'a> {
    Happened(Happened),
    Decided(&'a Case),
}

fn take_step(replay: &mut Replay, at: Timestamp, step: &Step<'_>, outcome: &mut Outcome, period: Period) {
    match step {
        Step::Happened(happened) => replay.happened(happened, at),
        Step::Decided(case) => {
            let again = replay.decided(&case.infection);
            if period.holds(at) {
                outcome.decisions.push(Decision {
                    case: case.id.clone(),
                    recorded: case.infection.clone(),
                    difference: difference(&case.infection, &again),
                });
            }
        }
    }
}

/// The first part of a decision that is not the same, to the last bit.
fn difference(recorded: &Infection, again: &Infection) -> Option<&'static str> {
    let bits = |x: Option<f64>| x.map(f64::to_bits);
    let same = [
        (
            "evidence",
            bits(recorded.evidence_score) == bits(again.evidence_score),
        ),
        ("window", recorded.window == again.window),
        ("deviations", recorded.deviations == again.deviations),
        (
            "severity",
            recorded.severity.to_bits() == again.severity.to_bits(),
        ),
        ("anomalies", recorded.anomalies == again.anomalies),
        ("diagnoses", recorded.hypotheses == again.hypotheses),
        ("what was ruled out", recorded.ruled_out == again.ruled_out),
    ];
    same.iter().find(|(_, is_same)| !is_same).map(|(part, _)| *part)
}

/// Keeps the alarms that began in the period.
fn keep(alarms: &mut Vec<Alarm>, outcome: &mut Outcome, period: Period) {
    let room = ALARMS_MAX - outcome.alarms.len();
    let began = alarms
        .drain(..)
        .filter(|alarm| alarm.begins && period.holds(alarm.at));
    outcome.alarms.extend(began.take(room));
}

#[cfg(test)]
#[path = "backtest_tests.rs"]
mod tests;
