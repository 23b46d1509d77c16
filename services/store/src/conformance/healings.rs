//! What a store of attempts and immune memory must do.

use super::at_once;
use super::samples::{agent, at, failed, healing, odd_ids, succeeded, with_outcome};
use crate::Stores;
use crate::healings::{HealingFilter, HealingTotals};
use immune_domain::diagnosis::Diagnosis;
use immune_domain::healing::{Action, Healing, Outcome, Trigger};
use immune_domain::memory::{Memory, Pin};
use immune_domain::{AgentKey, HealingId, RunId};

/// Successes and failures that are remembered for the sample's agent, diagnosis and action.
async fn remembered(stores: &Stores, of: &Healing) -> Option<(u32, u32)> {
    let memories = stores.healings.memories(&of.key, of.diagnosis).await.unwrap();
    memories
        .iter()
        .find(|memory| memory.action == of.action)
        .map(|memory| (memory.successes, memory.failures))
}

async fn attempt(stores: &Stores, healing: &Healing, outcome: Outcome) {
    stores.healings.begin(healing).await.unwrap();
    assert!(
        stores
            .healings
            .finish(&with_outcome(healing, outcome))
            .await
            .unwrap()
    );
}

/// Scenario: an attempt is recorded, then again after a crash, with other details.
/// Guarantees: the first record stays, awkward ids included; unknown ids are `None`.
pub async fn an_attempt_begins_once(stores: &Stores) {
    for id in odd_ids() {
        let first = healing(&AgentKey::new(id.as_str(), id.as_str()), &id, at(1));
        let mut again = healing(&first.key, &id, at(2));
        again.action = Action::CloneAgent;
        stores.healings.begin(&first).await.unwrap();
        stores.healings.begin(&again).await.unwrap();
        assert_eq!(stores.healings.get(&first.id).await.unwrap(), Some(first));
    }
    assert_eq!(
        stores.healings.get(&HealingId::new("unknown")).await.unwrap(),
        None
    );
}

/// Scenario: an attempt goes from running to verifying to succeeded, each told twice.
/// Guarantees: each change is told once; memory and totals count the end once; only the outcome is replaced.
pub async fn an_outcome_counts_once(stores: &Stores) {
    let first = healing(&agent("a"), "h", at(1));
    stores.healings.begin(&first).await.unwrap();
    let mut verifying = with_outcome(
        &first,
        Outcome::Verifying {
            acted_at: at(2),
            detail: "done, said the lever".into(),
        },
    );
    verifying.trigger = Trigger::ExplicitAfterReject;
    assert!(stores.healings.finish(&verifying).await.unwrap());
    assert!(!stores.healings.finish(&verifying).await.unwrap());
    assert_eq!(remembered(stores, &first).await, None);
    let ended = with_outcome(&first, succeeded(at(3)));
    assert!(stores.healings.finish(&ended).await.unwrap());
    assert!(!stores.healings.finish(&ended).await.unwrap());
    assert_eq!(stores.healings.get(&first.id).await.unwrap(), Some(ended));
    assert_eq!(remembered(stores, &first).await, Some((1, 0)));
    let totals = stores.healings.totals(&first.key.run).await.unwrap();
    assert_eq!(
        totals,
        HealingTotals {
            succeeded: 1,
            failed: 0
        }
    );
    let memories = stores
        .healings
        .memories(&first.key, first.diagnosis)
        .await
        .unwrap();
    assert_eq!(memories[0].last_at, at(3));
}

/// Scenario: an attempt that failed is told to have succeeded; another was never begun.
/// Guarantees: a final outcome stays, what was not begun does not end, and neither teaches.
pub async fn a_final_outcome_stays(stores: &Stores) {
    let first = healing(&agent("a"), "h", at(1));
    attempt(stores, &first, failed(at(2))).await;
    assert!(
        !stores
            .healings
            .finish(&with_outcome(&first, succeeded(at(3))))
            .await
            .unwrap()
    );
    assert!(
        !stores
            .healings
            .finish(&with_outcome(&first, Outcome::Running))
            .await
            .unwrap()
    );
    let unknown = healing(&agent("a"), "unknown", at(1));
    assert!(
        !stores
            .healings
            .finish(&with_outcome(&unknown, succeeded(at(3))))
            .await
            .unwrap()
    );
    assert_eq!(stores.healings.get(&unknown.id).await.unwrap(), None);
    assert_eq!(
        stores.healings.get(&first.id).await.unwrap().unwrap().outcome,
        failed(at(2))
    );
    assert_eq!(remembered(stores, &first).await, Some((0, 1)));
}

