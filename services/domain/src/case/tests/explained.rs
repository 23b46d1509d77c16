//! Releases because of a fleet incident.

use super::*;
use crate::detection::Anomaly;

fn explained() -> Command {
    Command::Explained {
        incident: "incident-1".into(),
        because: "8 of 10 agents of run r depart in latency (up): 80 %".into(),
    }
}

/// Scenario: a fleet incident explains a contained agent, twice.
/// Guarantees: one release, whose record names the incident and no person; the levers are asked to let go.
#[test]
fn the_record_names_the_incident() {
    let case = contained(opened(8.0, &Policy::default()));
    let (released, effects) = decide(case, explained(), &Policy::default(), at(9)).unwrap();
    let State::Released { by, reason, .. } = &released.state else {
        panic!("{:?}", released.state)
    };
    assert_eq!(
        (by.subject.as_str(), by.via.as_str()),
        ("fleet check", "fleet_incident")
    );
    assert!(
        reason.starts_with("fleet incident incident-1: 8 of 10 agents"),
        "{reason}"
    );
    assert_eq!(
        (&released.last_decision, released.quarantine.phase),
        (&None, QuarantinePhase::Releasing)
    );
    let logged = effects.iter().find_map(|effect| match effect {
        Effect::Log(entry) => Some((entry.kind, entry.payload["incident_id"].clone())),
        Effect::Announce(_) | Effect::AskLever { .. } => None,
    });
    assert_eq!(logged, Some(("released_for_incident", "incident-1".into())));
    let (again, effects) = decide(released.clone(), explained(), &Policy::default(), at(10)).unwrap();
    assert!(again == released && effects.is_empty());
}

/// Scenario: a person has decided, a first of two people has, or the platform itself called the agent infected.
/// Guarantees: the case is left alone.
#[test]
fn a_word_counts_for_more() {
    let policy = Policy::default();
    let two = second::two_people();
    let severe = contained(opened(8.0, &policy));
    let mut reported = severe.clone();
    reported.infection.anomalies = vec![Anomaly::LatencySpike, Anomaly::PlatformReport];
    let rejected = after(severe.clone(), [reject()]);
    let first_of_two = second::apply(&contained(opened(8.0, &two)), approve(), &two);
    assert!(first_of_two.first_approval.is_some());
    for case in [reported, rejected, first_of_two] {
        let (next, effects) = decide(case.clone(), explained(), &policy, at(9)).unwrap();
        assert!(next == case && effects.is_empty());
    }
}
