//! The store, or its news, are away.

use crate::deaf::{Broken, deaf};
use crate::harness::{World, code_of};
use immune_domain::policy::Policy;
use immune_proto::v1::Decision;
use immune_quarantine::Config;
use immune_quarantine::config::WhileAway;
use immune_runtime::clock::{Clock, Manual, System};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tonic::Code;

async fn over_a_breakable_store(admission_while_away: WhileAway) -> (World, Arc<Broken>) {
    let broken = Arc::new(Broken::default());
    let stores = deaf(&immune_store::memory::stores(), &broken);
    let config = Config {
        feed_stale_ms: 100,
        admission_while_away,
        ..World::config()
    };
    let clock = Manual::at(System.now());
    let world = World::start_as(config, stores, Policy::default(), clock, Arc::default()).await;
    (world, broken)
}

/// Scenario: an agent is quarantined; then the store is away, then it is back.
/// Guarantees: admission is answered as last known, and says so; other calls are refused as retryable at once; the
/// state tells; afterwards everything works again.
#[tokio::test]
async fn a_store_that_goes_and_comes_back() {
    let (world, broken) = over_a_breakable_store(WhileAway::LastKnown).await;
    let id = world.contained("a", 8.0).await;
    broken.all.store(true, Ordering::SeqCst);
    world
        .until("the state tells", async |w| {
            let state = w.state.borrow().clone();
            state.store_error.is_some() && state.feed_lag > Duration::from_millis(100)
        })
        .await;
    let denied = world.admission("a").await.unwrap();
    assert!(
        !denied.allowed && denied.case_id == id && denied.reason.contains("as last known"),
        "{denied:?}"
    );
    let allowed = world.admission("b").await.unwrap();
    assert!(
        allowed.allowed && allowed.reason.contains("the store of cases has not answered"),
        "{allowed:?}"
    );
    let began = tokio::time::Instant::now();
    let report = world.try_report("b", "i-b", 8.0).await;
    assert_eq!(code_of(report), (Code::Unavailable, "quarantine.store".into()));
    let decided = world.decide(&id, Decision::Approve, "alice", "").await;
    assert_eq!(code_of(decided), (Code::Unavailable, "quarantine.store".into()));
    let claimed = world.try_claim("w").await;
    assert_eq!(code_of(claimed).0, Code::Unavailable);
    let executed = world.try_executed("a", world.clock.now()).await;
    assert_eq!(
        code_of(executed),
        (Code::Unavailable, "quarantine.unknown".into())
    );
    assert!(began.elapsed() < Duration::from_secs(2));

    broken.all.store(false, Ordering::SeqCst);
    world
        .until("the store is back", async |w| {
            let state = w.state.borrow().clone();
            state.store_error.is_none() && state.feed_lag.is_zero()
        })
        .await;
    assert!(world.admission("b").await.unwrap().reason.is_empty());
    world.contained("b", 8.0).await;
    world.decide(&id, Decision::Approve, "alice", "").await.unwrap();
}

/// Scenario: the same where the operator has chosen that nobody acts while nothing is known.
/// Guarantees: everyone is denied, with the reason, and admitted when the store is back.
#[tokio::test]
async fn failing_closed() {
    let (world, broken) = over_a_breakable_store(WhileAway::Deny).await;
    broken.all.store(true, Ordering::SeqCst);
    world
        .until("everyone is denied", async |w| {
            !w.admission("b").await.unwrap().allowed
        })
        .await;
    let denied = world.admission("b").await.unwrap();
    assert!(
        denied.reason.contains("the store of cases has not answered"),
        "{denied:?}"
    );
    broken.all.store(false, Ordering::SeqCst);
    world
        .until("admitted again", async |w| {
            w.admission("b").await.unwrap().allowed
        })
        .await;
}

/// Scenario: two replicas; one hears no news for longer than it may, while the other quarantines an agent and
/// releases another.
/// Guarantees: it does not answer from memory, but asks the store and is right, for executions too.
#[tokio::test]
async fn memory_that_is_stale_is_not_trusted() {
    let (first, _) = over_a_breakable_store(WhileAway::LastKnown).await;
    let released = first.contained("released", 8.0).await;
    let broken = Arc::new(Broken::default());
    let second = first.beside_over("second", deaf(&first.stores, &broken)).await;
    broken.feed.store(true, Ordering::SeqCst);
    second
        .until("the news are old", async |w| {
            w.state.borrow().feed_lag > Duration::from_millis(100)
        })
        .await;
    first
        .decide(&released, Decision::Release, "dora", "known experiment")
        .await
        .unwrap();
    first.contained("a", 8.0).await;
    let denied = second.admission("a").await.unwrap();
    assert!(
        !denied.allowed && !denied.reason.contains("last known"),
        "{denied:?}"
    );
    assert!(second.admission("released").await.unwrap().allowed);
    let later = second.clock.now().plus(Duration::from_secs(3));
    assert!(second.try_executed("a", later).await.unwrap());
}

/// Scenario: the store is away when the role starts, and comes later.
/// Guarantees: the role says that it is starting, then works.
#[tokio::test]
async fn starting_before_the_store() {
    let broken = Arc::new(Broken::default());
    broken.all.store(true, Ordering::SeqCst);
    let stores = deaf(&immune_store::memory::stores(), &broken);
    let clock = Manual::at(System.now());
    let begun = World::begin_as(World::config(), stores, Policy::default(), clock, Arc::default());
    begun
        .until("the state tells", async |w| {
            w.state.borrow().store_error.is_some()
        })
        .await;
    assert!(!begun.state.borrow().is_loaded);
    assert_eq!(
        code_of(begun.admission("a").await),
        (Code::Unavailable, "quarantine.starting".into())
    );
    broken.all.store(false, Ordering::SeqCst);
    begun.until("loaded", async |w| w.state.borrow().is_loaded).await;
    begun.contained("a", 8.0).await;
}

/// Scenario: the store is restored from a copy that is behind: an open case is gone, another one is there.
/// Guarantees: all open cases are read anew, and a case that is gone keeps nobody out.
#[tokio::test]
async fn a_restored_store_is_read_anew() {
    let (world, broken) = over_a_breakable_store(WhileAway::LastKnown).await;
    for agent in ["a", "c"] {
        world.contained(agent, 8.0).await;
    }
    let copy = World::start(
        immune_store::memory::stores(),
        Policy::default(),
        world.clock.clone(),
    )
    .await;
    copy.report("b", "i-b", 8.0).await;
    broken.exchange(&copy.stores.cases);
    world
        .until("the restored store is known", async |w| {
            w.admission("a").await.unwrap().allowed && !w.admission("b").await.unwrap().allowed
        })
        .await;
}