/// Scenario: attempts end as unsupported and abandoned.
/// Guarantees: they are final and teach nothing about the agent.
pub async fn what_says_nothing_teaches_nothing(stores: &Stores) {
    let (a, b) = (healing(&agent("a"), "a", at(1)), healing(&agent("a"), "b", at(1)));
    attempt(
        stores,
        &a,
        Outcome::Unsupported {
            at: at(2),
            detail: "no such action".into(),
        },
    )
    .await;
    attempt(
        stores,
        &b,
        Outcome::Abandoned {
            at: at(2),
            detail: "released".into(),
        },
    )
    .await;
    assert!(
        !stores
            .healings
            .finish(&with_outcome(&a, failed(at(3))))
            .await
            .unwrap()
    );
    assert_eq!(remembered(stores, &a).await, None);
    assert_eq!(
        stores.healings.totals(&a.key.run).await.unwrap(),
        HealingTotals::default()
    );
}

/// Scenario: sixteen workers report the end of one attempt at the same time, half of them as failed.
/// Guarantees: one is believed, and memory counts exactly one.
pub async fn many_ends_count_once(stores: &Stores) {
    let first = healing(&agent("a"), "h", at(1));
    stores.healings.begin(&first).await.unwrap();
    let answers = at_once(16, |n| {
        let outcome = if n % 2 == 0 {
            succeeded(at(2))
        } else {
            failed(at(2))
        };
        let (store, ended) = (stores.healings.clone(), with_outcome(&first, outcome));
        async move { store.finish(&ended).await.unwrap() }
    })
    .await;
    assert_eq!(answers.iter().filter(|changed| **changed).count(), 1);
    let (successes, failures) = remembered(stores, &first).await.unwrap();
    assert_eq!(successes + failures, 1);
    let won = matches!(
        stores.healings.get(&first.id).await.unwrap().unwrap().outcome,
        Outcome::Succeeded { .. }
    );
    assert_eq!(successes == 1, won);
}

/// Scenario: twenty attempts of several cases, agents and runs.
/// Guarantees: each filter holds, newest first, and pages by time meet.
pub async fn listing_filters_and_pages(stores: &Stores) {
    for n in 0..20 {
        let key = AgentKey::new(if n < 5 { "other" } else { "tests" }, format!("a{}", n % 4));
        let mut one = healing(&key, &format!("h{n:02}"), at(n));
        one.case = format!("case-{}", n % 10).into();
        stores.healings.begin(&one).await.unwrap();
    }
    let list = async |filter: HealingFilter| {
        let found = stores.healings.list(&filter).await.unwrap();
        found
            .into_iter()
            .map(|healing| healing.id.to_string())
            .collect::<Vec<_>>()
    };
    let all: Vec<String> = (0..20).rev().map(|n| format!("h{n:02}")).collect();
    assert_eq!(list(HealingFilter::default()).await, all);
    assert_eq!(
        list(HealingFilter {
            run: Some(RunId::new("other")),
            ..Default::default()
        })
        .await
        .len(),
        5
    );
    let filter = HealingFilter {
        agent: Some(agent("a1")),
        ..Default::default()
    };
    assert_eq!(list(filter).await, ["h17", "h13", "h09", "h05"]);
    let filter = HealingFilter {
        case: Some("case-3".into()),
        ..Default::default()
    };
    assert_eq!(list(filter).await, ["h13", "h03"]);
    assert_eq!(
        list(HealingFilter {
            limit: 3,
            ..Default::default()
        })
        .await,
        all[..3]
    );
    let filter = HealingFilter {
        before: Some(at(17)),
        limit: 3,
        ..Default::default()
    };
    assert_eq!(list(filter).await, all[3..6]);
}

/// Scenario: outcomes of several actions for several agents, diagnoses and runs.
/// Guarantees: each is remembered where it belongs; a run's memories come in the order of agents.
pub async fn memories_are_per_agent_and_diagnosis(stores: &Stores) {
    let mut n = 0;
    let mut remember = async |key: AgentKey, diagnosis: Diagnosis, action: Action, outcome: Outcome| {
        n += 1;
        let one = Healing {
            diagnosis,
            action,
            ..healing(&key, &format!("h{n}"), at(n))
        };
        attempt(stores, &one, outcome).await;
    };
    let (drift, loops) = (Diagnosis::PromptDrift, Diagnosis::InfiniteLoop);
    remember(agent("b"), drift, Action::ResetMemory, failed(at(5))).await;
    remember(agent("b"), drift, Action::RollbackPrompt, succeeded(at(6))).await;
    remember(agent("b"), drift, Action::RollbackPrompt, succeeded(at(4))).await;
    remember(agent("b"), loops, Action::ResetMemory, succeeded(at(7))).await;
    remember(agent("a"), drift, Action::ResetMemory, succeeded(at(8))).await;
    remember(
        AgentKey::new("other", "b"),
        drift,
        Action::ResetMemory,
        succeeded(at(9)),
    )
    .await;

    let seen = |memory: &Memory| {
        (
            memory.key.agent.to_string(),
            memory.diagnosis,
            memory.action,
            memory.successes,
            memory.failures,
        )
    };
    let of_b = stores.healings.memories(&agent("b"), drift).await.unwrap();
    let expected = [
        ("b".to_owned(), drift, Action::ResetMemory, 0, 1),
        ("b".to_owned(), drift, Action::RollbackPrompt, 2, 0),
    ];
    assert_eq!(of_b.iter().map(seen).collect::<Vec<_>>(), expected);
    assert_eq!(of_b[1].last_at, at(6));
    let all = stores.healings.all_memories(&agent("b").run, 10).await.unwrap();
    let agents: Vec<&str> = all.iter().map(|memory| memory.key.agent.as_str()).collect();
    assert_eq!(agents, ["a", "b", "b", "b"]);
    assert_eq!(
        stores.healings.all_memories(&agent("b").run, 2).await.unwrap(),
        all[..2]
    );
}

