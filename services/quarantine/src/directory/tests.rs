//! What the directory tells, and forgets.

use super::*;
use immune_domain::case::{self, Command, Context, Person, Quarantine};
use immune_domain::detection::{Deviations, Infection, WindowSummary};
use immune_domain::policy::Policy;

const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

fn opened(id: &str, agent: &str, at: Timestamp) -> Case {
    let infection = Infection {
        id: id.into(),
        key: AgentKey::new("default", agent),
        detected_at: at,
        severity: 8.0,
        anomalies: vec![],
        deviations: Deviations::default(),
        hypotheses: vec![],
        ruled_out: vec![],
        window: WindowSummary::default(),
        evidence: vec![],
        baseline_version: 1,
        evidence_score: None,
        workload: Default::default(),
    };
    case::open(id.into(), infection, &Policy::default(), Context::default(), at).0
}

fn released(case: &Case) -> Case {
    let by = Person {
        subject: "dora".into(),
        via: "api_key".into(),
    };
    let release = Command::Release {
        by,
        reason: "known experiment".into(),
    };
    case::decide(case.clone(), release, &Policy::default(), case.updated_at)
        .expect("open")
        .0
}

/// Scenario: the save that closed a case is heard of before the one that went before it.
/// Guarantees: the case stays closed, for the admission check and for the blast radius.
#[test]
fn older_versions_change_nothing() {
    let directory = Directory::default();
    let case = opened("c-1", "a", START);
    directory.put(&released(&case));
    directory.put(&case);
    assert!(!directory.get(&case.key).expect("known").denies);
    assert_eq!(directory.crowd(&case.key.run), Crowd::default());
}

/// Scenario: late news of a closed case arrives when the agent has a new one.
/// Guarantees: the new one stays.
#[test]
fn the_open_case_wins_over_the_closed_one() {
    let directory = Directory::default();
    let first = opened("c-1", "a", START);
    let second = opened("c-2", "a", START);
    directory.put(&second);
    directory.put(&released(&first));
    assert_eq!(directory.get(&first.key).expect("known").case, second.id);
}

/// Scenario: a severe case is opened, its lever confirms, its agent executes all the same, a person releases it.
/// Guarantees: what waits, what is not confirmed and what is breached is told, and for how long.
#[test]
fn what_stands_still_is_told_with_its_age() {
    let directory = Directory::default();
    let case = opened("c-1", "a", START);
    directory.put(&case);
    let minute = Duration::from_secs(60);
    let sweep = directory.sweep(START.plus(minute));
    assert_eq!((sweep.waiting, sweep.unconfirmed, sweep.breached), (1, 1, 0));
    assert_eq!(
        (sweep.waiting_longest, sweep.unconfirmed_longest),
        (minute, minute)
    );
    let confirmed = Case {
        version: 2,
        quarantine: Quarantine {
            phase: QuarantinePhase::Confirmed,
            ..case.quarantine.clone()
        },
        ..case
    };
    directory.put(&confirmed);
    let sweep = directory.sweep(START.plus(minute));
    assert_eq!((sweep.waiting, sweep.unconfirmed), (1, 0));
    assert_eq!(sweep.unconfirmed_longest, Duration::ZERO);
    let breached = Case {
        version: 3,
        quarantine: Quarantine {
            phase: QuarantinePhase::Breached,
            since: START.plus(minute),
            ..confirmed.quarantine.clone()
        },
        ..confirmed
    };
    directory.put(&breached);
    let sweep = directory.sweep(START.plus(minute * 3));
    assert_eq!((sweep.unconfirmed, sweep.breached), (1, 1));
    assert_eq!(sweep.unconfirmed_longest, minute * 2);
    directory.put(&released(&Case {
        version: 4,
        ..breached
    }));
    let sweep = directory.sweep(START.plus(minute * 3));
    assert_eq!((sweep.open, sweep.waiting, sweep.breached), (0, 0, 0));
}

/// Scenario: cases come, come again, close, are forgotten.
/// Guarantees: each counts once; closed cases are forgotten after a minute.
#[test]
fn places_are_counted_once() {
    let directory = Directory::default();
    let cases = ["a", "b", "c"].map(|agent| opened(agent, agent, START));
    let run = &cases[0].key.run;
    for case in &cases {
        directory.put(case);
        directory.put(case);
    }
    assert_eq!(directory.crowd(run).contained, 3);
    let of = |sweep: Sweep| (sweep.open, sweep.contained);
    assert_eq!(of(directory.sweep(START)), (3, 3));
    directory.put(&released(&cases[0]));
    assert_eq!(directory.crowd(run).contained, 2);
    assert_eq!(of(directory.sweep(START.plus(CLOSED_KEPT))), (2, 2));
    assert_eq!(directory.get(&cases[0].key), None);
    directory.forget(&cases[1].key, &"another".into());
    directory.forget(&cases[1].key, &cases[1].id);
    directory.forget(&cases[1].key, &cases[1].id);
    assert_eq!(directory.crowd(run).contained, 1);
    assert_eq!(directory.open_cases().len(), 1);
}
