use super::*;
use crate::ErrorKind;

pub(super) fn two_people() -> Policy {
    Policy {
        second_person_from_severity: Some(7.5),
        ..Policy::default()
    }
}

pub(super) fn apply(case: &Case, command: Command, policy: &Policy) -> Case {
    let now = case.updated_at.plus(Duration::from_secs(3));
    let word = command.as_str();
    match decide(case.clone(), command, policy, now) {
        Ok((case, _)) => case,
        Err(refusal) => panic!("{word}: {refusal}"),
    }
}

fn approved_by(name: &str) -> Command {
    Command::Approve {
        by: person(name),
        reason: "looks curable".into(),
    }
}

fn heal_now_by(name: &str) -> Command {
    Command::HealNow {
        by: person(name),
        reason: String::new(),
    }
}

/// Scenario: alice approves a severe case, once more, and then bob.
/// Guarantees: the first word is recorded, announced and logged, and changes nothing else; the same person is told that
/// somebody else is needed; the second person's word holds and names both.
#[test]
fn two_people_approve() {
    let policy = two_people();
    let case = contained(opened(8.0, &policy));
    assert!(opened(8.0, &policy).needs_second_person && !opened(7.4, &policy).needs_second_person);

    let (first, effects) = decide(case.clone(), approved_by("alice"), &policy, at(60)).unwrap();
    assert_eq!(
        (first.state.as_str(), &first.state),
        ("awaiting_approval", &case.state)
    );
    assert_eq!(kinds(&effects), ["second_person_wanted", "case_waiting"]);
    let word = first.first_approval.clone().unwrap();
    assert_eq!(
        (word.by, word.decision, word.at),
        (person("alice"), Decision::Approve, at(60))
    );
    assert_eq!(
        (word.reason.as_str(), word.expires_at),
        ("looks curable", at(3_660))
    );
    assert_eq!(first.timeline.last().unwrap().kind, "second_person_wanted");
    assert_eq!(first.last_decision, None);

    let again = decide(first.clone(), heal_now_by("alice"), &policy, at(70)).unwrap_err();
    assert_eq!(
        (again.code(), again.kind()),
        ("second_person_needed", ErrorKind::Conflict)
    );
    assert_eq!(
        again.to_string(),
        "you have approved this already; it takes somebody else to say so, too, before 2026-01-01T01:01:00.000Z"
    );

    let (done, effects) = decide(first, approved_by("bob"), &policy, at(80)).unwrap();
    assert_eq!(kinds(&effects), ["user_approved", "case_decided"]);
    assert!(matches!(
        done.state,
        State::HealQueued {
            trigger: Trigger::AfterApproval,
            ..
        }
    ));
    let last = done.last_decision.unwrap();
    assert_eq!(
        (last.by, last.first.unwrap().by),
        (person("bob"), person("alice"))
    );
    assert_eq!(done.first_approval, None);
    assert_eq!(
        done.timeline.last().unwrap().text,
        "approved by bob, after alice: looks curable"
    );
}

/// Scenario: one person approves a case below the severity, one rejects a severe one after somebody has approved it.
/// Guarantees: one person is enough; a rejection wins at once and ends the first word; healing it after all takes two
/// again.
#[test]
fn one_person_is_enough_to_reject() {
    let policy = two_people();
    let mild = contained(opened(7.4, &policy));
    assert_eq!(
        apply(&mild, approved_by("alice"), &policy).state.as_str(),
        "heal_queued"
    );

    let first = apply(&contained(opened(8.0, &policy)), approved_by("alice"), &policy);
    let rejected = apply(&first, reject(), &policy);
    assert_eq!(
        (rejected.state.as_str(), &rejected.first_approval),
        ("rejected", &None)
    );
    let once = apply(&rejected, heal_now_by("alice"), &policy);
    assert_eq!(once.state.as_str(), "rejected");
    assert_eq!(
        apply(&once, heal_now_by("bob"), &policy).state.as_str(),
        "heal_queued"
    );
}

