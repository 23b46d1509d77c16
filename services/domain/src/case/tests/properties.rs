//! Random lives of a case. A failure prints its seed and the shortest sequence that shows it.

use super::*;
use proptest::prelude::*;

/// One thing that may happen next; ids and tokens are filled in from the case as it is.
#[derive(Debug, Clone)]
enum Event {
    Decide(Decision, u8),
    Report(u8, f64),
    Claim(u8),
    Renew,
    Begin(u8, usize),
    Done,
    Failed,
    Unsupported,
    Exhausted,
    Verified(Verdict),
    Lever(LeverStatus),
    Seen(u64),
    Tick,
}

fn events() -> impl Strategy<Value = Vec<(Event, bool, u64)>> {
    let decision = prop_oneof![
        Just(Decision::Approve),
        Just(Decision::Reject),
        Just(Decision::HealNow),
        Just(Decision::Release)
    ];
    let verdict = prop_oneof![
        Just(Verdict::Passed),
        Just(Verdict::Failed),
        Just(Verdict::Silent)
    ];
    let status = prop_oneof![
        4 => Just(LeverStatus::Confirmed),
        1 => Just(LeverStatus::Failed),
        1 => Just(LeverStatus::Requested),
        1 => Just(LeverStatus::Unsupported)
    ];
    let event = prop_oneof![
        2 => (decision, any::<u8>()).prop_map(|(d, who)| Event::Decide(d, who)),
        1 => (0u8..6, 0.0..10.0f64).prop_map(|(id, severity)| Event::Report(id, severity)),
        5 => (0u8..3).prop_map(Event::Claim),
        1 => Just(Event::Renew),
        5 => (0u8..12, 0..Action::ALL.len()).prop_map(|(id, action)| Event::Begin(id, action)),
        4 => Just(Event::Done),
        2 => Just(Event::Failed),
        1 => Just(Event::Unsupported),
        1 => Just(Event::Exhausted),
        4 => verdict.prop_map(Event::Verified),
        4 => status.prop_map(Event::Lever),
        1 => (0u64..1_000).prop_map(Event::Seen),
        1 => Just(Event::Tick),
    ];
    // The flag: whether the healer's token is the one that holds, or an older one.
    prop::collection::vec((event, prop::bool::weighted(0.9), 0u64..40), 1..60)
}

fn command(event: Event, case: &Case, fresh: bool) -> Command {
    let token = if fresh {
        fence(case)
    } else {
        fence(case).saturating_sub(1)
    };
    let under_way = match &case.state {
        State::Healing { step: Some(step), .. } | State::Probation { step, .. } => step.healing.clone(),
        State::Healing { step: None, .. }
        | State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healed { .. }
        | State::Released { .. } => "none".into(),
    };
    let (healing, detail, fence) = (under_way, String::from("because"), token);
    match event {
        Event::Decide(decision, who) => {
            let (by, reason) = (person(&format!("p{who}")), "reason".into());
            match decision {
                Decision::Approve => Command::Approve { by, reason },
                Decision::Reject => Command::Reject { by, reason },
                Decision::HealNow => Command::HealNow { by, reason },
                Decision::Release => Command::Release { by, reason },
            }
        }
        Event::Report(id, severity) => Command::ReportAgain {
            infection: infection(&format!("i-{id}"), severity).into(),
        },
        Event::Claim(worker) => claim(&format!("w{worker}")),
        Event::Renew => Command::RenewLease { fence, lease: LEASE },
        Event::Begin(id, action) => begin(fence, &format!("h-{id}"), Action::ALL[action]),
        Event::Done => Command::StepDone {
            fence,
            healing,
            detail,
        },
        Event::Failed => Command::StepFailed {
            fence,
            healing,
            detail,
        },
        Event::Unsupported => Command::StepUnsupported {
            fence,
            healing,
            detail,
        },
        Event::Exhausted => Command::LadderExhausted { fence, detail },
        Event::Verified(verdict) => Command::Verified {
            fence,
            healing,
            verdict,
            detail,
        },
        Event::Lever(status) => lever(case, status),
        Event::Seen(seconds) => Command::ExecutionSeen {
            execution: "e".into(),
            started_at: at(seconds),
        },
        Event::Tick => Command::Tick,
    }
}

