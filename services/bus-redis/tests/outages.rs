//! Redis that is away, restarts, hangs, refuses to write, or loses what it knew.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_bus::conformance::soon;
use immune_bus::{Arrival, Begin, BusError};
use immune_bus_redis::{Config, Metrics};
use immune_test_servers::Redis;
use std::sync::Arc;
use std::time::{Duration, Instant};
use world::{Load, Process, Store, bare, bus, counted, prefix, publish, record, until, with};

fn config(test: &str) -> Config {
    Config {
        prefix: prefix(test),
        ..Config::default()
    }
}

/// Scenario: Redis is killed twice and once ended in order, each time for longer or shorter than a lease, under load
/// with two replicas.
/// Guarantees: all goes on by itself; every execution takes effect once, and each agent's in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_under_load_lose_nothing() {
    let redis = Redis::start().await;
    let url = redis.url();
    let config = config("restarts");
    let store = Arc::new(Store::default());
    let load = Load::start(&url, &config, 40);
    let first = Process::start(&url, &config, "first", &store);
    let second = Process::start(&url, &config, "second", &store);
    let count = |more: usize| {
        let enough = store.count() + more;
        let store = store.clone();
        move || store.count() >= enough
    };
    until("work", count(1_000)).await;
    redis.kill().await;
    redis.start_again().await;
    until("work after a kill", count(1_000)).await;
    redis.stop().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    redis.start_again().await;
    until("work after a stop for longer than a lease", count(1_000)).await;
    redis.freeze().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    redis.thaw().await;
    until("work after a hang", count(1_000)).await;
    load.finish(&store).await;
    until("two replicas to share", || {
        first.work.held() == 32 && second.work.held() == 32
    })
    .await;
    first.stop().await;
    second.stop().await;
}