/// Scenario: a first word to heal meets one to release; then the release is completed.
/// Guarantees: two different wishes complete nothing, the later one stands; releasing takes two as well.
#[test]
fn two_wishes_are_not_one() {
    let policy = two_people();
    let release = |name: &str| Command::Release {
        by: person(name),
        reason: "known experiment".into(),
    };
    let first = apply(&contained(opened(8.0, &policy)), approved_by("alice"), &policy);
    let other = apply(&first, release("bob"), &policy);
    assert_eq!(other.state.as_str(), "awaiting_approval");
    assert_eq!(other.first_approval.as_ref().unwrap().by, person("bob"));
    // Alice may change her mind.
    let done = apply(&other, release("alice"), &policy);
    assert_eq!(done.state.as_str(), "released");
    assert!(!done.needs_second_person);
}

/// Scenario: after the first word an hour passes; or the case is reported as worse; or just as bad.
/// Guarantees: the word lapses when it should and says why, whether or not anybody looked at the clock in time; a second
/// person is then the first.
#[test]
fn a_first_word_lapses() {
    let policy = two_people();
    let first = apply(&contained(opened(8.0, &policy)), approved_by("alice"), &policy);
    let over = first.first_approval.as_ref().unwrap().expires_at;
    let late = decide(first.clone(), approved_by("bob"), &policy, over)
        .unwrap()
        .0;
    assert_eq!(late.state.as_str(), "awaiting_approval");
    assert_eq!(late.first_approval.unwrap().by, person("bob"));

    let before = over.minus(Duration::from_micros(1));
    let early = decide(first.clone(), approved_by("bob"), &policy, before)
        .unwrap()
        .0;
    assert_eq!(early.state.as_str(), "heal_queued");

    let (ticked, effects) = decide(first.clone(), Command::Tick, &policy, over).unwrap();
    assert_eq!(ticked.first_approval, None);
    assert!(kinds(&effects).contains(&"first_approval_lapsed"), "{effects:?}");

    let report = |id: &str, severity: f64| Command::ReportAgain {
        infection: infection(id, severity).into(),
    };
    let as_bad = apply(&first, report("i-2", 8.0), &policy);
    assert!(as_bad.first_approval.is_some());
    let worse = apply(&first, report("i-3", 9.0), &policy);
    assert_eq!(worse.first_approval, None);
}

/// Scenario: a policy that names approvers by pattern; people whom it names and whom it does not; the first approver is
/// no longer named when the second comes.
/// Guarantees: who is not named is refused by name, whatever is decided; the word of somebody no longer named does not
/// count.
#[test]
fn only_approvers_decide() {
    let policy = Policy {
        approvers: vec!["*@sre.example".into(), "oncall".into()],
        ..two_people()
    };
    let case = contained(opened(8.0, &policy));
    for command in [approve(), reject(), heal_now(), release()] {
        let refusal = decide(case.clone(), command, &policy, at(60)).unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.kind()),
            ("not_an_approver", ErrorKind::Forbidden)
        );
    }
    let refusal = decide(case.clone(), approve(), &policy, at(60)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "policy does not name alice among those who may decide on this case"
    );
    let first = apply(&case, approved_by("ann@sre.example"), &policy);
    assert_eq!(
        apply(&first, approved_by("oncall"), &policy).state.as_str(),
        "heal_queued"
    );
    let narrower = Policy {
        approvers: vec!["oncall".into()],
        ..policy
    };
    let again = apply(&first, approved_by("oncall"), &narrower);
    assert_eq!(again.first_approval.unwrap().by, person("oncall"));
}

/// Scenario: the second person's severity is no number, is below where the first is asked, and approvers are blank.
/// Guarantees: each is a mistake with its path.
#[test]
fn policies_for_two_are_checked() {
    let mut mistakes = Vec::new();
    Policy {
        second_person_from_severity: Some(5.0),
        second_person_within_seconds: 1,
        approvers: vec![" ".into()],
        ..Policy::default()
    }
    .check("policy", &mut mistakes);
    assert_eq!(mistakes.len(), 3, "{mistakes:#?}");
    let mut mistakes = Vec::new();
    Policy {
        second_person_from_severity: Some(f64::NAN),
        ..Policy::default()
    }
    .check("policy", &mut mistakes);
    assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
}
