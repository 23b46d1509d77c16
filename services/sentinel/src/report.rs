//! A report before and after it is sent.

use immune_domain::baseline::Profile;
use immune_domain::detection::{Anomaly, Evidence, Infection, Judgement, Recent, WORKLOAD_MAX};
use immune_domain::diagnosis::{Clues, Pattern, diagnose, ruled_out};
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, InfectionId, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Whether a report of an agent is under way: one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporting {
    /// None is.
    Idle,
    /// One is.
    UnderWay,
    /// One could not be delivered; not again before this time.
    NotBefore(Timestamp),
}

impl Reporting {
    /// Whether a report may begin.
    pub fn may_begin(self, now: Timestamp) -> bool {
        match self {
            Reporting::Idle => true,
            Reporting::UnderWay => false,
            Reporting::NotBefore(at) => now >= at,
        }
    }
}

/// What a report is made from, taken in one piece from the agent's state.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Whose.
    pub key: AgentKey,
    /// When.
    pub drafted_at: Timestamp,
    /// 0 to 10.
    pub severity: f64,
    /// The rule's word.
    pub judgement: Judgement,
    /// The window in numbers.
    pub recent: Recent,
    /// The window's length.
    pub window_length: Duration,
    /// When the oldest execution of the window ended.
    pub since: Timestamp,
    /// What was compared with.
    pub profile: Option<Arc<Profile>>,
    /// What else is known.
    pub clues: Clues,
    /// How sure the guarded detector is, where it decides and can say.
    pub evidence_score: Option<f64>,
    /// What policy is resolved by.
    pub agent_type: Option<Arc<str>>,
    /// What policy is resolved by.
    pub namespace: Option<Arc<str>>,
}

impl Draft {
    /// The report, with the executions that show it, oldest first.
    pub fn infection(&self, id: InfectionId, executions: &[Vitals]) -> Infection {
        let window = self
            .recent
            .summary(self.profile.as_deref(), self.window_length.as_secs_f64());
        let pattern = Pattern {
            judgement: &self.judgement,
            window: &window,
            clues: &self.clues,
        };
        let mut anomalies = self.judgement.anomalies();
        if self.clues.platform_word.is_some() {
            anomalies.push(Anomaly::PlatformReport);
        }
        let hypotheses = diagnose(&pattern);
        Infection {
            id,
            key: self.key.clone(),
            detected_at: self.drafted_at,
            severity: self.severity,
            anomalies,
            deviations: self.judgement.deviations,
            ruled_out: ruled_out(&pattern, &hypotheses),
            hypotheses,
            window,
            evidence: executions.iter().map(Evidence::of).collect(),
            baseline_version: self.profile.as_ref().map_or(0, |profile| profile.version),
            evidence_score: self.evidence_score,
            workload: executions.last().map(workload).unwrap_or_default(),
        }
    }
}

fn workload(latest: &Vitals) -> BTreeMap<String, String> {
    let attributes = latest.context.workload.iter().take(WORKLOAD_MAX);
    attributes.cloned().collect()
}
