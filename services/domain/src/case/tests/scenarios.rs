use super::*;

fn code(result: Decided) -> &'static str {
    result.expect_err("refused").code()
}

fn now(case: &Case) -> Timestamp {
    case.updated_at.plus(Duration::from_secs(3))
}

fn reason(case: &Case) -> &'static str {
    match &case.state {
        State::AwaitingApproval { reason, .. } => reason.as_str(),
        State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healing { .. }
        | State::Probation { .. }
        | State::Healed { .. }
        | State::Released { .. } => "not waiting",
    }
}

/// Scenario: severities around the threshold, and one that is no number.
/// Guarantees: from the threshold on a person decides, below it heals by itself; what cannot be compared waits.
#[test]
fn the_threshold_decides_who_decides() {
    let policy = Policy::default();
    for (severity, state) in [
        (6.999, "heal_queued"),
        (7.0, "awaiting_approval"),
        (10.0, "awaiting_approval"),
        (f64::NAN, "awaiting_approval"),
    ] {
        let case = opened(severity, &policy);
        assert_eq!(case.state.as_str(), state, "{severity}");
        assert_eq!(
            case.quarantine.phase,
            QuarantinePhase::Requested,
            "contained while anyone decides"
        );
    }
}

/// Scenario: a mild case takes the straight way.
/// Guarantees: queued, healed, watched, released; the effects tell it in order, and the lever is asked for each step.
#[test]
fn a_mild_case_heals_by_itself() {
    let policy = Policy::default();
    let (case, effects) = open(
        "case-1".into(),
        infection("i-1", 4.0),
        &policy,
        Context::default(),
        START,
    );
    assert_eq!(
        kinds(&effects),
        ["case_opened", "case_opened", "contained", "quarantine_requested"]
    );
    let case = after(contained(case), [claim("w1")]);
    let token = fence(&case);
    let case = after(
        case,
        [begin(token, "h-1", Action::RollbackPrompt), done(token, "h-1")],
    );
    assert_eq!(case.quarantine.phase, QuarantinePhase::Probation);
    let (case, effects) = decide(
        case.clone(),
        verified(token, "h-1", Verdict::Passed),
        &policy,
        now(&case),
    )
    .expect("applies");
    assert_eq!(kinds(&effects), ["healing_attempt", "case_healed", "free"]);
    assert!(matches!(
        case.state,
        State::Healed {
            action: Action::RollbackPrompt,
            ..
        }
    ));
    assert_eq!(case.quarantine.phase, QuarantinePhase::Releasing);
    let case = contained(case);
    assert_eq!(case.quarantine.phase, QuarantinePhase::Released);
    let story: Vec<&str> = case.timeline.iter().map(|e| e.kind.as_str()).collect();
    let expected = [
        "opened",
        "quarantine_requested",
        "lever_confirmed",
        "quarantine_confirmed",
        "claimed",
        "healing_started",
        "probation_started",
        "healed",
        "lever_confirmed",
        "quarantine_released",
    ];
    assert_eq!(story, expected);
}

/// Scenario: alice approves while bob's answer is still on its way.
/// Guarantees: whoever is second is told what was decided and by whom, also after the case has closed.
#[test]
fn the_second_person_is_told_who_was_first() {
    let policy = Policy::default();
    let case = after(contained(opened(8.0, &policy)), [approve()]);
    let refusal = decide(case.clone(), reject(), &policy, at(60)).expect_err("too late");
    assert_eq!(
        refusal.to_string(),
        "case was already approved by alice; it is heal_queued now"
    );
    let case = after(case, [release()]);
    let refusal = decide(case, reject(), &policy, at(60)).expect_err("too late");
    assert_eq!(
        refusal.to_string(),
        "case was already released by dora; it is released now"
    );
}

/// Scenario: a release without a reason, or with blanks for one.
/// Guarantees: refused; a false sanction has an exit, but not without a word.
#[test]
fn a_release_says_why() {
    let policy = Policy::default();
    for reason in ["", "  \n"] {
        let release = Command::Release {
            by: person("dora"),
            reason: reason.into(),
        };
        assert_eq!(
            code(decide(opened(8.0, &policy), release, &policy, at(1))),
            "reason_missing"
        );
    }
}

/// Scenario: a rejected case, then heal now.
/// Guarantees: rejection keeps the quarantine; heal now heals with its own trigger.
#[test]
fn heal_now_after_a_rejection() {
    let case = after(contained(opened(8.0, &Policy::default())), [reject()]);
    assert_eq!(case.quarantine.phase, QuarantinePhase::Confirmed);
    assert!(case.denies_admission());
    let case = after(case, [heal_now()]);
    assert!(matches!(
        case.state,
        State::HealQueued {
            trigger: Trigger::ExplicitAfterReject,
            ..
        }
    ));
}

