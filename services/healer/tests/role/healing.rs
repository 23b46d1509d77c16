use crate::world::World;
use immune_domain::case::{AttemptOutcome, Case, Command, Person, State, WaitReason};
use immune_domain::healing::{Action, Outcome};
use immune_levers as levers;
use std::collections::BTreeSet;
use std::time::Duration;

fn outcomes(case: &Case) -> Vec<(Action, AttemptOutcome)> {
    case.attempts
        .iter()
        .map(|attempt| (attempt.action, attempt.outcome))
        .collect()
}

fn wait_reason(case: &Case) -> &WaitReason {
    match &case.state {
        State::AwaitingApproval { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// Scenario: the second action of the ladder cures; later the agent falls ill again.
/// Guarantees: the ladder is climbed until proven; the next time what helped comes first and what failed is not
/// tried again.
#[tokio::test]
async fn climbs_the_ladder_and_remembers() {
    let world = World::new();
    world.platform.cured_by(Action::RollbackPrompt);
    let key = world.quarantine.open("c-1", "a", 5.0);
    let _healer = world.healer();
    let case = world.until("c-1", "healed").await;
    assert_eq!(
        outcomes(&case),
        [
            (Action::ResetMemory, AttemptOutcome::Failed),
            (Action::RollbackPrompt, AttemptOutcome::Succeeded)
        ]
    );
    assert_eq!(
        world.remembered(&key).await,
        [("reset_memory", 0, 1), ("rollback_prompt", 1, 0)]
    );
    let records = world.records("c-1").await;
    assert_eq!(
        records
            .iter()
            .map(|r| r.outcome.as_str())
            .collect::<BTreeSet<_>>(),
        ["failed", "succeeded"].into()
    );
    world.platform.falls_ill(&key);
    world.quarantine.open("c-2", "a", 5.0);
    let case = world.until("c-2", "healed").await;
    assert_eq!(
        outcomes(&case),
        [(Action::RollbackPrompt, AttemptOutcome::Succeeded)]
    );
}

/// Scenario: the platform refuses one action, cannot do another, and does the rest without effect.
/// Guarantees: every step is tried once; then a person is asked; what is unsupported is not held against the action.
#[tokio::test]
async fn an_exhausted_ladder_asks_a_person() {
    let world = World::new();
    world
        .platform
        .answers(Action::ResetMemory, levers::Outcome::Failed);
    world
        .platform
        .answers(Action::RollbackPrompt, levers::Outcome::Unsupported);
    let key = world.quarantine.open("c-1", "a", 5.0);
    let _healer = world.healer();
    let case = world.until("c-1", "awaiting_approval").await;
    assert_eq!(wait_reason(&case), &WaitReason::LadderExhausted);
    assert_eq!(
        outcomes(&case),
        [
            (Action::ResetMemory, AttemptOutcome::Failed),
            (Action::RollbackPrompt, AttemptOutcome::Unsupported),
            (Action::ReduceAutonomy, AttemptOutcome::Failed),
            (Action::CloneAgent, AttemptOutcome::Failed)
        ]
    );
    assert_eq!(
        world.remembered(&key).await,
        [
            ("clone_agent", 0, 1),
            ("reduce_autonomy", 0, 1),
            ("reset_memory", 0, 1)
        ]
    );
    assert!(
        case.timeline
            .iter()
            .any(|e| e.kind == "ladder_exhausted" && e.text.contains("reset_memory: failed"))
    );

    // A person orders another round: what failed is tried again, what is unsupported is not.
    world.platform.cured_by(Action::CloneAgent);
    let by = Person {
        subject: "alice".into(),
        via: "api_key".into(),
    };
    world
        .quarantine
        .apply(
            "c-1",
            Command::Approve {
                by,
                reason: String::new(),
            },
        )
        .unwrap();
    let case = world.until("c-1", "healed").await;
    assert_eq!(
        case.round().last().map(|a| a.outcome),
        Some(AttemptOutcome::Succeeded)
    );
    assert!(case.round().iter().all(|a| a.action != Action::RollbackPrompt));
}

/// Scenario: the platform gives no answer, however often it is asked.
/// Guarantees: asked five times under one key, then the step has failed; memory holds nothing against the action.
#[tokio::test]
async fn silence_of_the_platform_teaches_nothing() {
    let world = World::new();
    world
        .platform
        .answers(Action::ResetMemory, levers::Outcome::Unknown);
    world.platform.cured_by(Action::RollbackPrompt);
    let key = world.quarantine.open("c-1", "a", 5.0);
    let _healer = world.healer();
    let case = world.until("c-1", "healed").await;
    assert_eq!(outcomes(&case)[0], (Action::ResetMemory, AttemptOutcome::Failed));
    let keys = world.platform.keys();
    assert_eq!(
        (keys.len(), BTreeSet::from_iter(&keys[..5]).len()),
        (6, 1),
        "{keys:?}"
    );
    assert_eq!(world.remembered(&key).await, [("rollback_prompt", 1, 0)]);
}

/// Scenario: the step is done, but the agent never runs.
/// Guarantees: nothing is called proven; after the limit a person is asked, and memory stays empty.
#[tokio::test]
async fn an_agent_that_never_runs_is_unproven() {
    let world = World::new();
    world.stays_silent();
    let key = world.quarantine.open("c-1", "a", 5.0);
    let _healer = world.healer();
    world.until("c-1", "probation").await;
    world.clock.advance(Duration::from_secs(601));
    let case = world.until("c-1", "awaiting_approval").await;
    assert_eq!(wait_reason(&case), &WaitReason::Unproven);
    assert!(world.remembered(&key).await.is_empty());
    assert_eq!(world.records("c-1").await[0].outcome.as_str(), "abandoned");
}

/// Scenario: a person releases the agent while the platform is at work.
/// Guarantees: the healing ends as abandoned, teaches nothing, and no further step is begun.
#[tokio::test]
async fn a_release_ends_the_healing() {
    let world = World::new();
    world.platform.hangs(true);
    let key = world.quarantine.open("c-1", "a", 5.0);
    let _healer = world.healer();
    world
        .until_that("the platform is asked", || !world.platform.asked().is_empty())
        .await;
    let by = Person {
        subject: "dora".into(),
        via: "api_key".into(),
    };
    world
        .quarantine
        .apply(
            "c-1",
            Command::Release {
                by,
                reason: "known experiment".into(),
            },
        )
        .unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !matches!(world.records("c-1").await[0].outcome, Outcome::Abandoned { .. }) {
        assert!(tokio::time::Instant::now() < deadline, "the record was not ended");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(world.remembered(&key).await.is_empty());
    assert_eq!(world.platform.asked().len(), 1);
}

/// Scenario: a severe case that nobody has approved.
/// Guarantees: the platform is not asked; after the approval it is.
#[tokio::test]
async fn severe_cases_wait() {
    let world = World::new();
    world.platform.cured_by(Action::ResetMemory);
    world.quarantine.open("c-severe", "a", 8.0);
    world.quarantine.open("c-mild", "b", 5.0);
    let _healer = world.healer();
    world.until("c-mild", "healed").await;
    assert_eq!(world.platform.asked().len(), 1, "only the mild one");
    let by = Person {
        subject: "alice".into(),
        via: "api_key".into(),
    };
    world
        .quarantine
        .apply(
            "c-severe",
            Command::Approve {
                by,
                reason: String::new(),
            },
        )
        .unwrap();
    world.until("c-severe", "healed").await;
}
