use super::*;

fn two_levers() -> Case {
    let levers = vec!["lifecycle".to_owned(), "kubernetes".to_owned()];
    opened(
        8.0,
        &Policy {
            levers,
            ..Policy::default()
        },
    )
}

fn answer(case: &Case, lever: &str, status: LeverStatus) -> Command {
    let state = case
        .quarantine
        .levers
        .iter()
        .find(|l| l.lever == lever)
        .expect("known");
    Command::LeverAnswered {
        lever: lever.into(),
        wanted: state.wanted,
        generation: state.generation,
        status,
        detail: "receipt".into(),
    }
}

fn answered(case: Case, lever: &str, status: LeverStatus) -> Case {
    let command = answer(&case, lever, status);
    after(case, [command])
}

fn seen(started_at: Timestamp) -> Command {
    Command::ExecutionSeen {
        execution: "trace-span".into(),
        started_at,
    }
}

/// Scenario: two levers confirm one after the other.
/// Guarantees: requested, partial, confirmed; one event, at the last.
#[test]
fn every_lever_has_to_confirm() {
    let case = answered(two_levers(), "lifecycle", LeverStatus::Confirmed);
    assert_eq!(case.quarantine.phase, QuarantinePhase::Partial);
    let last = answer(&case, "kubernetes", LeverStatus::Confirmed);
    let (case, effects) = decide(case, last, &Policy::default(), at(9)).expect("applies");
    assert_eq!(case.quarantine.phase, QuarantinePhase::Confirmed);
    assert_eq!(kinds(&effects), ["quarantine_confirmed", "case_contained"]);
}

/// Scenario: one lever cannot do it; then none can.
/// Guarantees: the others decide; where none can, nothing is ever called confirmed.
#[test]
fn a_lever_that_cannot_is_not_waited_for() {
    let case = answered(two_levers(), "kubernetes", LeverStatus::Unsupported);
    assert_eq!(case.quarantine.phase, QuarantinePhase::Requested);
    let confirmed = answered(case.clone(), "lifecycle", LeverStatus::Confirmed);
    assert_eq!(confirmed.quarantine.phase, QuarantinePhase::Confirmed);
    let none = answered(case, "lifecycle", LeverStatus::Unsupported);
    assert_eq!(none.quarantine.phase, QuarantinePhase::Requested);
    assert!(none.denies_admission(), "the admission check still holds");
    let released = after(none, [release()]);
    let released = answered(released, "lifecycle", LeverStatus::Unsupported);
    let released = answered(released, "kubernetes", LeverStatus::Unsupported);
    assert_eq!(released.quarantine.phase, QuarantinePhase::Released);
}

