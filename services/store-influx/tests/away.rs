//! InfluxDB goes away, fills up, or refuses: what was acknowledged is never lost.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_domain::ErrorKind;
use immune_domain::vitals::Vitals;
use immune_store::conformance::samples::{agent, at, vitals};
use immune_store_influx::{Config, InfluxStore, Metrics};
use immune_test_servers::Influx;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use world::{World, until};

fn quick(config: Config) -> Config {
    Config {
        write_seconds: 2.0,
        backoff_seconds: 0.02,
        backoff_seconds_max: 0.2,
        ..config
    }
}

/// Scenario: eight senders append as fast as they can while the server is stopped and started three times, and
/// killed and started once.
/// Guarantees: no append fails (the spill takes over), every record is there once afterwards with its highest revision,
/// and the spill is empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_over_restarts() {
    let server = Influx::start().await;
    let world = World::on(&server.url(), server.user(), quick).await;
    let (store, ends, sent) = (
        world.store().vitals(),
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut senders = JoinSet::new();
    for sender in 0..8_i64 {
        let (store, ends, sent) = (store.clone(), ends.clone(), sent.clone());
        senders.spawn(async move {
            let mut slowest = Duration::ZERO;
            for round in 0_i64.. {
                if ends.load(Ordering::SeqCst) {
                    return (round, slowest);
                }
                let batch: Vec<Vitals> = (0..20)
                    .map(|n| {
                        vitals(
                            &agent(&format!("a{sender}-{}", n % 5)),
                            &format!("{round}-{n}"),
                            at(round * 20 + n),
                        )
                    })
                    .collect();
                let began = Instant::now();
                store.append(&batch).await.unwrap();
                // Half of them are corrected at once.
                let corrected: Vec<Vitals> = batch
                    .into_iter()
                    .step_by(2)
                    .map(|record| Vitals {
                        revision: 1,
                        timestamp: record.timestamp.plus(Duration::from_secs(5)),
                        ..record
                    })
                    .collect();
                store.append(&corrected).await.unwrap();
                slowest = slowest.max(began.elapsed());
                sent.fetch_add(20, Ordering::SeqCst);
            }
            unreachable!("the loop returns")
        });
    }
    let more = async |count: u64| {
        let goal = sent.load(Ordering::SeqCst) + count;
        until("more is sent", || async { sent.load(Ordering::SeqCst) >= goal }).await;
    };
    for _ in 0..3 {
        more(1_000).await;
        server.stop().await;
        more(1_000).await;
        server.start_again().await;
    }
    // The power cut comes last: after one, this InfluxDB goes on writing behind the torn end of its log, and forgets
    // at the next restart what it has acknowledged in between.
    more(1_000).await;
    server.kill().await;
    more(1_000).await;
    server.start_again().await;
    more(500).await;
    ends.store(true, Ordering::SeqCst);
    let mut expected = 0;
    while let Some(done) = senders.join_next().await {
        let (rounds, slowest) = done.unwrap();
        expected += rounds as u64 * 20;
        assert!(slowest < Duration::from_secs(20), "an append took {slowest:?}");
    }
    until("the spill is empty", || async {
        world.metrics.spill_bytes.get() == 0
    })
    .await;
    assert!(world.metrics.spilled.get() > 0, "the spill was never needed");
    let run = agent("x").run;
    assert_eq!(store.total_executions(&run).await.unwrap(), expected);
    let corrected = store.recent(&agent("a0-0"), at(0), 10_000).await.unwrap();
    for record in corrected {
        let n: u64 = record
            .execution
            .as_str()
            .split('-')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(
            record.revision,
            u32::from(n.is_multiple_of(2)),
            "{}",
            record.execution
        );
    }
}

