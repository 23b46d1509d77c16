//! Two replicas of quarantine, each with its own check, over one PostgreSQL.

use crate::world::{Door, Ward, config};
use immune_domain::policy::LivePolicies;
use immune_proto::v1::Decision;
use immune_store::Stores;
use immune_store_postgres::{Options, PostgresStore, migrate};
use immune_test_servers::Postgres;
use serde_json::json;
use std::time::Instant;

fn stores(url: &str) -> Stores {
    let store = PostgresStore::open(Options::new(url)).unwrap();
    Stores {
        cases: store.cases(),
        action_log: store.action_log(),
        ..immune_store::memory::stores()
    }
}

/// Scenario: an agent falls ill at one replica and is released at the other; each has connections of its own.
/// Guarantees: both checks deny it, and both let it go; news travel by notification and not by the next look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_contains_the_other_denies() {
    let url = Postgres::shared().await.database().await;
    migrate(&url).await.unwrap();
    let policies = LivePolicies::default();
    let replicas = [stores(&url), stores(&url)];
    let mut wards = Vec::new();
    let mut doors = Vec::new();
    for (n, stores) in replicas.iter().enumerate() {
        wards.push(Ward::start(stores, &policies, &format!("replica-{n}")).await);
        doors.push(Door::start(config(json!({})), &stores.cases, &policies).await);
    }
    let mut fastest = f64::MAX;
    for round in 0..5 {
        let agent = format!("agent-{round}");
        let case = wards[round % 2].falls_ill(&agent).await;
        let began = Instant::now();
        doors[(round + 1) % 2].until(&agent, false).await;
        fastest = fastest.min(began.elapsed().as_secs_f64());
        doors[round % 2].until(&agent, false).await;
        wards[(round + 1) % 2].decide(&case, Decision::Release).await;
        for door in &doors {
            door.until(&agent, true).await;
        }
    }
    // The next look would come after a second.
    assert!(fastest < 0.5, "the fastest news took {fastest} s");
}

/// Scenario: one replica ends while the other goes on, and the agent's case opens at the one that is left.
/// Guarantees: the check that is left answers, and a new replica knows at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_replica_knows_what_others_contained() {
    let url = Postgres::shared().await.database().await;
    migrate(&url).await.unwrap();
    let policies = LivePolicies::default();
    let (first, second) = (stores(&url), stores(&url));
    let ward = Ward::start(&first, &policies, "first").await;
    let gone = Door::start(config(json!({})), &second.cases, &policies).await;
    gone.stop().await;
    ward.falls_ill("a").await;
    let door = Door::start(config(json!({})), &second.cases, &policies).await;
    assert!(!door.may_act("a").await);
    assert!(door.may_act("b").await);
}