/// Scenario: a lever says no, again and again, or says nothing.
/// Guarantees: after a no the next ask has a new key and waits longer, up to a minute; after silence the same key.
#[test]
fn retries_back_off_with_the_right_key() {
    let mut case = two_levers();
    let mut waits = Vec::new();
    for i in 1..=9 {
        case = answered(case, "lifecycle", LeverStatus::Failed);
        let lever = &case.quarantine.levers[0];
        assert_eq!((lever.generation, lever.attempts), (1 + i, i));
        waits.push(lever.retry_at.since(case.updated_at).as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    let before = case.quarantine.levers[0].generation;
    let case = answered(case, "lifecycle", LeverStatus::Requested);
    assert_eq!(case.quarantine.levers[0].generation, before);
}

/// Scenario: the answer to an old ask arrives after something else was wanted, or after it was asked again.
/// Guarantees: it changes nothing.
#[test]
fn late_answers_change_nothing() {
    let case = opened(8.0, &Policy::default());
    let late = answer(&case, "lifecycle", LeverStatus::Confirmed);
    for case in [
        after(case.clone(), [release()]),
        answered(case, "lifecycle", LeverStatus::Failed),
    ] {
        let (same, effects) =
            decide(case.clone(), late.clone(), &Policy::default(), at(99)).expect("no harm");
        assert_eq!((same, effects.len()), (case, 0));
    }
}

/// Scenario: an answer of a lever that the case does not have.
/// Guarantees: refused by name.
#[test]
fn unknown_levers_are_refused() {
    let case = opened(8.0, &Policy::default());
    let mut command = answer(&case, "lifecycle", LeverStatus::Confirmed);
    if let Command::LeverAnswered { lever, .. } = &mut command {
        *lever = "gateway".into();
    }
    let refusal = decide(case, command, &Policy::default(), at(9)).expect_err("refused");
    assert_eq!(refusal.to_string(), "case has no lever \"gateway\"");
}

/// Scenario: a lever says done, then an execution starts; executions also start before, and within the tolerance.
/// Guarantees: only the one that started after the confirmation breaches; the lever is asked anew, and its new
/// receipt confirms again.
#[test]
fn a_lie_is_a_breach() {
    let case = contained(opened(8.0, &Policy::default()));
    let confirmed_at = case.quarantine.since;
    for harmless in [START, confirmed_at, confirmed_at.plus(CLOCK_TOLERANCE)] {
        assert_eq!(after(case.clone(), [seen(harmless)]).version, case.version);
    }
    let started = confirmed_at.plus(CLOCK_TOLERANCE + Duration::from_micros(1));
    let (case, effects) = decide(case, seen(started), &Policy::default(), at(30)).expect("applies");
    assert_eq!(
        kinds(&effects),
        ["quarantine_breached", "case_breached", "contained"]
    );
    assert_eq!(
        (case.quarantine.phase, case.quarantine.breaches),
        (QuarantinePhase::Breached, 1)
    );
    let (case, effects) = decide(case, seen(at(31)), &Policy::default(), at(31)).expect("applies");
    assert_eq!(
        (case.quarantine.breaches, effects.len()),
        (2, 0),
        "counted, announced once"
    );
    let case = contained(case);
    assert_eq!(case.quarantine.phase, QuarantinePhase::Confirmed);
    assert_eq!(
        after(case.clone(), [seen(at(31))]).version,
        case.version,
        "old news after the new receipt"
    );
}

/// Scenario: executions during probation and after release.
/// Guarantees: they are what probation is for; no breach.
#[test]
fn probation_is_no_breach() {
    let case = on_probation(4.0);
    assert_eq!(after(case.clone(), [seen(at(3_600))]).version, case.version);
}

/// Scenario: a healer claims while the lever has not answered.
/// Guarantees: containment comes first, but a lever that is away delays healing by 15 s only.
#[test]
fn containment_comes_first_for_a_while() {
    let policy = Policy::default();
    let case = opened(4.0, &policy);
    let refusal = decide(case.clone(), claim("w1"), &policy, at(14)).expect_err("not yet");
    assert_eq!(refusal, Refusal::NotDue { not_before: at(15) });
    assert!(decide(case.clone(), claim("w1"), &policy, at(15)).is_ok());
    let confirmed = contained(case);
    assert!(decide(confirmed.clone(), claim("w1"), &policy, confirmed.updated_at).is_ok());
}

/// Scenario: somebody takes away what a lever had made; the lever is looked at twice, and an old look comes late.
/// Guarantees: the quarantine is breached once and every lever is asked anew; the new receipt confirms again; an old
/// look, and a look at an agent that is free, change nothing.
#[test]
fn what_was_taken_away_is_a_breach() {
    let case = contained(opened(8.0, &Policy::default()));
    let lost = |case: &Case| Command::LeverLost {
        lever: "lifecycle".into(),
        generation: case.quarantine.levers[0].generation,
        detail: "no policy".into(),
    };
    let look = lost(&case);
    let (breached, effects) =
        decide(case.clone(), look.clone(), &Policy::default(), at(30)).expect("applies");
    assert_eq!(
        kinds(&effects),
        ["quarantine_breached", "case_breached", "contained"]
    );
    assert_eq!(
        (breached.quarantine.phase, breached.quarantine.breaches),
        (QuarantinePhase::Breached, 0)
    );
    let again = answered(breached.clone(), "lifecycle", LeverStatus::Confirmed);
    assert_eq!(again.quarantine.phase, QuarantinePhase::Confirmed);
    let free = after(case, [release()]);
    for (case, look) in [
        (breached, look.clone()),
        (again, look),
        (free.clone(), lost(&free)),
    ] {
        let (same, effects) = decide(case.clone(), look, &Policy::default(), at(99)).expect("no harm");
        assert_eq!((same, effects.len()), (case, 0));
    }
}