/// Scenario: the server is away, records and a retraction go to the spill, and our process dies before it returns.
/// Guarantees: the next process brings everything over, in its order, and readers are not held up meanwhile.
#[tokio::test]
async fn the_spill_outlives_the_process() {
    let server = Influx::start().await;
    let mut world = World::on(&server.url(), server.user(), quick).await;
    let key = agent("a");
    let store = world.store().vitals();
    store.append(&[vitals(&key, "before", at(1))]).await.unwrap();
    server.kill().await;
    let mut batch: Vec<Vitals> = (0..100).map(|n| vitals(&key, &format!("e{n}"), at(n))).collect();
    store.append(&batch).await.unwrap();
    batch[0].revision = 1;
    batch[0].timestamp = at(500);
    store.append(&batch[..1]).await.unwrap();
    store
        .retract(&[(key.clone(), "e7".into()), (key.clone(), "before".into())])
        .await
        .unwrap();
    assert_eq!(
        store.latest(&key).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    world.restart().await;
    let store = world.store().vitals();
    store.append(&[vitals(&key, "after", at(600))]).await.unwrap();
    server.start_again().await;
    until("the spill is empty", || async {
        world.metrics.spill_bytes.get() == 0
    })
    .await;
    assert_eq!(store.execution_count(&key).await.unwrap(), 100);
    let newest = store.recent(&key, at(400), 10).await.unwrap();
    let newest: Vec<(&str, u32)> = newest
        .iter()
        .map(|r| (r.execution.as_str(), r.revision))
        .collect();
    assert_eq!(newest, [("e0", 1), ("after", 0)]);
    // Back to the direct way.
    store.append(&[vitals(&key, "direct", at(700))]).await.unwrap();
    assert_eq!(
        store.latest(&key).await.unwrap().unwrap().execution.as_str(),
        "direct"
    );
}

/// Scenario: the server stays away until the spill is full.
/// Guarantees: the overflow is refused as unavailable, so that senders keep it; what was accepted arrives later, and
/// then there is room again.
#[tokio::test]
async fn a_full_spill_refuses_and_recovers() {
    let server = Influx::start().await;
    let world = World::on(&server.url(), server.user(), |config| Config {
        spill_bytes_max: 64 * 1_024,
        retries_max: 0,
        ..quick(config)
    })
    .await;
    let (store, key) = (world.store().vitals(), agent("a"));
    server.kill().await;
    let mut accepted = 0;
    let refusal = loop {
        let batch: Vec<Vitals> = (0..200)
            .map(|n| {
                let mut record = vitals(&key, &format!("e{accepted}-{n}"), at(accepted * 200 + n));
                // Something that does not compress away.
                record.context.conversation = Some(format!(
                    "{:x}",
                    (n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
                ));
                record
            })
            .collect();
        match store.append(&batch).await {
            Ok(()) => accepted += 1,
            Err(e) => break e,
        }
        assert!(accepted < 1_000);
    };
    assert_eq!(refusal.kind(), ErrorKind::Unavailable);
    let why = std::error::Error::source(&refusal).unwrap().to_string();
    assert!(why.contains("spill is full"), "{why}");
    assert!(accepted > 0 && world.metrics.turned_away.get() == 200);
    server.start_again().await;
    until("the spill is empty", || async {
        world.metrics.spill_bytes.get() == 0
    })
    .await;
    assert_eq!(store.execution_count(&key).await.unwrap(), accepted as u64 * 200);
    store
        .append(&[vitals(&key, "again", at(1_000_000))])
        .await
        .unwrap();
    assert_eq!(
        store.latest(&key).await.unwrap().unwrap().execution.as_str(),
        "again"
    );
}

/// Scenario: no spill folder, a server that is away, that does not answer, and whose queue is full.
/// Guarantees: each is unavailable, in bounded time, and says why; afterwards the store works.
#[tokio::test]
async fn without_a_spill_records_are_refused() {
    let server = Influx::start().await;
    let world = World::on(&server.url(), server.user(), |config| Config {
        spill_dir: None,
        write_seconds: 0.5,
        queue_records_max: 10,
        queue_seconds: 0.2,
        ..quick(config)
    })
    .await;
    let (store, key) = (world.store().vitals(), agent("a"));
    store.append(&[vitals(&key, "e0", at(0))]).await.unwrap();
    server.freeze().await;
    let stuck = {
        let (store, key) = (store.clone(), key.clone());
        tokio::spawn(async move {
            let batch: Vec<Vitals> = (0..10).map(|n| vitals(&key, &format!("s{n}"), at(n))).collect();
            store.append(&batch).await
        })
    };
    tokio::task::yield_now().await;
    let crowded = store.append(&[vitals(&key, "late", at(1))]).await.unwrap_err();
    assert_eq!(crowded.kind(), ErrorKind::Unavailable);
    let why = std::error::Error::source(&crowded).unwrap().to_string();
    assert!(why.contains("queue"), "{why}");
    let unanswered = stuck.await.unwrap().unwrap_err();
    assert_eq!(unanswered.kind(), ErrorKind::Unavailable);
    server.thaw().await;
    until("it works again", || async {
        store.append(&[vitals(&key, "e1", at(1))]).await.is_ok()
    })
    .await;
    server.kill().await;
    let away = store.append(&[vitals(&key, "e2", at(2))]).await.unwrap_err();
    assert_eq!(away.kind(), ErrorKind::Unavailable);
    assert!(store.ping().await.is_err());
}

/// Scenario: InfluxDB is not there when we start; it comes later.
/// Guarantees: opening does not wait for it, records are taken, and arrive.
#[tokio::test]
async fn the_order_of_starting_does_not_matter() {
    let server = Influx::start().await;
    let mut world = World::on(&server.url(), server.user(), quick).await;
    server.kill().await;
    world.restart().await;
    let (store, key) = (world.store().vitals(), agent("a"));
    store.append(&[vitals(&key, "e", at(1))]).await.unwrap();
    server.start_again().await;
    until("it arrives", || async {
        store.execution_count(&key).await.is_ok_and(|count| count == 1)
    })
    .await;
    let second = InfluxStore::open(world.config().clone(), Metrics::default()).await;
    let why = format!("{:?}", second.err().expect("one process per spill folder"));
    assert!(why.contains("another process"), "{why}");
}
