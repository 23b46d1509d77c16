//! Replicas over PostgreSQL, each with connections of its own, as processes have them.

use crate::harness::World;
use crate::replicas::{CAP, agent, capped, check_everyone, everyone_reports, people_decide_at_once};
use immune_proto::v1::Decision;
use immune_runtime::clock::{Clock, Manual, System};
use immune_store::Stores;
use immune_store_postgres::{Options, PostgresStore, migrate};
use immune_test_servers::Postgres;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

fn stores(url: &str) -> Stores {
    let store = PostgresStore::open(Options::new(url)).unwrap();
    Stores {
        cases: store.cases(),
        action_log: store.action_log(),
        ..immune_store::memory::stores()
    }
}

async fn two(server: &Postgres) -> [World; 2] {
    let url = server.database().await;
    over(&url).await
}

async fn over(url: &str) -> [World; 2] {
    migrate(url).await.unwrap();
    let first = World::start(stores(url), capped(CAP), Manual::at(System.now())).await;
    let second = first.beside_over("second", stores(url)).await;
    [first, second]
}

/// Scenario: two hundred agents fall ill at once, and both replicas hear of each of them; forty may be contained.
/// Guarantees: one case per agent, forty contained; each lever is asked once by one of the two; both know who is
/// quarantined.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_reports_to_two_replicas_on_postgres() {
    let worlds = two(Postgres::shared().await).await;
    everyone_reports(&worlds).await;
    check_everyone(&worlds).await;
}

/// Scenario: ten cases; twenty people decide on each at the same moment, half of them through each replica.
/// Guarantees: exactly one wins, and everyone else is told that person's name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_decision_wins_on_postgres() {
    let worlds = two(Postgres::shared().await).await;
    people_decide_at_once(&worlds).await;
}

/// Scenario: a replica dies while a lever is at work for it.
/// Guarantees: the other asks again when the claim has lapsed, with the same key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_replicas_levers_are_taken_over_on_postgres() {
    let [first, second] = two(Postgres::shared().await).await;
    first.lever.hang();
    for n in 0..8 {
        first.report(&agent(n), &format!("i-{n}"), 8.0).await;
    }
    first
        .until("the levers are asked", async |w| w.lever.asks().len() == 8)
        .await;
    first.lever.hang_no_more();
    let before = BTreeSet::from_iter(first.lever.keys());
    let ids: Vec<String> = first
        .lever
        .asks()
        .into_iter()
        .map(|ask| ask.case.to_string())
        .collect();
    let (lever, clock) = (first.lever.clone(), first.clock.clone());
    // What the second asked hangs there, too; both are gone, and a third is there.
    let third = first.beside_over("third", first.stores.clone()).await;
    drop((first, second));
    clock.advance(Duration::from_secs(16));
    for id in &ids {
        third.until_phase(id, "confirmed").await;
    }
    assert_eq!(
        (lever.keys().len(), BTreeSet::from_iter(lever.keys())),
        (16, before)
    );
}

/// Scenario: the database answers nothing (its tables are locked), then is killed, then comes back, under two replicas with quarantined agents.
/// Guarantees: admission is answered all the time, as last known; the state tells; afterwards both work again and
/// have missed nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_dies_and_comes_back() {
    let server = Arc::new(Postgres::start().await);
    let url = server.database().await;
    let worlds = over(&url).await;
    let id = worlds[0].contained("a", 8.0).await;
    worlds[1]
        .until("both know", async |w| !w.admission("a").await.unwrap().allowed)
        .await;
    let hangs = tokio::spawn({
        let (server, database) = (server.clone(), url.rsplit('/').next().unwrap().to_owned());
        async move {
            let sql =
                "BEGIN; LOCK TABLE immune.cases, immune.events IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)";
            server.sql(&database, sql).await
        }
    });
    for world in &worlds {
        world
            .until("the answer is as last known", async |w| {
                let began = tokio::time::Instant::now();
                let answer = w.admission("a").await.unwrap();
                assert!(
                    !answer.allowed && began.elapsed() < Duration::from_secs(2),
                    "{answer:?}"
                );
                answer.reason.contains("as last known")
            })
            .await;
        world
            .until("the state tells", async |w| {
                w.state.borrow().store_error.is_some()
            })
            .await;
    }
    server.kill().await;
    // The session that held the tables has died with the server, and with it the task.
    assert!(hangs.await.is_err());
    for world in &worlds {
        assert!(!world.admission("a").await.unwrap().allowed);
        assert!(world.try_report("b", "i-b", 8.0).await.is_err());
    }
    server.start_again().await;
    for world in &worlds {
        world
            .until("the store is back", async |w| {
                w.state.borrow().store_error.is_none()
            })
            .await;
    }
    worlds[0]
        .decide(&id, Decision::Release, "dora", "known experiment")
        .await
        .unwrap();
    worlds[1]
        .until("the release is known", async |w| {
            w.admission("a").await.unwrap().allowed
        })
        .await;
    worlds[1].contained("b", 8.0).await;
    worlds[0]
        .until("the other's case is known", async |w| {
            !w.admission("b").await.unwrap().allowed
        })
        .await;
}
