//! The case of an agent: what is known of it, and what follows for the agent.

use super::Agent;
use crate::report::Reporting;
use immune_domain::case::{Case, QuarantinePhase, State};
use immune_domain::detection::{Anomaly, Judgement};
use immune_domain::{CaseId, Timestamp};

/// What the sentinel keeps of an open case.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenCase {
    /// Which.
    pub id: CaseId,
    /// The worst that was told.
    pub severity: f64,
    /// Whether the platform's word is part of it.
    pub has_platform_word: bool,
    /// Whether a healer is at work or proves its work: then `JudgeSince` speaks, not reports.
    pub is_healing: bool,
    /// Whether the agent should not execute at all.
    pub is_contained: bool,
    /// Which watch on the cases last spoke of it.
    pub generation: u64,
}

/// What an agent's latest case tells that was not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    Nothing,
    /// It is open.
    OpenCase,
    /// The agent was healed or released then: what was judged is forgotten, and what began since is to be judged
    /// once more.
    FreshAfter(Timestamp),
}

impl Agent {
    /// Quarantine accepted a report: it has a case now, unless that case was closed in the meantime.
    pub fn accepted(&mut self, id: CaseId, severity: f64, has_platform_word: bool, generation: u64) {
        self.reporting = Reporting::Idle;
        if has_platform_word {
            self.platform_word = None;
        }
        if self.closed_case.as_ref() == Some(&id) {
            return;
        }
        match &mut self.case {
            Some(case) if case.id == id => {
                case.severity = case.severity.max(severity);
                case.has_platform_word |= has_platform_word;
            }
            Some(_) | None => {
                // Whether it is contained only quarantine knows; its event says so in a moment.
                let (is_healing, is_contained) = (false, false);
                self.case = Some(OpenCase {
                    id,
                    severity,
                    has_platform_word,
                    is_healing,
                    is_contained,
                    generation,
                });
            }
        }
    }

    /// Quarantine spoke of a case of this agent.
    pub fn note_case(&mut self, case: &Case, generation: u64) {
        let is_healing = match &case.state {
            State::Healed { at, .. } | State::Released { at, .. } => {
                if self.case.as_ref().is_none_or(|open| open.id == case.id) {
                    self.closed(case.id.clone(), *at);
                }
                return;
            }
            State::Probation { since, .. } => {
                self.begin_anew(*since);
                true
            }
            State::Healing { .. } => true,
            State::AwaitingApproval { .. } | State::Rejected { .. } | State::HealQueued { .. } => false,
        };
        let is_contained = match case.quarantine.phase {
            QuarantinePhase::Requested
            | QuarantinePhase::Partial
            | QuarantinePhase::Confirmed
            | QuarantinePhase::Breached => true,
            QuarantinePhase::NotWanted
            | QuarantinePhase::Probation
            | QuarantinePhase::Releasing
            | QuarantinePhase::Released => false,
        };
        self.case = Some(OpenCase {
            id: case.id.clone(),
            severity: case.infection.severity,
            has_platform_word: case.infection.anomalies.contains(&Anomaly::PlatformReport),
            is_healing,
            is_contained,
            generation,
        });
    }

    /// Whether the latest case is known, by the watch or because it was asked for.
    pub fn is_acquainted(&self) -> bool {
        self.has_asked || self.case.is_some() || self.closed_case.is_some()
    }

    /// Quarantine said which case is the latest, or that there is none.
    ///
    /// An agent that came here with its partition may have been released moments ago, where this replica did not
    /// watch: the executions before that come again with the partition, and must not accuse it.
    pub fn acquaint(&mut self, latest: Option<&Case>, generation: u64) -> News {
        if self.is_acquainted() {
            return News::Nothing;
        }
        self.has_asked = true;
        let Some(case) = latest else {
            return News::Nothing;
        };
        let before = self.fresh_after;
        self.note_case(case, generation);
        if self.fresh_after == before {
            return News::OpenCase;
        }
        if let Some(guarding) = &mut self.guarding {
            guarding.forget();
        }
        News::FreshAfter(self.fresh_after)
    }

    /// What is kept of an agent whose partition goes to another replica.
    pub fn only_case(self) -> Option<Agent> {
        let case = Some(self.case?);
        Some(Agent {
            case,
            agent_type: self.agent_type,
            namespace: self.namespace,
            fresh_after: self.fresh_after,
            closed_case: self.closed_case,
            ..Agent::new(self.policy)
        })
    }

    /// The case is over: what was seen before says nothing about the agent from now on.
    pub fn closed(&mut self, id: CaseId, at: Timestamp) {
        self.case = None;
        self.closed_case = Some(id);
        self.platform_word = None;
        self.begin_anew(at);
    }

    pub(crate) fn begin_anew(&mut self, at: Timestamp) {
        if at > self.fresh_after {
            self.fresh_after = at;
            self.window.restart();
            self.judgement = Judgement::default();
            if let Some(guarding) = &mut self.guarding {
                guarding.restart();
            }
        }
    }
}