/// What must hold of every case, whatever happened to it.
fn check_case(case: &Case) {
    let lifted = matches!(
        case.quarantine.phase,
        QuarantinePhase::Releasing | QuarantinePhase::Released
    );
    if lifted {
        assert!(
            case.state.is_closed(),
            "lifted for good while {}",
            case.state.as_str()
        );
    }
    match &case.state {
        State::Healed { .. } => {
            let last = case.attempts.last().expect("a healed case has an attempt");
            assert_eq!(last.outcome, AttemptOutcome::Succeeded);
        }
        State::Released { by, reason, .. } => assert!(!by.subject.is_empty() && !reason.is_empty()),
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healing { .. }
        | State::Probation { .. } => {}
    }
    assert!(case.timeline.len() <= TIMELINE_MAX);
    let round = case.round();
    for (i, attempt) in round.iter().enumerate() {
        assert!(
            round[..i].iter().all(|a| a.action != attempt.action),
            "{} twice",
            attempt.action
        );
    }
    let text = serde_json::to_string(case).expect("a case");
    assert_eq!(&serde_json::from_str::<Case>(&text).expect("reads back"), case);
}

/// Scenario: the same random lives, from a fixed seed.
/// Guarantees: they reach every state and every phase of quarantine, so that the promises below are not empty.
#[test]
fn random_lives_reach_every_state() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (policy, mut seen) = (Policy::default(), std::collections::BTreeSet::new());
    for i in 0..512 {
        let severity = f64::from(i % 10);
        let lives = events().new_tree(&mut runner).expect("a life").current();
        let (mut case, mut now) = (opened(severity, &policy), START);
        for (event, fresh, seconds) in lives {
            now = now.plus(Duration::from_secs(seconds));
            let command = command(event, &case, fresh);
            if let Ok((next, _)) = decide(case.clone(), command, &policy, now) {
                case = next;
            }
            seen.insert(format!("state {}", case.state.as_str()));
            seen.insert(format!("phase {}", case.quarantine.phase.as_str()));
            if case.ladder_from.is_some() && !case.round().is_empty() {
                seen.insert("second round".to_owned());
            }
        }
    }
    // `partial` takes two levers and `not_wanted` another policy; both have scenarios of their own.
    let expected = [
        "phase breached",
        "phase confirmed",
        "phase probation",
        "phase released",
        "phase releasing",
        "phase requested",
        "second round",
        "state awaiting_approval",
        "state heal_queued",
        "state healed",
        "state healing",
        "state probation",
        "state rejected",
        "state released",
    ];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Scenario: up to 60 random commands, a tenth of the healer's with a stale token, at random times.
    /// Guarantees: no release without a passed verification or a person's word; no step begins at or above the
    /// threshold without an approval or heal-now; versions grow by exactly one; tokens only grow, and a stale one
    /// changes nothing; closed cases stay closed; no action twice in a round; the case survives serialisation.
    #[test]
    fn a_case_keeps_its_promises(severity in 0.0..10.0f64, events in events()) {
        let policy = Policy::default();
        let mut case = opened(severity, &policy);
        let (mut now, mut ordered, mut passed, mut last_token) = (START, false, false, 0);
        for (event, fresh, seconds) in events {
            now = now.plus(Duration::from_secs(seconds));
            let command = command(event, &case, fresh);
            let held = fence(&case);
            let Ok((next, effects)) = decide(case.clone(), command.clone(), &policy, now) else { continue };
            if next.version == case.version {
                prop_assert_eq!(&next, &case);
                prop_assert!(effects.is_empty());
                continue;
            }
            prop_assert_eq!(next.version, case.version + 1);
            if case.state.is_closed() {
                prop_assert_eq!(&next.state, &case.state);
            }
            match &command {
                Command::Approve { .. } | Command::HealNow { .. } => ordered = true,
                Command::Claim { .. } => {
                    prop_assert!(fence(&next) > last_token);
                    last_token = fence(&next);
                }
                Command::BeginStep { fence, .. } => {
                    prop_assert_eq!(*fence, held);
                    prop_assert!(ordered || next.infection.severity < policy.severity_requiring_approval);
                }
                Command::StepDone { fence, .. }
                | Command::StepFailed { fence, .. }
                | Command::StepUnsupported { fence, .. }
                | Command::LadderExhausted { fence, .. }
                | Command::RenewLease { fence, .. } => prop_assert_eq!(*fence, held),
                Command::Verified { fence, verdict, .. } => {
                    prop_assert_eq!(*fence, held);
                    passed |= *verdict == Verdict::Passed;
                }
                Command::Reject { .. }
                | Command::Release { .. }
                | Command::ReportAgain { .. }
                | Command::LeverAnswered { .. }
                | Command::LeverLost { .. }
                | Command::ExecutionSeen { .. }
                | Command::Explained { .. }
                | Command::Tick => {}
            }
            let is_freed = next.quarantine.levers.iter().any(|l| l.wanted == Containment::Free)
                && next.quarantine.phase != QuarantinePhase::NotWanted;
            if is_freed {
                let by_a_person = matches!(next.state, State::Released { .. });
                prop_assert!(passed || by_a_person);
            }
            check_case(&next);
            case = next;
        }
    }

    /// Scenario: the same random lives under a policy that asks for two people from severity 7.5 on, and names who may
    /// decide; six people decide, two of them not named.
    /// Guarantees: a severe case goes on, or is let go, only after two different people who are named wished for it
    /// within the time, and both are on record; whoever is not named decides nothing; a first word never outlives the
    /// case.
    #[test]
    fn two_people_keep_their_promises(severity in 6.0..10.0f64, events in events()) {
        let policy = Policy {
            second_person_from_severity: Some(7.5),
            second_person_within_seconds: 60,
            approvers: vec!["p0".into(), "p1".into(), "*2".into(), "p3*".into()],
            ..Policy::default()
        };
        let (mut case, mut now) = (opened(severity, &policy), START);
        for (event, fresh, seconds) in events {
            now = now.plus(Duration::from_secs(seconds));
            let event = match event {
                Event::Decide(decision, who) => Event::Decide(decision, who % 6),
                other => other,
            };
            let command = command(event, &case, fresh);
            let (by, wish) = match &command {
                Command::Approve { by, .. } | Command::HealNow { by, .. } => (Some(by.clone()), "heal"),
                Command::Release { by, .. } => (Some(by.clone()), "release"),
                Command::Reject { by, .. } => (Some(by.clone()), "reject"),
                _other => (None, ""),
            };
            let decided = decide(case.clone(), command, &policy, now);
            if let Some(by) = by {
                let is_named = ["p0", "p1", "p2", "p3"].contains(&by.subject.as_str());
                match &decided {
                    Ok((next, _)) => {
                        prop_assert!(is_named);
                        let took_effect = next.last_decision != case.last_decision;
                        let last = next.last_decision.as_ref().filter(|_| took_effect);
                        let needs_two = case.infection.severity >= 7.5 && wish != "reject";
                        prop_assert_eq!(took_effect || next.first_approval.is_some(), true);
                        if let Some(last) = last.filter(|_| needs_two) {
                            let first = last.first.as_ref().expect("two people");
                            prop_assert_ne!(&first.by.subject, &last.by.subject);
                            prop_assert!(now.since(first.at) < Duration::from_secs(60));
                            prop_assert_eq!(first.decision == Decision::Release, wish == "release");
                        }
                        if !took_effect {
                            prop_assert!(needs_two);
                            prop_assert_eq!(next.state.as_str(), case.state.as_str());
                        }
                    }
                    Err(Refusal::NotPermitted { .. }) => prop_assert!(!is_named),
                    Err(_) => prop_assert!(is_named),
                }
            }
            if let Ok((next, _)) = decided {
                prop_assert!(next.first_approval.is_none() || (next.needs_second_person && !next.state.is_closed()));
                check_case(&next);
                case = next;
            }
        }
    }

    /// Scenario: several people approve or reject the version that they have seen, in any order.
    /// Guarantees: exactly one wins; every other is told that person's name.
    #[test]
    fn one_winner(choices in prop::collection::vec(any::<bool>(), 2..12)) {
        let policy = Policy::default();
        let mut stored = contained(opened(8.0, &policy));
        let mut winner = None;
        for (i, approves) in choices.into_iter().enumerate() {
            let (by, reason) = (person(&format!("p{i}")), String::new());
            let command = match approves {
                true => Command::Approve { by, reason },
                false => Command::Reject { by, reason },
            };
            match decide(stored.clone(), command, &policy, at(60)) {
                Ok((next, _)) => {
                    prop_assert_eq!(winner.replace(format!("p{i}")), None);
                    stored = next;
                }
                Err(Refusal::AlreadyDecided { by, .. }) => prop_assert_eq!(Some(by), winner.clone()),
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
        prop_assert!(winner.is_some());
    }
}
