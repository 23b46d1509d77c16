use super::Action::{CloneAgent, ReduceAutonomy, ResetAgent, ResetMemory, RollbackPrompt};
use super::{Action, Plan, Round, plan};
use crate::case::{Attempt, AttemptOutcome};
use crate::diagnosis::Diagnosis;
use crate::memory::{Memory, Pin};
use crate::{AgentKey, HealingId, Timestamp};

const LADDER: [Action; 4] = [ResetMemory, RollbackPrompt, ReduceAutonomy, CloneAgent];

fn memory(action: Action, successes: u32, failures: u32, pin: Option<Pin>) -> Memory {
    Memory {
        key: AgentKey::new("default", "a"),
        diagnosis: Diagnosis::PromptDrift,
        action,
        successes,
        failures,
        last_at: Timestamp::EPOCH,
        pin,
    }
}

fn attempt(action: Action, outcome: AttemptOutcome) -> Attempt {
    let healing = HealingId::from("h");
    Attempt {
        healing,
        action,
        outcome,
        detail: "because".into(),
        at: Timestamp::EPOCH,
    }
}

fn skipped(plan: &Plan) -> Vec<Action> {
    plan.skipped.iter().map(|s| s.action).collect()
}

/// Scenario: nothing is remembered.
/// Guarantees: the ladder's order holds.
#[test]
fn the_ladder_is_the_order() {
    assert_eq!(plan(&LADDER, &[], Round::FIRST).steps, LADDER);
}

/// Scenario: the third action helped before, the first one failed before.
/// Guarantees: what helped comes first, what failed is skipped and says so.
#[test]
fn memory_reorders_and_skips() {
    let memories = [
        memory(ReduceAutonomy, 2, 0, None),
        memory(ResetMemory, 0, 1, None),
    ];
    let plan = plan(&LADDER, &memories, Round::FIRST);
    assert_eq!(plan.steps, [ReduceAutonomy, RollbackPrompt, CloneAgent]);
    assert_eq!(skipped(&plan), [ResetMemory]);
    assert!(
        plan.skipped_in_words()
            .contains("reset_memory: failed for this agent and diagnosis before")
    );
}

/// Scenario: an action helped ten times and failed once.
/// Guarantees: it is not tried again without a person's word.
#[test]
fn one_failure_weighs_more_than_successes() {
    let plan = plan(&LADDER, &[memory(ResetMemory, 10, 1, None)], Round::FIRST);
    assert_eq!(skipped(&plan), [ResetMemory]);
}

/// Scenario: every action failed before; then a person orders another round.
/// Guarantees: the first round has no step; in the ordered one the least bad comes first, and what was tried in
/// that round is not repeated.
#[test]
fn an_exhausted_ladder_starts_anew_on_a_persons_word() {
    let memories = LADDER.map(|action| memory(action, u32::from(action == CloneAgent), 2, None));
    assert_eq!(plan(&LADDER, &memories, Round::FIRST).steps, []);
    let attempts = [attempt(ResetMemory, AttemptOutcome::Failed)];
    let ordered = plan(
        &LADDER,
        &memories,
        Round {
            attempts: &attempts,
            from: Some(1),
        },
    );
    assert_eq!(
        ordered.steps,
        [CloneAgent, ResetMemory, RollbackPrompt, ReduceAutonomy]
    );
    let attempts = [
        attempt(ResetMemory, AttemptOutcome::Failed),
        attempt(CloneAgent, AttemptOutcome::Failed),
    ];
    let next = plan(
        &LADDER,
        &memories,
        Round {
            attempts: &attempts,
            from: Some(1),
        },
    );
    assert_eq!(next.steps, [ResetMemory, RollbackPrompt, ReduceAutonomy]);
}

/// Scenario: everything failed in earlier cases, so that the first round of this one has nothing to try; a person
/// orders another.
/// Guarantees: the order is carried out although no attempt of this case lies behind it, and does not send the case
/// back to the person for ever.
#[test]
fn an_order_counts_even_before_any_attempt() {
    let memories: Vec<Memory> = LADDER
        .into_iter()
        .map(|action| memory(action, 0, 1, None))
        .collect();
    assert_eq!(plan(&LADDER, &memories, Round::FIRST).steps, []);
    let ordered = Round {
        attempts: &[],
        from: Some(0),
    };
    assert_eq!(plan(&LADDER, &memories, ordered).steps, LADDER);
}

/// Scenario: the lever cannot do the first action; later a person orders another round.
/// Guarantees: it is not asked again in this case, but memory holds nothing against it.
#[test]
fn unsupported_is_skipped_in_this_case_only() {
    let attempts = [attempt(ResetMemory, AttemptOutcome::Unsupported)];
    for from in [None, Some(1)] {
        let plan = plan(
            &LADDER,
            &[],
            Round {
                attempts: &attempts,
                from,
            },
        );
        assert_eq!(skipped(&plan), [ResetMemory], "round from {from:?}");
    }
    assert_eq!(plan(&LADDER, &[], Round::FIRST).steps[0], ResetMemory);
}

/// Scenario: a person prefers an action outside the ladder, one that failed, and forbids another.
/// Guarantees: pins win over counts; a preferred action is still not repeated within a round.
#[test]
fn pins_win_over_counts() {
    let memories = [
        memory(ResetAgent, 0, 0, Some(Pin::Prefer)),
        memory(RollbackPrompt, 0, 3, Some(Pin::Prefer)),
        memory(ResetMemory, 9, 0, Some(Pin::Avoid)),
    ];
    let first = plan(&LADDER, &memories, Round::FIRST);
    assert_eq!(
        first.steps,
        [ResetAgent, RollbackPrompt, ReduceAutonomy, CloneAgent]
    );
    assert_eq!(skipped(&first), [ResetMemory]);
    let attempts = [attempt(RollbackPrompt, AttemptOutcome::Failed)];
    let next = plan(
        &LADDER,
        &memories,
        Round {
            attempts: &attempts,
            from: None,
        },
    );
    assert_eq!(next.steps, [ResetAgent, ReduceAutonomy, CloneAgent]);
}
