use crate::harness::World;
use immune_domain::case::Containment;
use immune_domain::policy::Policy;
use immune_levers::{Order, Outcome};
use immune_proto::v1::Decision;
use immune_quarantine::Config;
use immune_runtime::clock::{Clock, Manual, System};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Scenario: the platform says no twice, then manages.
/// Guarantees: asked again with a new key each time, after a wait; then confirmed.
#[tokio::test]
async fn a_no_is_followed_by_a_new_ask() {
    let world = World::new().await;
    world.lever.then([Outcome::Failed, Outcome::Failed]);
    let id = world.report("a", "i-1", 8.0).await.case_id;
    for asks in 1..3 {
        world
            .until("the no is on record", async |w| {
                w.case(&id).await.quarantine.levers[0].attempts == asks
            })
            .await;
        assert_eq!(world.lever.asks().len() as u32, asks, "not before its time");
        world.clock.advance(Duration::from_secs(2));
    }
    world.until_phase(&id, "confirmed").await;
    let keys = world.lever.keys();
    assert_eq!(BTreeSet::from_iter(&keys).len(), 3, "{keys:?}");
}

/// Scenario: the platform's answer is lost; the ask is repeated.
/// Guarantees: with the same key, so that the platform can tell.
#[tokio::test]
async fn a_lost_answer_is_asked_for_with_the_same_key() {
    let world = World::new().await;
    world.lever.then([Outcome::Unknown]);
    let id = world.report("a", "i-1", 8.0).await.case_id;
    world
        .until("the silence is on record", async |w| {
            w.case(&id).await.quarantine.levers[0].attempts == 1
        })
        .await;
    world.clock.advance(Duration::from_secs(2));
    world.until_phase(&id, "confirmed").await;
    let keys = world.lever.keys();
    assert_eq!((keys.len(), BTreeSet::from_iter(&keys).len()), (2, 1), "{keys:?}");
}

/// Scenario: the process dies while the lever is at work; another starts over the same store.
/// Guarantees: the ask is repeated with the same key; meanwhile the agent is denied admission.
#[tokio::test]
async fn a_crash_during_an_ask_repeats_it() {
    let world = World::new().await;
    world.lever.hang();
    let id = world.report("a", "i-1", 8.0).await.case_id;
    world
        .until("the lever is asked", async |w| !w.lever.asks().is_empty())
        .await;
    let before = world.lever.keys();
    let world = world.restarted().await;
    assert!(!world.admission("a").await.unwrap().allowed);
    world.until_phase(&id, "confirmed").await;
    assert_eq!(world.lever.keys(), before);
}

/// Scenario: a case is released while the platform is away.
/// Guarantees: the release is driven to its end although the case is closed, also after a restart; the agent is
/// admitted from the decision on.
#[tokio::test]
async fn a_closed_case_is_released_to_the_end() {
    let world = World::new().await;
    let id = world.contained("a", 8.0).await;
    world.lever.then([Outcome::Failed]);
    world
        .decide(&id, Decision::Release, "dora", "known experiment")
        .await
        .unwrap();
    assert!(world.admission("a").await.unwrap().allowed);
    world
        .until("the no is on record", async |w| {
            w.case(&id).await.quarantine.levers[0].attempts == 1
        })
        .await;
    let world = world.restarted().await;
    assert!(world.admission("a").await.unwrap().allowed);
    world.clock.advance(Duration::from_secs(2));
    world.until_phase(&id, "released").await;
    assert_eq!(world.lever.asks()[0].order, Order::Contain(Containment::Free));
}

/// Scenario: the platform said done, then an execution starts.
/// Guarantees: breached, told once, and the platform is asked again with a new key.
#[tokio::test]
async fn a_lie_is_found_out() {
    let world = World::new().await;
    let id = world.contained("a", 8.0).await;
    assert!(
        !world.executed("a", world.clock.now()).await,
        "within the tolerance of clocks"
    );
    assert!(
        world
            .executed("a", world.clock.now().plus(Duration::from_secs(3)))
            .await
    );
    world
        .until("asked again", async |w| w.lever.asks().len() == 2)
        .await;
    world.until_phase(&id, "confirmed").await;
    let case = world.case(&id).await;
    assert_eq!(case.quarantine.breaches, 1);
    assert_eq!(BTreeSet::from_iter(world.lever.keys()).len(), 2);
    assert!(world.log().await.contains(&"quarantine_breached".into()));
    assert!(!world.executed("somebody else", world.clock.now()).await);
}

/// Scenario: the platform cannot quarantine.
/// Guarantees: not asked again, never called confirmed; the admission check still denies.
#[tokio::test]
async fn unsupported_is_not_confirmed() {
    let world = World::new().await;
    world.lever.then([Outcome::Unsupported]);
    let id = world.report("a", "i-1", 8.0).await.case_id;
    world
        .until("the answer is on record", async |w| {
            w.case(&id).await.quarantine.levers[0].status.as_str() == "unsupported"
        })
        .await;
    world.clock.advance(Duration::from_secs(600));
    world.report("a", "i-2", 9.0).await;
    assert_eq!(world.case(&id).await.quarantine.phase.as_str(), "requested");
    assert!(!world.admission("a").await.unwrap().allowed);
    assert_eq!(world.lever.asks().len(), 1);
}

/// Scenario: two agents are contained; the lever sees them contained, then sees that somebody let them go; one was let
/// go by a person before.
/// Guarantees: what is there is left alone; what was taken away is breached, asked for with a new key, and confirmed
/// again; nobody looks after an agent that is free.
#[tokio::test]
async fn a_quarantine_that_was_taken_away_is_made_again() {
    let config = Config {
        patrol_seconds: 1,
        ..World::config()
    };
    let stores = immune_store::memory::stores();
    let clock = Manual::at(System.now());
    let world = World::start_as(config, stores, Policy::default(), clock, Arc::default()).await;
    let (id, free) = (world.contained("a", 8.0).await, world.contained("b", 8.0).await);
    world.lever.see(true);
    world
        .decide(&free, Decision::Release, "dora", "known experiment")
        .await
        .unwrap();
    world.until_phase(&free, "released").await;
    let asked = world.lever.asks().len();
    world.clock.advance(Duration::from_secs(11));
    world.lever.see(false);
    world
        .until("it is asked again", async |w| w.lever.asks().len() > asked)
        .await;
    world.lever.see(true);
    world.until_phase(&id, "confirmed").await;
    let case = world.case(&id).await;
    assert!(case.timeline.iter().any(|entry| entry.kind == "lever_lost"));
    let log = world.log().await;
    let breaches = log.iter().filter(|kind| *kind == "quarantine_breached").count();
    assert_eq!((breaches, world.lever.asks().len()), (1, asked + 1));
    let keys = world.lever.keys();
    assert_eq!(BTreeSet::from_iter(&keys).len(), keys.len(), "{keys:?}");
}
