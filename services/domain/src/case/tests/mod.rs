//! The world of the tests: an agent, reports, people, a healer called `w1`, and one lever.

mod containment;
mod explained;
mod properties;
mod scenarios;
mod second;
mod table;

use super::*;
use crate::detection::{Deviations, WindowSummary};
use crate::diagnosis::Hypothesis;
use crate::healing::{Action, Trigger};
use crate::policy::Policy;
use crate::{ExecutionId, HealingId};
use std::time::Duration;

/// When every test begins.
pub(super) const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// Seconds after the start.
pub(super) fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

pub(super) fn infection(id: &str, severity: f64) -> Infection {
    Infection {
        id: id.into(),
        key: AgentKey::new("default", "agent-1"),
        detected_at: START,
        severity,
        anomalies: vec![],
        deviations: Deviations::default(),
        ruled_out: vec![],
        hypotheses: vec![Hypothesis {
            diagnosis: Diagnosis::PromptDrift,
            confidence: 0.9,
            because: "tokens are 9.2 standard deviations above the mean".into(),
        }],
        window: WindowSummary::default(),
        evidence: vec![],
        baseline_version: 1,
        evidence_score: None,
        workload: Default::default(),
    }
}

pub(super) fn person(name: &str) -> Person {
    Person {
        subject: name.into(),
        via: "api_key".into(),
    }
}

pub(super) fn opened(severity: f64, policy: &Policy) -> Case {
    open(
        "case-1".into(),
        infection("i-1", severity),
        policy,
        Context::default(),
        START,
    )
    .0
}

/// Applies commands that must succeed, one second apart, beginning a second after the last change.
pub(super) fn after(mut case: Case, commands: impl IntoIterator<Item = Command>) -> Case {
    for command in commands {
        let now = case.updated_at.plus(Duration::from_secs(3));
        let word = command.as_str();
        case = match decide(case, command, &Policy::default(), now) {
            Ok((case, _)) => case,
            Err(refusal) => panic!("{word}: {refusal}"),
        };
    }
    case
}

/// The fencing token that holds.
pub(super) fn fence(case: &Case) -> u64 {
    match &case.state {
        State::Healing { lease, .. } | State::Probation { lease, .. } => lease.fence,
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healed { .. }
        | State::Released { .. } => 0,
    }
}

pub(super) fn lever(case: &Case, status: LeverStatus) -> Command {
    let lever = &case.quarantine.levers[0];
    Command::LeverAnswered {
        lever: lever.lever.clone(),
        wanted: lever.wanted,
        generation: lever.generation,
        status,
        detail: "receipt 7".into(),
    }
}

pub(super) fn contained(case: Case) -> Case {
    let confirm = lever(&case, LeverStatus::Confirmed);
    after(case, [confirm])
}

pub(super) fn approve() -> Command {
    Command::Approve {
        by: person("alice"),
        reason: "looks curable".into(),
    }
}

pub(super) fn reject() -> Command {
    Command::Reject {
        by: person("bob"),
        reason: String::new(),
    }
}

pub(super) fn heal_now() -> Command {
    Command::HealNow {
        by: person("carol"),
        reason: String::new(),
    }
}

pub(super) fn release() -> Command {
    Command::Release {
        by: person("dora"),
        reason: "known experiment".into(),
    }
}

pub(super) fn claim(worker: &str) -> Command {
    Command::Claim {
        worker: worker.into(),
        lease: LEASE,
    }
}

pub(super) fn begin(fence: u64, healing: &str, action: Action) -> Command {
    Command::BeginStep {
        fence,
        healing: healing.into(),
        action,
    }
}

pub(super) fn done(fence: u64, healing: &str) -> Command {
    Command::StepDone {
        fence,
        healing: healing.into(),
        detail: "did it".into(),
    }
}

pub(super) fn failed(fence: u64, healing: &str) -> Command {
    Command::StepFailed {
        fence,
        healing: healing.into(),
        detail: "no such snapshot".into(),
    }
}

pub(super) fn verified(fence: u64, healing: &str, verdict: Verdict) -> Command {
    Command::Verified {
        fence,
        healing: healing.into(),
        verdict,
        detail: "5 executions".into(),
    }
}

/// A contained case that a healer holds, before it chose a step.
pub(super) fn healing(severity: f64) -> Case {
    let mut case = contained(opened(severity, &Policy::default()));
    if severity >= 7.0 {
        case = after(case, [approve()]);
    }
    after(case, [claim("w1")])
}

/// A case whose first step `h-1` (reset_memory) is under way.
pub(super) fn acting(severity: f64) -> Case {
    let case = healing(severity);
    let fence = fence(&case);
    after(case, [begin(fence, "h-1", Action::ResetMemory)])
}

/// A case whose first step is being proven.
pub(super) fn on_probation(severity: f64) -> Case {
    let case = acting(severity);
    let fence = fence(&case);
    after(case, [done(fence, "h-1")])
}

pub(super) fn kinds(effects: &[Effect]) -> Vec<&'static str> {
    effects
        .iter()
        .map(|effect| match effect {
            Effect::Log(entry) => entry.kind,
            Effect::Announce(announcement) => announcement.kind.as_str(),
            Effect::AskLever { wanted, .. } => wanted.as_str(),
        })
        .collect()
}
