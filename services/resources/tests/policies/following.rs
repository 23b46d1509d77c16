//! Rules change while everything runs.

use crate::world::{World, cluster, policy};
use immune_domain::policy::Mode;
use immune_test_kubernetes::{Failure, When};
use serde_json::json;

/// Scenario: a policy is created, changed, made wrong and deleted.
/// Guarantees: what it says holds within moments, without a restart; while it is wrong, its last accepted version
/// does; once it is gone, the defaults do.
#[tokio::test]
async fn a_change_holds_without_a_restart() {
    let world = World::start().await;
    world
        .until("the list is known", |w| w.state.borrow().is_loaded)
        .await;
    assert_eq!(world.resolved("a", "x").attempts_max, 8);
    world.server.put(policy(
        "immune",
        "p",
        json!({ "match": { "agent": "a*" }, "set": { "attemptsMax": 3 } }),
    ));
    world
        .until("it holds", |w| w.resolved("a1", "x").attempts_max == 3)
        .await;
    assert_eq!(world.resolved("b", "x").attempts_max, 8);
    world.server.change("ImmunePolicy", "immune", "p", |p| {
        p["spec"]["set"]["attemptsMax"] = json!(5)
    });
    world
        .until("the change holds", |w| w.resolved("a1", "x").attempts_max == 5)
        .await;
    // The schema knows nothing of what the rest of the policy asks for.
    world.server.change("ImmunePolicy", "immune", "p", |p| {
        p["spec"]["set"] = json!({ "secondPersonFromSeverity": 5.0 });
    });
    world
        .until("the mistake is known", |w| {
            w.state.borrow().verdicts.iter().any(|v| v.error.is_some())
        })
        .await;
    assert_eq!(world.resolved("a1", "x").attempts_max, 5);
    world.server.delete("ImmunePolicy", "immune", "p");
    world
        .until("the defaults hold", |w| w.resolved("a1", "x").attempts_max == 8)
        .await;
}

/// Scenario: a policy in another namespace matches everyone.
/// Guarantees: it holds for agents of its own namespace alone.
#[tokio::test]
async fn a_team_speaks_for_its_own_agents() {
    let world = World::start().await;
    world.server.put(policy(
        "team-a",
        "quiet",
        json!({ "match": {}, "set": { "mode": "observe" } }),
    ));
    world
        .until("it holds", |w| w.resolved("a", "team-a").mode == Mode::Observe)
        .await;
    assert_eq!(world.resolved("a", "team-b").mode, Mode::Enforce);
}

/// Scenario: the API server is away at the start, comes, goes while a policy is deleted and the history is compacted,
/// and comes back.
/// Guarantees: nothing is replaced before the first complete list; what was known holds while it is away; afterwards
/// everything is as the cluster says.
#[tokio::test]
async fn what_was_known_holds_while_the_server_is_away() {
    let server = cluster().await;
    server.put(policy("immune", "p", json!({ "set": { "attemptsMax": 3 } })));
    server.fail_next(When::any().times(2), Failure::Cut);
    let world = World::over(server, vec![Some("immune".to_owned()), Some("team-a".to_owned())]);
    world
        .until("it says so", |w| w.state.borrow().error.is_some())
        .await;
    assert_eq!(world.live.generation(), 0);
    world
        .until("it holds", |w| w.resolved("a", "x").attempts_max == 3)
        .await;
    world
        .until("it says that all is well", |w| w.state.borrow().error.is_none())
        .await;

    world.server.fail_next(When::any().times(1_000), Failure::Cut);
    world.server.expire_watches();
    world
        .until("it says so", |w| w.state.borrow().error.is_some())
        .await;
    world.server.delete("ImmunePolicy", "immune", "p");
    assert_eq!(world.resolved("a", "x").attempts_max, 3);
    world.server.heal();
    world
        .until("the deletion is known", |w| {
            w.resolved("a", "x").attempts_max == 8
        })
        .await;
}

/// Scenario: an object that no version of the schema allows is stored (the definition was changed after it).
/// Guarantees: the others are followed all the same, and it is named.
#[tokio::test]
async fn one_that_cannot_be_read_hides_no_other() {
    let server = cluster().await;
    server.register(immune_test_kubernetes::Kind::custom(
        "immune.io",
        "v1alpha1",
        "immunepolicies",
        "ImmunePolicy",
    ));
    server.put(policy("immune", "odd", json!({ "set": { "mode": 7 } })));
    server.put(policy("immune", "p", json!({ "set": { "attemptsMax": 3 } })));
    let world = World::over(server, vec![None]);
    world
        .until("the other holds", |w| w.resolved("a", "x").attempts_max == 3)
        .await;
    let state = world.state.borrow().clone();
    let odd = state
        .verdicts
        .iter()
        .find(|verdict| verdict.name == "odd")
        .unwrap();
    assert!(odd.error.is_some() && odd.rule.is_none(), "{odd:?}");
}
