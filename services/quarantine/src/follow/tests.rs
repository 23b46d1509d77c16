//! What the directory needs to know always comes with an event.

use crate::directory::Entry;
use immune_domain::case::{
    self, Case, Command, Context, Effect, LeverStatus, Person, QuarantinePhase, State, Verdict,
};
use immune_domain::detection::{Deviations, Infection, WindowSummary};
use immune_domain::healing::Action;
use immune_domain::policy::Policy;
use immune_domain::{AgentKey, HealingId, Timestamp};
use std::time::Duration;

/// A small generator: the seed is all that a failure needs to be replayed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

fn infection(id: u64, severity: f64) -> Infection {
    Infection {
        id: format!("i-{id}").into(),
        key: AgentKey::new("default", "a"),
        detected_at: Timestamp::EPOCH,
        severity,
        anomalies: vec![],
        deviations: Deviations::default(),
        hypotheses: vec![],
        ruled_out: vec![],
        window: WindowSummary::default(),
        evidence: vec![],
        baseline_version: 1,
        evidence_score: None,
        workload: Default::default(),
    }
}

/// Something that may happen to a case next, sensible or not.
fn anything(chance: &mut Chance, case: &Case, now: Timestamp) -> Command {
    let fence = match &case.state {
        State::Healing { lease, .. } | State::Probation { lease, .. } => lease.fence,
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healed { .. }
        | State::Released { .. } => 0,
    };
    let healing = match &case.state {
        State::Healing { step: Some(step), .. } | State::Probation { step, .. } => step.healing.clone(),
        State::Healing { step: None, .. }
        | State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healed { .. }
        | State::Released { .. } => HealingId::new(format!("h-{}", chance.below(1_000_000))),
    };
    let by = Person {
        subject: "dora".into(),
        via: "api_key".into(),
    };
    let (reason, detail) = ("because".to_owned(), "in words".to_owned());
    match chance.below(22) {
        0 => Command::Approve { by, reason },
        1 => Command::Reject { by, reason },
        2 => Command::HealNow { by, reason },
        3 if chance.below(6) == 0 => Command::Release { by, reason },
        4 => Command::ReportAgain {
            infection: Box::new(infection(chance.below(1_000), chance.below(11) as f64)),
        },
        5 => Command::RenewLease {
            fence,
            lease: Duration::from_secs(10),
        },
        6 | 7 => Command::BeginStep {
            fence,
            healing,
            action: chance.one_of(&[Action::ResetMemory, Action::RollbackPrompt, Action::CloneAgent]),
        },
        8 => Command::StepDone {
            fence,
            healing,
            detail,
        },
        9 => Command::StepFailed {
            fence,
            healing,
            detail,
        },
        10 => Command::StepUnsupported {
            fence,
            healing,
            detail,
        },
        11 => Command::LadderExhausted { fence, detail },
        12 => Command::Verified {
            fence,
            healing,
            verdict: chance.one_of(&[Verdict::Passed, Verdict::Failed, Verdict::Silent]),
            detail,
        },
        13 => Command::ExecutionSeen {
            execution: "e".into(),
            started_at: now,
        },
        14 => Command::Tick,
        15 => Command::Claim {
            worker: "w".into(),
            lease: Duration::from_secs(10),
        },
        _ => {
            let lever = &case.quarantine.levers[chance.below(case.quarantine.levers.len() as u64) as usize];
            Command::LeverAnswered {
                lever: lever.lever.clone(),
                wanted: lever.wanted,
                generation: lever.generation,
                status: chance.one_of(&[
                    LeverStatus::Confirmed,
                    LeverStatus::Confirmed,
                    LeverStatus::Failed,
                    LeverStatus::Unsupported,
                    LeverStatus::Requested,
                ]),
                detail,
            }
        }
    }
}

/// What of an entry is used: by the admission check, the blast radius, the clock and the report of executions.
fn used(case: &Case) -> impl PartialEq + std::fmt::Debug + use<> {
    let entry = Entry::of(case);
    let can_be_breached = match entry.phase {
        QuarantinePhase::Confirmed | QuarantinePhase::Breached => true,
        QuarantinePhase::NotWanted
        | QuarantinePhase::Requested
        | QuarantinePhase::Partial
        | QuarantinePhase::Probation
        | QuarantinePhase::Releasing
        | QuarantinePhase::Released => false,
    };
    let wanted: Vec<_> = case.quarantine.levers.iter().map(|lever| lever.wanted).collect();
    (
        (entry.is_closed, entry.denies, entry.place, entry.ticks_at),
        (can_be_breached, wanted),
    )
}

/// Scenario: two thousand cases of two levers, each with up to sixty things happening to it in any order.
/// Guarantees: whatever changes something that the directory is used for, or that levers are asked for, comes with an
/// event; so a replica that follows the events knows it.
#[test]
fn what_matters_is_announced() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut chance = Chance(seed);
    let mut changes = 0;
    for round in 0..2_000 {
        let policy = Policy {
            levers: vec!["lifecycle".into(), "gateway".into()],
            cooldown_seconds: 1,
            ..Policy::default()
        };
        let context = Context {
            quarantined_now: chance.one_of(&[0, 0, 0, 1_000]),
            ..Context::default()
        };
        let mut now = Timestamp::from_micros(1_767_225_600_000_000);
        let severity = chance.one_of(&[5.0, 8.0]);
        let (mut case, _) = case::open("c-1".into(), infection(round, severity), &policy, context, now);
        for _ in 0..60 {
            now = now.plus(Duration::from_secs(chance.one_of(&[0, 1, 20, 1_000])));
            let command = anything(&mut chance, &case, now);
            let Ok((next, effects)) = case::decide(case.clone(), command.clone(), &policy, now) else {
                continue;
            };
            let is_announced = effects.iter().any(|effect| matches!(effect, Effect::Announce(_)));
            if used(&case) != used(&next) {
                changes += 1;
                assert!(is_announced, "{command:?}\nof {case:?}\nto {next:?}");
            }
            case = next;
        }
    }
    assert!(changes > 2_000, "{changes}");
}