/// Scenario: the policy only observes, or five agents are quarantined already.
/// Guarantees: the case waits and nothing is contained; a person's approval contains first.
#[test]
fn no_quarantine_while_observing_or_beyond_the_blast_radius() {
    let observe = Policy {
        mode: crate::policy::Mode::Observe,
        ..Policy::default()
    };
    let full = Context {
        quarantined_now: 5,
        agents_seen_last_hour: 29,
        ..Context::default()
    };
    let open = |policy: &Policy, context| open("c".into(), infection("i", 4.0), policy, context, START);
    for (policy, context, why) in [
        (&observe, Context::default(), "observing"),
        (&Policy::default(), full, "blast_radius"),
    ] {
        let (case, effects) = open(policy, context);
        assert_eq!(reason(&case), why);
        assert!(!kinds(&effects).contains(&"contained"));
        assert_eq!(case.quarantine.phase, QuarantinePhase::NotWanted);
        assert!(!case.denies_admission());
        let case = after(case, [approve()]);
        assert_eq!(case.quarantine.phase, QuarantinePhase::Requested);
    }
    // 20 % of 30 agents is 6, more than 5.
    let wide = Context {
        quarantined_now: 5,
        agents_seen_last_hour: 30,
        ..Context::default()
    };
    assert_eq!(
        open(&Policy::default(), wide).0.quarantine.phase,
        QuarantinePhase::Requested
    );
}

/// Scenario: a mild case becomes severe: while queued, while held without a step, while a step runs.
/// Guarantees: it waits for a person at once, or as soon as the step under way has failed.
#[test]
fn growing_severity_stops_automatic_healing() {
    let worse = || Command::ReportAgain {
        infection: infection("i-2", 9.0).into(),
    };
    let queued = after(contained(opened(4.0, &Policy::default())), [worse()]);
    assert_eq!(reason(&queued), "severe");
    assert_eq!(reason(&after(healing(4.0), [worse()])), "severe");
    let acting = after(acting(4.0), [worse()]);
    assert_eq!(acting.state.as_str(), "healing");
    let token = fence(&acting);
    let waiting = after(acting, [failed(token, "h-1")]);
    assert_eq!((reason(&waiting), waiting.infection.severity), ("severe", 9.0));
    let approved = after(waiting, [approve()]);
    assert_eq!(approved.round().len(), 1, "the failed step still counts as tried");
}

/// Scenario: a worse report, then a milder one, then the first again.
/// Guarantees: the worst is kept with the report that said so; a report that is known changes nothing.
#[test]
fn the_worst_report_is_kept() {
    let report = |id: &str, severity| Command::ReportAgain {
        infection: infection(id, severity).into(),
    };
    let case = after(
        opened(8.0, &Policy::default()),
        [report("i-2", 9.0), report("i-3", 7.5)],
    );
    assert_eq!(
        (case.infection.id.as_str(), case.infection.severity),
        ("i-2", 9.0)
    );
    let version = case.version;
    assert_eq!(after(case, [report("i-2", 9.0)]).version, version);
}

/// Scenario: a worker dies during a step; another takes over after the lease; the first one comes back.
/// Guarantees: no takeover before the lease ends; the step keeps its id; the first one's word counts no longer.
#[test]
fn a_dead_workers_step_is_taken_over_under_the_same_id() {
    let policy = Policy::default();
    let case = acting(4.0);
    let old = fence(&case);
    let early = decide(case.clone(), claim("w2"), &policy, now(&case));
    assert_eq!(code(early), "lease_held");
    let late = case.updated_at.plus(LEASE);
    let (case, _) = decide(case, claim("w2"), &policy, late).expect("lease has ended");
    let State::Healing {
        lease,
        step: Some(step),
        ..
    } = &case.state
    else {
        panic!("{:?}", case.state)
    };
    assert_eq!((lease.worker.as_str(), step.healing.as_str()), ("w2", "h-1"));
    assert!(lease.fence > old);
    assert_eq!(
        code(decide(case.clone(), done(old, "h-1"), &policy, late)),
        "stale_fence"
    );
    assert_eq!(
        after(case.clone(), [done(fence(&case), "h-1")]).state.as_str(),
        "probation"
    );
}

/// Scenario: a healer renews past its lease, before anyone took over.
/// Guarantees: it keeps the case.
#[test]
fn a_lease_can_be_renewed_until_it_is_taken() {
    let case = acting(4.0);
    let renew = Command::RenewLease {
        fence: fence(&case),
        lease: LEASE,
    };
    let late = case.updated_at.plus(LEASE * 2);
    let (case, _) = decide(case, renew, &Policy::default(), late).expect("still the holder");
    assert_eq!(
        code(decide(case, claim("w2"), &Policy::default(), late)),
        "lease_held"
    );
}

