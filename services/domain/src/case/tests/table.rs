use super::*;

/// Every state, the ones whose details matter more than once.
fn states() -> Vec<(&'static str, Case)> {
    let policy = Policy::default();
    let severe = contained(opened(8.0, &policy));
    let mild = contained(opened(4.0, &policy));
    let probation = on_probation(4.0);
    let healed = {
        let fence = fence(&probation);
        after(probation.clone(), [verified(fence, "h-1", Verdict::Passed)])
    };
    vec![
        ("awaiting", severe.clone()),
        ("rejected", after(severe.clone(), [reject()])),
        ("queued_auto", mild.clone()),
        ("queued_order", after(severe.clone(), [approve()])),
        ("healing_idle", healing(4.0)),
        ("healing_step", acting(4.0)),
        ("probation", probation),
        ("healed", healed),
        ("released", after(severe, [release()])),
    ]
}

/// Every command, meant well: fences and steps are those that the state has.
fn commands(case: &Case) -> Vec<Command> {
    let token = fence(case);
    let (healing, detail) = (HealingId::from("h-1"), String::from("because"));
    vec![
        approve(),
        reject(),
        heal_now(),
        release(),
        Command::ReportAgain {
            infection: infection("i-2", 5.0).into(),
        },
        Command::ReportAgain {
            infection: infection("i-3", 9.0).into(),
        },
        claim("w2"),
        Command::RenewLease {
            fence: token,
            lease: LEASE,
        },
        begin(token, "h-1", Action::ResetMemory),
        begin(token, "h-2", Action::CloneAgent),
        done(token, "h-1"),
        failed(token, "h-1"),
        Command::StepUnsupported {
            fence: token,
            healing,
            detail: detail.clone(),
        },
        Command::LadderExhausted { fence: token, detail },
        verified(token, "h-1", Verdict::Passed),
        verified(token, "h-1", Verdict::Failed),
        verified(token, "h-1", Verdict::Silent),
        lever(case, LeverStatus::Confirmed),
        Command::ExecutionSeen {
            execution: ExecutionId::from("e-1"),
            started_at: at(3_600),
        },
        Command::LeverLost {
            lever: case.quarantine.levers[0].lever.clone(),
            generation: case.quarantine.levers[0].generation,
            detail: "gone".into(),
        },
        Command::Explained {
            incident: "incident-1".into(),
            because: "many".into(),
        },
        Command::Tick,
    ]
}

const COMMANDS: [&str; 22] = [
    "approve",
    "reject",
    "heal_now",
    "release",
    "report mild",
    "report severe",
    "claim",
    "renew",
    "begin h-1",
    "begin h-2",
    "done h-1",
    "failed h-1",
    "unsupported h-1",
    "exhausted",
    "passed h-1",
    "failed verdict",
    "silent h-1",
    "lever confirmed",
    "execution",
    "lever lost",
    "explained",
    "tick",
];

/// What is in the table: the state that follows (`=` when the case does not change at all, `+` when it stays in its
/// state and something else changes), or the code of the refusal.
fn result(case: &Case, command: Command, policy: &Policy) -> String {
    let now = case.updated_at.plus(Duration::from_secs(3));
    match decide(case.clone(), command, policy, now) {
        Ok((next, effects)) if next.version == case.version => {
            assert_eq!((&next, effects.len()), (case, 0), "no new version, no change");
            "=".into()
        }
        Ok((next, _)) => {
            assert_eq!(next.version, case.version + 1);
            let (before, after) = (case.state.as_str(), next.state.as_str());
            if before == after {
                "+".into()
            } else {
                format!("-> {after}")
            }
        }
        Err(refusal) => refusal.code().into(),
    }
}

/// The states in which two people matter, with a first word and without. The first word is alice's (approve, release)
/// or carol's (heal now).
fn states_of_two() -> Vec<(&'static str, Case)> {
    let two = second::two_people();
    let severe = contained(opened(8.0, &two));
    let then = |case: &Case, command: Command| second::apply(case, command, &two);
    let release = |name: &str| Command::Release {
        by: person(name),
        reason: "known experiment".into(),
    };
    let rejected = then(&severe, reject());
    let approved = then(&severe, approve());
    let queued = then(&approved, heal_now());
    let healing = then(&queued, claim("w1"));
    vec![
        ("awaiting", severe.clone()),
        ("awaiting+appr", approved),
        ("awaiting+rel", then(&severe, release("alice"))),
        ("rejected", rejected.clone()),
        ("rejected+heal", then(&rejected, heal_now())),
        ("queued", queued.clone()),
        ("queued+rel", then(&queued, release("alice"))),
        ("healing+rel", then(&healing, release("dora"))),
    ]
}

fn table(states: &[(&str, Case)], policy: &Policy) -> String {
    let mut lines = Vec::new();
    for (i, name) in COMMANDS.iter().enumerate() {
        for (state, case) in states {
            lines.push(format!(
                "{name:<16} {state:<13} {}",
                result(case, commands(case).swap_remove(i), policy)
            ));
        }
    }
    lines.join("\n")
}

/// Scenario: every command meets every state.
/// Guarantees: each pair is defined, and does what the table beside this file says. To change a rule, change the
/// table; the test prints the present one.
#[test]
fn every_pair_is_defined() {
    let states = states();
    let table = table(&states, &Policy::default());
    assert_eq!(commands(&states[0].1).len(), COMMANDS.len());
    let expected = include_str!("table.txt").trim_end();
    assert!(table == expected, "the table is now:\n{table}");
}

/// Scenario: every command meets every state in which two people matter, under a policy that asks for two.
/// Guarantees: as above, by the second table.
#[test]
fn every_pair_is_defined_for_two() {
    let table = table(&states_of_two(), &second::two_people());
    let expected = include_str!("table_of_two.txt").trim_end();
    assert!(table == expected, "the table is now:\n{table}");
}
