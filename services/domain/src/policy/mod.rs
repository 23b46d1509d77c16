//! Policy: which rules hold for which agent. A list of rules; the first that matches an agent applies, fields it
//! leaves out come from the defaults.

mod check;
mod live;
mod rules;
mod silence;

pub use live::LivePolicies;
pub use rules::{Compiled, Match, Policies, Rule, matches_pattern};
pub use silence::Silence;

use crate::diagnosis::Diagnosis;
use crate::healing::Action;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What holds for one agent, every field decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Whether levers are pulled at all.
    pub mode: Mode,
    /// From this severity on a person decides; 0 to 10, default 7.0 (`SEVERITY_REQUIRING_APPROVAL`).
    pub severity_requiring_approval: f64,
    /// From this severity on it takes two people to let the agent act again (approve, heal now, release); 0 to 10, not
    /// below `severity_requiring_approval`; default none.
    pub second_person_from_severity: Option<f64>,
    /// How long the first of two people's words counts, seconds, default 3,600.
    pub second_person_within_seconds: u32,
    /// Who may decide on cases: verified subjects, `*` for any run of characters. Empty, the default: whoever may
    /// decide at all.
    pub approvers: Vec<String>,
    /// Who decides that an agent is infected, default `guarded`.
    pub detector: Detector,
    /// Deviation above which a metric is an anomaly, standard deviations, default 2.5.
    pub threshold_stddev: f64,
    /// Length of the recent window, seconds, default 10.
    pub window_seconds: u32,
    /// Samples before a baseline may judge, default 15.
    pub baseline_samples_min: u32,
    /// Whether a high retry rate is an anomaly of its own, default true.
    pub high_retry_rate: bool,
    /// Share of recent executions with a retry above which the rate is high, default 0.30.
    pub high_retry_share: f64,
    /// Whether posted vitals are judged here; default false: posted records drive nothing.
    pub judge_posted_vitals: bool,
    /// Order of actions per diagnosis.
    pub ladders: BTreeMap<Diagnosis, Vec<Action>>,
    /// Probation after a healing.
    pub probation: Probation,
    /// Automatic quarantines per run at the same time.
    pub blast_radius: BlastRadius,
    /// Wait between two steps of a ladder, seconds, default 2.
    pub cooldown_seconds: u32,
    /// Steps per case before a person is asked, default 8.
    pub attempts_max: u32,
    /// Time until a waiting approval escalates, seconds, default 900.
    pub approval_escalates_after_seconds: u32,
    /// When the telemetry of an agent has stopped.
    pub silence: Silence,
    /// Names of the levers that contain and heal this agent; default `["lifecycle"]`.
    pub levers: Vec<String>,
}

/// Whether levers are pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Detect and show; never contain or heal without a person's order.
    Observe,
    /// Contain and heal.
    #[default]
    Enforce,
}

/// Who decides that an agent is infected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// The rule alone: a deviation over the threshold is an infection.
    Specified,
    /// A deviation over the threshold makes an agent only suspect, which is shown and causes no action. It is infected,
    /// and a case opens, when the evidence score is over its threshold ([`crate::detection::guarded`]). Severity stays
    /// the formula's.
    #[default]
    Guarded,
}

/// How a healing is proven.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Probation {
    /// Executions that must lie within the baseline, default 5.
    pub executions: u32,
    /// After this time fewer executions are enough, as long as there is one; seconds, default 60.
    pub seconds: u32,
    /// After this time without any execution nothing is proven and a person is asked; seconds, default 600.
    pub silence_seconds_max: u32,
}

/// The cap on automatic quarantines at the same time: the larger of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlastRadius {
    /// Agents, default 5.
    pub agents: u32,
    /// Share of the agents seen in the last hour, default 0.20.
    pub share: f64,
}

impl Default for Probation {
    fn default() -> Self {
        Probation {
            executions: 5,
            seconds: 60,
            silence_seconds_max: 600,
        }
    }
}

impl Default for BlastRadius {
    fn default() -> Self {
        BlastRadius {
            agents: 5,
            share: 0.20,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            mode: Mode::Enforce,
            severity_requiring_approval: 7.0,
            second_person_from_severity: None,
            second_person_within_seconds: 3_600,
            approvers: Vec::new(),
            detector: Detector::Guarded,
            threshold_stddev: 2.5,
            window_seconds: 10,
            baseline_samples_min: 15,
            high_retry_rate: true,
            high_retry_share: 0.30,
            judge_posted_vitals: false,
            ladders: default_ladders(),
            probation: Probation::default(),
            blast_radius: BlastRadius::default(),
            cooldown_seconds: 2,
            attempts_max: 8,
            approval_escalates_after_seconds: 900,
            silence: Silence::default(),
            levers: vec!["lifecycle".to_owned()],
        }
    }
}

/// The ladders that existing users know, extended to the diagnoses that are newer.
fn default_ladders() -> BTreeMap<Diagnosis, Vec<Action>> {
    use Action::{CloneAgent, ReduceAutonomy, ResetAgent, ResetMemory, RevokeTools, RollbackPrompt};
    BTreeMap::from([
        (
            Diagnosis::PromptDrift,
            vec![ResetMemory, RollbackPrompt, ReduceAutonomy, CloneAgent],
        ),
        (
            Diagnosis::PromptInjection,
            vec![RevokeTools, ResetMemory, RollbackPrompt, CloneAgent, ResetAgent],
        ),
        (
            Diagnosis::InfiniteLoop,
            vec![ReduceAutonomy, ResetMemory, CloneAgent],
        ),
        (
            Diagnosis::ToolInstability,
            vec![ReduceAutonomy, RollbackPrompt, CloneAgent],
        ),
        (
            Diagnosis::RetryStorm,
            vec![ReduceAutonomy, ResetMemory, CloneAgent],
        ),
        (Diagnosis::MemoryCorruption, vec![ResetMemory, CloneAgent]),
        (
            Diagnosis::LatencyDegradation,
            vec![ReduceAutonomy, ResetMemory, CloneAgent],
        ),
        (
            Diagnosis::TokenExplosion,
            vec![ResetMemory, RollbackPrompt, ReduceAutonomy, CloneAgent],
        ),
        (
            Diagnosis::CostOverrun,
            vec![ReduceAutonomy, ResetMemory, CloneAgent],
        ),
        (
            Diagnosis::SilentDegradation,
            vec![RollbackPrompt, ResetMemory, CloneAgent],
        ),
        (Diagnosis::ExternalCause, vec![]),
        (Diagnosis::Unknown, vec![ResetMemory, ReduceAutonomy, CloneAgent]),
    ])
}

impl Policy {
    /// Whether a verified subject may decide.
    pub fn lets_decide(&self, subject: &str) -> bool {
        let mut patterns = self.approvers.iter();
        self.approvers.is_empty() || patterns.any(|pattern| matches_pattern(pattern, subject))
    }

    /// The order of actions for a diagnosis; that of `unknown` where policy names none.
    pub fn ladder(&self, diagnosis: Diagnosis) -> &[Action] {
        let ladder = self
            .ladders
            .get(&diagnosis)
            .or_else(|| self.ladders.get(&Diagnosis::Unknown));
        ladder.map_or(&[], Vec::as_slice)
    }
}