/// Scenario: a person prefers an untried action, avoids a tried one, and takes both words back.
/// Guarantees: the word stands beside the counts; taken back, the counts remain, and an empty memory goes.
pub async fn a_pin_is_a_persons_word(stores: &Stores) {
    let tried = healing(&agent("a"), "h", at(1));
    attempt(stores, &tried, succeeded(at(2))).await;
    let (key, diagnosis) = (&tried.key, tried.diagnosis);
    let pin = async |action, pin| {
        stores
            .healings
            .pin(key, diagnosis, action, pin, at(9))
            .await
            .unwrap()
    };
    let pins = async || {
        let memories = stores.healings.memories(key, diagnosis).await.unwrap();
        memories
            .iter()
            .map(|m| (m.action, m.successes, m.pin))
            .collect::<Vec<_>>()
    };
    pin(Action::CloneAgent, Some(Pin::Prefer)).await;
    pin(tried.action, Some(Pin::Avoid)).await;
    assert_eq!(
        pins().await,
        [
            (Action::CloneAgent, 0, Some(Pin::Prefer)),
            (Action::RollbackPrompt, 1, Some(Pin::Avoid))
        ]
    );
    pin(Action::CloneAgent, None).await;
    pin(Action::CloneAgent, None).await;
    pin(tried.action, None).await;
    assert_eq!(pins().await, [(Action::RollbackPrompt, 1, None)]);
}

/// Scenario: one action is forgotten, then all that is left.
/// Guarantees: exactly that goes and is counted, other agents keep theirs, and learning starts anew.
pub async fn forgetting_is_counted(stores: &Stores) {
    for (n, action) in (0..).zip(Action::ALL) {
        for name in ["a", "b"] {
            let one = Healing {
                action,
                ..healing(&agent(name), &format!("{name}{n}"), at(n))
            };
            attempt(stores, &one, failed(at(n))).await;
        }
    }
    let (key, diagnosis) = (agent("a"), Diagnosis::PromptDrift);
    let forget = async |action| stores.healings.forget(&key, diagnosis, action).await.unwrap();
    assert_eq!(forget(Some(Action::CloneAgent)).await, 1);
    assert_eq!(forget(Some(Action::CloneAgent)).await, 0);
    assert_eq!(forget(None).await, 5);
    assert_eq!(
        stores
            .healings
            .memories(&agent("b"), diagnosis)
            .await
            .unwrap()
            .len(),
        6
    );
    let anew = healing(&key, "anew", at(50));
    attempt(stores, &anew, succeeded(at(51))).await;
    assert_eq!(remembered(stores, &anew).await, Some((1, 0)));
}

/// Scenario: old attempts, ended and under way, meet the sweeper.
/// Guarantees: ended ones go and are counted; those under way, memory and totals stay.
pub async fn purging_keeps_what_was_learned(stores: &Stores) {
    let (ended, running, young) = (
        healing(&agent("a"), "ended", at(1)),
        healing(&agent("a"), "running", at(1)),
        healing(&agent("a"), "young", at(9)),
    );
    attempt(stores, &ended, failed(at(2))).await;
    attempt(stores, &young, failed(at(10))).await;
    stores.healings.begin(&running).await.unwrap();
    assert_eq!(stores.healings.purge(at(9)).await.unwrap(), 1);
    assert_eq!(stores.healings.purge(at(9)).await.unwrap(), 0);
    assert_eq!(stores.healings.get(&ended.id).await.unwrap(), None);
    assert_eq!(stores.healings.get(&running.id).await.unwrap(), Some(running));
    assert_eq!(remembered(stores, &ended).await, Some((0, 2)));
    assert_eq!(
        stores.healings.totals(&ended.key.run).await.unwrap(),
        HealingTotals {
            succeeded: 0,
            failed: 2
        }
    );
}
