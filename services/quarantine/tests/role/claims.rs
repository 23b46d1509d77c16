//! Several replicas drive levers under claims: one at a time per case, another when that one is gone.

use crate::harness::World;
use crate::replicas::{CAP, capped, two};
use std::collections::BTreeSet;
use std::time::Duration;

/// Scenario: a replica is killed while a lever is at work for it.
/// Guarantees: the other does not ask before the claim has lapsed, then asks with the same key.
#[tokio::test]
async fn a_dead_replicas_levers_are_taken_over() {
    let [first, second] = two(immune_store::memory::stores(), capped(CAP)).await;
    first.lever.hang();
    // The first replica alone, so that it is the one that claims.
    let stores = second.stores.clone();
    second.stop().await;
    let id = first.report("a", "i-1", 8.0).await.case_id;
    first
        .until("the lever is asked", async |w| !w.lever.asks().is_empty())
        .await;
    first.lever.hang_no_more();
    let second = first.beside("third").await;
    let (lever, clock) = (first.lever.clone(), first.clock.clone());
    drop(first);
    clock.advance(Duration::from_secs(10));
    second.contained("b", 8.0).await;
    assert_eq!(second.case(&id).await.quarantine.phase.as_str(), "requested");
    clock.advance(Duration::from_secs(6));
    second.until_phase(&id, "confirmed").await;
    let keys = lever.keys();
    assert_eq!((keys.len(), &keys[0]), (3, &keys[2]), "{keys:?}");
    assert_eq!(stores.cases.totals(&"default".into()).await.unwrap().opened, 2);
}

/// Scenario: a replica is stopped (SIGTERM) while it drives levers that say no.
/// Guarantees: it gives its claims back, and another goes on without waiting for them to lapse.
#[tokio::test]
async fn a_stopped_replica_gives_its_claims_back() {
    let first = World::with_policy(capped(CAP)).await;
    first.lever.then([immune_levers::Outcome::Failed]);
    let id = first.report("a", "i-1", 8.0).await.case_id;
    first
        .until("the no is on record", async |w| {
            w.case(&id).await.quarantine.levers[0].attempts == 1
        })
        .await;
    let second = first.beside("second").await;
    first.stop().await;
    second.clock.advance(Duration::from_secs(2));
    second.until_phase(&id, "confirmed").await;
}

/// Scenario: a lever is at work for longer than the claim on its case lasts; a second replica is there.
/// Guarantees: the claim is held on to, and nobody asks a second time.
#[tokio::test]
async fn an_ask_may_take_longer_than_the_lease() {
    let first = World::with_policy(capped(CAP)).await;
    first.lever.hang();
    first.report("a", "i-1", 8.0).await;
    first
        .until("the lever is asked", async |w| !w.lever.asks().is_empty())
        .await;
    let second = first.beside("second").await;
    for round in 0..4 {
        // Another case in each round: when its lever is asked, both have looked at what is unsettled.
        second.clock.advance(Duration::from_secs(6));
        let marker = format!("marker-{round}");
        let before = second.lever.asks().len();
        first.report(&marker, &marker, 8.0).await;
        second
            .until("the marker's lever is asked", async |w| {
                w.lever.asks().len() > before
            })
            .await;
    }
    let keys = second.lever.keys();
    assert_eq!(BTreeSet::from_iter(&keys).len(), keys.len(), "{keys:?}");
}