/// Scenario: steps fail until the ladder, or the number of attempts, is exhausted; a person approves.
/// Guarantees: cool-down between steps; an action is not repeated within the round; then a person; then anew.
#[test]
fn an_exhausted_ladder_goes_to_a_person() {
    let policy = Policy {
        attempts_max: 2,
        ..Policy::default()
    };
    let acting = acting(4.0);
    let token = fence(&acting);
    let case = after(acting, [failed(token, "h-1")]);
    let State::HealQueued { not_before, .. } = &case.state else {
        panic!("{:?}", case.state)
    };
    assert_eq!(not_before.since(case.updated_at), Duration::from_secs(2));
    assert_eq!(
        code(decide(case.clone(), claim("w1"), &policy, case.updated_at)),
        "not_due"
    );
    let case = after(case, [claim("w1")]);
    let token = fence(&case);
    let again = decide(
        case.clone(),
        begin(token, "h-2", Action::ResetMemory),
        &policy,
        now(&case),
    );
    assert_eq!(code(again), "already_tried");
    let case = after(case, [begin(token, "h-2", Action::CloneAgent)]);
    let (case, _) = decide(case.clone(), failed(token, "h-2"), &policy, now(&case)).expect("applies");
    assert_eq!(reason(&case), "ladder_exhausted");
    let case = after(case, [approve(), claim("w1")]);
    assert_eq!((case.round().len(), case.attempts.len()), (0, 2));
    after(case.clone(), [begin(fence(&case), "h-3", Action::ResetMemory)]);
}

/// Scenario: the agent is sick during probation, or never runs.
/// Guarantees: contained again with a new ask; sick: the next step; silent: a person.
#[test]
fn a_probation_that_does_not_pass_contains_again() {
    for (verdict, state, outcome) in [
        (Verdict::Failed, "heal_queued", AttemptOutcome::Failed),
        (Verdict::Silent, "awaiting_approval", AttemptOutcome::Unproven),
    ] {
        let case = on_probation(4.0);
        let token = fence(&case);
        let generation = case.quarantine.levers[0].generation;
        let case = after(case, [verified(token, "h-1", verdict)]);
        assert_eq!((case.state.as_str(), case.attempts[0].outcome), (state, outcome));
        let lever = &case.quarantine.levers[0];
        assert_eq!(
            (lever.wanted, lever.status),
            (Containment::Contained, LeverStatus::Requested)
        );
        assert!(
            lever.generation > generation,
            "a new ask, not a repetition of the first quarantine"
        );
        assert_eq!(case.quarantine.phase, QuarantinePhase::Requested);
    }
}

/// Scenario: nobody decides for a day.
/// Guarantees: the wait escalates, ever more rarely; it never decides by itself.
#[test]
fn a_wait_escalates_and_never_decides() {
    let policy = Policy::default();
    let mut case = contained(opened(8.0, &policy));
    let mut escalated_at = Vec::new();
    for second in 0..86_400 {
        let (next, effects) = decide(case, Command::Tick, &policy, at(second)).expect("time passes");
        if !effects.is_empty() {
            assert_eq!(kinds(&effects), ["approval_escalated", "case_waiting"]);
            escalated_at.push(second);
        }
        case = next;
    }
    assert_eq!(reason(&case), "severe");
    assert_eq!(escalated_at, [900, 2_700, 6_300, 13_500, 27_900, 56_700]);
}

/// Scenario: the threshold is lowered while a case is queued.
/// Guarantees: the stricter policy holds at once: the case is not given to a healer, and waits for a person.
#[test]
fn a_stricter_policy_holds_for_open_cases() {
    let strict = Policy {
        severity_requiring_approval: 3.0,
        ..Policy::default()
    };
    let case = contained(opened(4.0, &Policy::default()));
    assert_eq!(
        code(decide(case.clone(), claim("w1"), &strict, now(&case))),
        "needs_approval"
    );
    let (case, _) = decide(case.clone(), Command::Tick, &strict, now(&case)).expect("time passes");
    assert_eq!(reason(&case), "severe");
}

/// Scenario: a lever and a person that say more than anyone will read, a thousand times.
/// Guarantees: texts and the timeline stay bounded; the first entry and the latest ones stay.
#[test]
fn records_are_bounded() {
    let policy = Policy::default();
    let mut case = opened(8.0, &policy);
    for i in 0..1_000u64 {
        let execution = Command::ExecutionSeen {
            execution: "e".into(),
            started_at: at(1_000_000),
        };
        let report = infection(&format!("i-{i}"), 7.0);
        let report = Command::ReportAgain {
            infection: report.into(),
        };
        let failed = Command::LeverAnswered {
            lever: "lifecycle".into(),
            wanted: Containment::Contained,
            generation: case.quarantine.levers[0].generation,
            status: if i % 7 == 6 {
                LeverStatus::Requested
            } else {
                LeverStatus::Failed
            },
            detail: "ä".repeat(10_000),
        };
        case = after(case, [failed, report, execution]);
    }
    assert!(case.timeline.len() <= TIMELINE_MAX, "{}", case.timeline.len());
    assert!(case.timeline.iter().all(|e| e.text.len() <= 1_100));
    assert_eq!(case.timeline[0].kind, "opened");
    let counted: u32 = case
        .timeline
        .iter()
        .filter(|e| e.kind == "lever_failed")
        .map(|e| e.count)
        .sum();
    assert_eq!(counted, 858, "folded entries are counted");
    assert!(serde_json::to_vec(&case).expect("a case").len() < 512 * 1024);
}