/// Scenario: Redis is not there when the processes start.
/// Guarantees: publishing says so within its time, and all begins to work when Redis comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_may_come_last() {
    let redis = Redis::start().await;
    redis.stop().await;
    let config = Config {
        publish_seconds_max: 1,
        ..config("late")
    };
    let store = Arc::new(Store::default());
    let process = Process::start(&redis.url(), &config, "w", &store);
    let started = Instant::now();
    match process.bus.publisher().publish(Arc::from([record("a", 0)])).await {
        Err(BusError::Away { .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(started.elapsed() < Duration::from_secs(2));
    redis.start_again().await;
    publish(&process.bus, Arc::from([record("a", 0)])).await;
    until("the record", || store.count() == 1).await;
    process.stop().await;
}

/// Scenario: Redis dies while a consumer holds partitions and has batches waiting.
/// Guarantees: the consumer hears of the loss before the lease could end at Redis, and gets no batch of the
/// partition after it; when Redis is back it gains the partition again and nothing is skipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losses_are_told_in_time() {
    let redis = Redis::start().await;
    let config = Config {
        partitions: 1,
        ..config("loss")
    };
    let bus = with(&redis.url(), config);
    let mut consumer = bus.consumer("sentinel", "w");
    for n in 0..20 {
        publish(&bus, Arc::from([record("a", n)])).await;
    }
    let Some(Arrival::Gained(partition)) = soon("gained", consumer.next()).await else {
        panic!("the partition is gained first");
    };
    consumer.begin(partition, Begin::After(None)).await;
    let mut place = None;
    for _ in 0..5 {
        let Some(Arrival::Batch(delivery)) = soon("a batch", consumer.next()).await else {
            panic!("batches follow");
        };
        place = delivery.place.clone();
    }
    redis.kill().await;
    let killed = Instant::now();
    // What was read before may be delivered until the lease is over; it is not stored here.
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    match soon("the loss", consumer.next()).await {
        Some(Arrival::Lost(lost)) => assert_eq!(lost, partition),
        Some(Arrival::Batch(_)) => panic!("a batch after {:?}", killed.elapsed()),
        Some(Arrival::Gained(_)) | None => panic!("neither gained nor over"),
    }
    assert!(killed.elapsed() < Duration::from_secs(4));
    let quiet = tokio::time::timeout(Duration::from_millis(300), consumer.next()).await;
    assert!(quiet.is_err(), "something of a lost partition arrived");
    redis.start_again().await;
    match soon("gained again", consumer.next()).await {
        Some(Arrival::Gained(gained)) => assert_eq!(gained, partition),
        Some(Arrival::Lost(_) | Arrival::Batch(_)) | None => panic!("not gained"),
    }
    consumer.begin(partition, Begin::After(place)).await;
    for n in 5..20 {
        let Some(Arrival::Batch(delivery)) = soon("a batch", consumer.next()).await else {
            panic!("batches follow");
        };
        assert_eq!(*delivery.batch, [record("a", n)]);
    }
}

/// Scenario: the server becomes a read-only replica and a primary again, and forgets all scripts, under load.
/// Guarantees: every execution takes effect once, and each agent's in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_times_and_forgotten_scripts_pass() {
    let redis = Redis::start().await;
    let url = redis.url();
    let config = config("readonly");
    let store = Arc::new(Store::default());
    let load = Load::start(&url, &config, 20);
    let process = Process::start(&url, &config, "w", &store);
    until("work", || store.count() > 500).await;
    let mut connection = bare(&url).await;
    let mut say = async |words: &[&str]| {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.exec_async(&mut connection).await.unwrap();
    };
    // The data stays: a replica whose primary was never reached.
    say(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]).await;
    say(&["REPLICAOF", "127.0.0.1", "1"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    say(&["REPLICAOF", "NO", "ONE"]).await;
    say(&["SCRIPT", "FLUSH"]).await;
    let before = store.count();
    until("work again", || store.count() > before + 500).await;
    load.finish(&store).await;
    process.stop().await;
}

/// Scenario: Redis has no memory left, then has.
/// Guarantees: publishing says at once that there is no room, as overload, and works again.
#[tokio::test]
async fn want_of_memory_is_overload() {
    let redis = Redis::start().await;
    let bus = bus(&redis.url(), &prefix("memory"));
    publish(&bus, Arc::from([record("a", 0)])).await;
    let mut connection = bare(&redis.url()).await;
    let mut limit = async |limit: &str| {
        let mut command = redis::cmd("CONFIG");
        command.arg(&["SET", "maxmemory", limit]);
        command.exec_async(&mut connection).await.unwrap();
    };
    limit("1").await;
    let started = Instant::now();
    match bus.publisher().publish(Arc::from([record("a", 1)])).await {
        Err(BusError::Overloaded { reason }) => assert_eq!(reason, "redis is out of memory"),
        other => panic!("{other:?}"),
    }
    assert!(started.elapsed() < Duration::from_secs(2));
    limit("0").await;
    publish(&bus, Arc::from([record("a", 1)])).await;
}

/// Scenario: Redis loses all it knew under a consumer at work.
/// Guarantees: the loss is counted, and what is published afterwards takes effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_loss_of_data_work_goes_on() {
    let redis = Redis::start().await;
    let config = config("flushed");
    let metrics = Metrics::default();
    let bus = counted(&redis.url(), config, &metrics);
    let store = Arc::new(Store::default());
    let work = Arc::new(world::Work::default());
    let consumer = bus.consumer("baseline", "w");
    let task = tokio::spawn(world::work(consumer, store.clone(), work.clone()));
    for n in 0..50 {
        publish(&bus, Arc::from([record("a", n)])).await;
    }
    until("the records", || store.count() == 50).await;
    let mut connection = bare(&redis.url()).await;
    redis::cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
    for n in 50..100 {
        publish(&bus, Arc::from([record("a", n)])).await;
    }
    until("the records after the loss", || store.count() == 100).await;
    store.is_whole(1, 100);
    bus.close(Duration::from_secs(5)).await;
    task.await.unwrap();
}

/// Scenario: a process that is configured with another number of partitions.
/// Guarantees: it is refused, by both numbers, and touches nothing.
#[tokio::test]
async fn another_division_is_refused() {
    let url = Redis::shared().await.url();
    let config = config("division");
    let bus = with(&url, config.clone());
    publish(&bus, Arc::from([record("a", 0)])).await;
    let other = with(
        &url,
        Config {
            partitions: 32,
            ..config
        },
    );
    let error = other.ping().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "redis holds a vitals bus of 64 partitions, and 32 are configured"
    );
    match other.publisher().publish(Arc::from([record("a", 0)])).await {
        Err(BusError::Away { source }) => assert_eq!(source.to_string(), error.to_string()),
        other => panic!("{other:?}"),
    }
}
