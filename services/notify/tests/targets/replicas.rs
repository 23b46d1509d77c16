//! Several processes over one store.

use crate::receiver::{Receiver, reply};
use crate::world::{Running, config, open_case, start, start_at_once, target, until};
use immune_store::{Stores, memory};
use immune_store_postgres::{Options, PostgresStore, migrate};
use immune_store_sqlite::SqliteStore;
use immune_test_servers::Postgres;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

const SECRET: &str = "a-secret-of-more-than-24-bytes";

fn hooks(receiver: &Receiver) -> immune_notify::Config {
    let hook = |name: &str| {
        json!({ "name": name, "webhook": {
        "url": receiver.url(&format!("/{name}")), "secret": SECRET }, "rate": { "per_minute": 6000 } })
    };
    config(json!([hook("one"), hook("two")]))
}

/// How often each id arrived at each target, and whether the cases' events came in order.
fn arrived(receiver: &Receiver) -> BTreeMap<(String, String), usize> {
    let mut times = BTreeMap::new();
    for got in receiver.got() {
        let id = got.header("webhook-id").to_owned();
        *times.entry((got.uri.path().to_owned(), id)).or_default() += 1;
    }
    times
}

async fn cases(stores: &Stores, from: u32, to: u32) {
    for n in from..to {
        open_case(stores, &format!("a{n}"), 3.0).await;
    }
}

/// Scenario: three processes deliver to two targets over one store; one stops in order, one is killed, and more
/// happens all the while.
async fn replicas_share(stores: Vec<Stores>) {
    let receiver = Receiver::start().await;
    let config = hooks(&receiver);
    let mut running: Vec<Running> = Vec::new();
    for stores in &stores {
        running.push(start(stores, &config).await);
    }
    cases(&stores[0], 0, 20).await;
    let delivered = async |count: u64| {
        until("delivered", async || {
            target(&stores[0], "one").await.delivered == count
                && target(&stores[0], "two").await.delivered == count
        })
        .await;
    };
    delivered(20).await;
    running.remove(0).end().await;
    cases(&stores[1], 20, 40).await;
    delivered(40).await;
    // Killed: its targets are free when its lease has lapsed.
    running.remove(0).task.abort();
    cases(&stores[2], 40, 60).await;
    delivered(60).await;
    let arrived = arrived(&receiver);
    assert_eq!(arrived.len(), 120, "60 events, two targets");
    // Killed between a request and its note, one event may come again under its id; not more.
    let twice: Vec<_> = arrived.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.len() <= 8, "{twice:?}");
}

/// Guarantees: every event reaches every target, in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory() {
    let stores = memory::stores();
    replicas_share(vec![stores.clone(), stores.clone(), stores]).await;
}

/// Guarantees: the same over PostgreSQL, where each process has connections of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_postgres() {
    let url = Postgres::shared().await.database().await;
    migrate(&url).await.unwrap();
    let open = || PostgresStore::open(Options::new(url.clone())).unwrap().stores();
    replicas_share(vec![open(), open(), open()]).await;
}

/// Scenario: a process over a file stops in the middle of a receiver's outage, and another one opens the file.
/// Guarantees: what waited is delivered, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_file() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let path = folder.path().join("immune.db");
    let mut config = hooks(&receiver);
    config.replica = "the-only-one".to_owned();
    let store = SqliteStore::open(&path).await.unwrap();
    let stores = store.stores();
    let running = start(&stores, &config).await;
    receiver.always(reply(503));
    cases(&stores, 0, 10).await;
    until("it fails", async || {
        target(&stores, "one").await.failing_since.is_some()
    })
    .await;
    running.end().await;
    store.close().await;
    receiver.always(reply(200));
    receiver.forget();
    let store = SqliteStore::open(&path).await.unwrap();
    let stores = store.stores();
    let _running = start_at_once(&stores, &config);
    until("all delivered", async || {
        target(&stores, "one").await.delivered == 10 && target(&stores, "two").await.delivered == 10
    })
    .await;
    let arrived = arrived(&receiver);
    assert_eq!(arrived.len(), 20);
    assert!(arrived.values().all(|times| *times == 1), "{arrived:?}");
}

/// Scenario: a process that hangs is overtaken while its request is under way.
/// Guarantees: the one that took over delivers; what the first one notes afterwards changes nothing.
#[tokio::test]
async fn one_that_was_overtaken_notes_nothing() {
    let stores = memory::stores();
    let store = &stores.notifications;
    let now = crate::world::now();
    let old = store.hold("one", "dead", now, now, 0).await.unwrap().unwrap();
    let receiver = Receiver::start().await;
    let config = hooks(&receiver);
    let _running = start(&stores, &config).await;
    until("taken over", async || {
        target(&stores, "one")
            .await
            .holder
            .is_some_and(|(holder, until)| holder != "dead" && until > now.plus(Duration::from_millis(1)))
    })
    .await;
    open_case(&stores, "a", 3.0).await;
    until("delivered", async || target(&stores, "one").await.delivered == 1).await;
    assert!(!store.take_in("one", old.fence, 99, &[]).await.unwrap());
}
