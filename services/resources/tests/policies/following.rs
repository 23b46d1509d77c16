//! Rules change while everything runs.

use crate::world::{World, cluster, granted, policy};
use immune_domain::policy::Mode;
use immune_resources::policies::rules::WATCH;
use immune_test_kubernetes::{Failure, When};
use serde_json::json;
use std::time::Duration;

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

/// Scenario: the API server goes away for two attempts, from a quiet cluster, and comes back without news.
/// Guarantees: it is said to be away once and back once; what was known holds all the time.
#[tokio::test]
async fn an_outage_is_one_outage() {
    let world = World::start().await;
    world
        .server
        .put(policy("immune", "p", json!({ "set": { "attemptsMax": 3 } })));
    world
        .until("it holds", |w| w.resolved("a", "x").attempts_max == 3)
        .await;
    let mut state = world.state.clone();
    state.mark_unchanged();
    world.server.forget_requests();
    world.server.fail_next(When::any().times(1_000), Failure::Cut);
    world.server.expire_watches();
    let told = tokio::spawn(async move {
        let mut said = Vec::new();
        while said.last() != Some(&false) || !said.contains(&true) {
            let changed = tokio::time::timeout(Duration::from_secs(20), state.changed()).await;
            changed.expect("something is said").expect("it follows");
            said.push(state.borrow_and_update().error.is_some());
        }
        said
    });
    world
        .until("it was tried twice", |w| w.server.requests().len() >= 2)
        .await;
    assert!(!told.is_finished(), "said to be back while it was away");
    world.server.heal();
    let mut said = told.await.expect("it listens");
    // How it is, each time that something was news: away, perhaps for another reason, and then back.
    said.dedup();
    assert_eq!(said, [true, false]);
    assert_eq!(world.live.generation(), 1, "nothing else ever held");
}

/// Scenario: of two namespaces, one may not be read after all.
/// Guarantees: news of the other do not hide that.
#[tokio::test]
async fn one_namespace_that_cannot_be_followed_is_not_hidden_by_another() {
    let server = cluster().await;
    server.set_access(vec![]);
    server.add_access_in("immune", granted(WATCH));
    let world = World::over(server, vec![Some("immune".to_owned()), Some("team-a".to_owned())]);
    world
        .until("it says so", |w| w.state.borrow().error.is_some())
        .await;
    world.server.forget_requests();
    for n in 1..4 {
        let set = json!({ "set": { "attemptsMax": n } });
        world.server.put(policy("immune", &format!("p{n}"), set));
    }
    world
        .until("it was tried again", |w| w.server.requests().len() >= 2)
        .await;
    assert!(world.state.borrow().error.is_some());
    assert_eq!(
        (world.state.borrow().is_loaded, world.live.generation()),
        (false, 0),
        "half of the rules are no rules"
    );
}
