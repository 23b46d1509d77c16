//! Where deliveries begin, what happens to slow consumers, and what strange data does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_bus::conformance::{by_agent, soon, vitals};
use immune_bus::{Arrival, Begin, BusError, Consumer, Delivery, Record};
use immune_bus_redis::{Config, Metrics, RedisBus};
use immune_domain::{AgentKey, ExecutionId, Timestamp};
use immune_test_servers::Redis;
use std::sync::Arc;
use std::time::Duration;
use world::{bare, counted, prefix, publish, record, until, with};

fn undivided(test: &str) -> Config {
    Config {
        prefix: prefix(test),
        partitions: 1,
        ..Config::default()
    }
}

/// A consumer that has gained the only partition.
async fn gained(bus: &RedisBus, name: &str, begin: Begin) -> Box<dyn Consumer> {
    let mut consumer = bus.consumer(name, "w");
    let Some(Arrival::Gained(partition)) = soon("gained", consumer.next()).await else {
        panic!("the partition is gained first");
    };
    consumer.begin(partition, begin).await;
    consumer
}

async fn next(consumer: &mut dyn Consumer) -> Delivery {
    match soon("a batch", consumer.next()).await {
        Some(Arrival::Batch(delivery)) => delivery,
        Some(Arrival::Gained(partition) | Arrival::Lost(partition)) => panic!("{partition:?} changed"),
        None => panic!("the bus is open"),
    }
}

/// Scenario: a consumer acknowledges ten of twenty entries and goes; others begin in each way there is.
/// Guarantees: after nothing, or an unknown place, it goes on where was acknowledged; after a place, behind that
/// entry; again since a time, with the earlier of both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beginnings() {
    let url = Redis::shared().await.url();
    let bus = with(&url, undivided("beginnings"));
    let mut consumer = gained(&bus, "sentinel", Begin::After(None)).await;
    let mut places = Vec::new();
    for n in 0..20 {
        publish(&bus, Arc::from([record("a", n)])).await;
        let delivery = next(consumer.as_mut()).await;
        assert_eq!(*delivery.batch, [record("a", n)]);
        let place = delivery.place.clone().unwrap();
        places.push(place);
        if n == 9 {
            delivery.ack();
            // Redis tells entries of one millisecond apart; times of the caller cannot.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    drop(consumer);
    let time = |place: &str| {
        let ms: i64 = place.split('-').next().unwrap().parse().unwrap();
        Timestamp::from_micros(ms * 1_000)
    };
    let first = |begin: Begin| {
        let bus = &bus;
        async move {
            let mut consumer = gained(bus, "sentinel", begin).await;
            let delivery = next(consumer.as_mut()).await;
            let Record::Vitals(vitals) = &delivery.batch[0] else {
                panic!("vitals were published")
            };
            vitals.token_count.unwrap()
        }
    };
    assert_eq!(first(Begin::After(None)).await, 10);
    assert_eq!(
        first(Begin::After(Some("sequence 12 of another bus".to_owned()))).await,
        10
    );
    assert_eq!(first(Begin::After(Some(places[4].clone()))).await, 5);
    assert_eq!(first(Begin::After(Some(places[14].clone()))).await, 15);
    assert_eq!(
        first(Begin::Again {
            since: time(&places[15])
        })
        .await,
        10
    );
    assert_eq!(
        first(Begin::Again {
            since: Timestamp::from_micros(0)
        })
        .await,
        0
    );
    let since = time(&places[0]);
    assert_eq!(first(Begin::Again { since }).await, 0);
}

/// Scenario: a consumer takes nothing while far more is published than its queue holds, then takes all.
/// Guarantees: publishing does not wait for it, and all arrives in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_consumer_holds_up_nobody() {
    let url = Redis::shared().await.url();
    let config = Config {
        queue_entries_max: 4,
        queue_bytes_max: 64 * 1024,
        ..undivided("slow")
    };
    let bus = with(&url, config);
    let mut consumer = gained(&bus, "sentinel", Begin::After(None)).await;
    for n in 0..500 {
        soon("publishing", publish(&bus, Arc::from([record("a", n)]))).await;
    }
    for n in 0..500 {
        let delivery = next(consumer.as_mut()).await;
        assert_eq!(*delivery.batch, [record("a", n)]);
        delivery.ack();
    }
}

/// Scenario: one partition has a thousand entries waiting, another gets one.
/// Guarantees: the one does not wait for the thousand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_does_not_hold_up_other_partitions() {
    let url = Redis::shared().await.url();
    let config = Config {
        queue_entries_max: 4,
        partitions: 8,
        ..undivided("fair")
    };
    let bus = with(&url, config);
    for n in 0..1_000 {
        publish(&bus, Arc::from([record("a", n)])).await;
    }
    let other = (0..)
        .map(|i| format!("b{i}"))
        .find(|agent| {
            let of = |agent: &str| immune_bus::Partition::of(&AgentKey::new("tests", agent), 8);
            of(agent) != of("a")
        })
        .unwrap();
    publish(&bus, Arc::from([record(&other, 0)])).await;
    let mut consumer = bus.consumer("sentinel", "w");
    let mut before = 0;
    loop {
        match soon("an arrival", consumer.next()).await.unwrap() {
            Arrival::Gained(partition) => consumer.begin(partition, Begin::After(None)).await,
            Arrival::Lost(partition) => panic!("{partition:?} was lost"),
            Arrival::Batch(delivery) if *delivery.batch == [record(&other, 0)] => break,
            Arrival::Batch(_) => before += 1,
        }
    }
    assert!(before < 300, "{before} entries of the backlog came first");
}

/// Scenario: agents whose ids look like keys, patterns, scripts and binary data, and some that are no ids.
/// Guarantees: ids arrive as they were; records without a proper id are counted and take no other along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_ids() {
    let url = Redis::shared().await.url();
    let config = Config {
        partitions: 16,
        ..undivided("hostile")
    };
    let metrics = Metrics::default();
    let bus = counted(&url, config, &metrics);
    let long = "x".repeat(512);
    let ids = [
        "{vitals.3}",
        "a b",
        "a:b",
        "*",
        "%s",
        "$",
        "0-0",
        ">",
        "\"'`",
        "agent\u{202e}",
        "🦠",
        "/../..",
        "FLUSHALL",
        long.as_str(),
    ];
    let not_ids = ["", "..", "a\r\nFLUSHALL\r\n", "nul\u{0}"];
    let mut records = Vec::new();
    for (n, agent) in ids.iter().chain(&not_ids).enumerate() {
        let mut vitals = vitals("a", n as i64);
        vitals.key = AgentKey::new("tests", *agent);
        records.push(Record::Retracted(
            vitals.key.clone(),
            ExecutionId::new(format!("e-{n}")),
        ));
        records.push(Record::Vitals(vitals));
    }
    publish(&bus, records.clone().into()).await;
    records.truncate(ids.len() * 2);
    let mut consumer = bus.consumer("sentinel", "w");
    let received = immune_bus::conformance::receive(consumer.as_mut(), records.len()).await;
    assert_eq!(by_agent(received), by_agent(records));
    let sentinel = immune_bus_redis::metrics::ConsumerLabels {
        consumer: "sentinel".to_owned(),
    };
    let unreadable = || metrics.records_unreadable.get_or_create(&sentinel).get();
    until("the others to be counted", || unreadable() == 8).await;
}

/// Scenario: Redis drops a hundred entries before a consumer that was away reads them.
/// Guarantees: they are counted, exactly, and the rest arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_dropped_is_counted() {
    let url = Redis::shared().await.url();
    let config = undivided("trimmed");
    let entries = format!("{}:{{vitals.0}}:entries", config.prefix);
    let metrics = Metrics::default();
    let bus = counted(&url, config, &metrics);
    let mut consumer = gained(&bus, "sentinel", Begin::After(None)).await;
    publish(&bus, Arc::from([record("a", 0)])).await;
    let delivery = next(consumer.as_mut()).await;
    let place = delivery.place.clone();
    delivery.ack();
    drop(consumer);
    for n in 1..150 {
        publish(&bus, Arc::from([record("a", n)])).await;
    }
    let mut trim = redis::cmd("XTRIM");
    trim.arg(&[entries.as_str(), "MAXLEN", "49"]);
    trim.exec_async(&mut bare(&url).await).await.unwrap();
    let sentinel = immune_bus_redis::metrics::ConsumerLabels {
        consumer: "sentinel".to_owned(),
    };
    for begin in [Begin::After(place), Begin::After(None)] {
        let before = metrics.entries_trimmed.get_or_create(&sentinel).get();
        let mut consumer = gained(&bus, "sentinel", begin).await;
        assert_eq!(*next(consumer.as_mut()).await.batch, [record("a", 101)]);
        assert_eq!(
            metrics.entries_trimmed.get_or_create(&sentinel).get() - before,
            100
        );
    }
}

/// Scenario: the bus is closed while a consumer works on a batch.
/// Guarantees: publishing is refused; the consumer hears the end, may still acknowledge, and closing waits for it;
/// what it acknowledged does not come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_waits_for_the_last_acknowledgement() {
    let url = Redis::shared().await.url();
    let config = undivided("closing");
    let bus = Arc::new(with(&url, config.clone()));
    let mut consumer = gained(&bus, "baseline", Begin::After(None)).await;
    for n in 0..2 {
        publish(&bus, Arc::from([record("a", n)])).await;
    }
    let delivery = next(consumer.as_mut()).await;
    let closing = tokio::spawn({
        let bus = bus.clone();
        async move { bus.close(Duration::from_secs(10)).await }
    });
    while let Some(arrival) = soon("the end", consumer.next()).await {
        assert!(
            matches!(arrival, Arrival::Batch(_)),
            "only batches that were waiting"
        );
    }
    assert!(matches!(
        bus.publisher().publish(Arc::from([record("a", 2)])).await,
        Err(BusError::Closed)
    ));
    assert!(!closing.is_finished());
    delivery.ack();
    drop(consumer);
    soon("closing", closing).await.unwrap();
    let bus = with(&url, config);
    let mut consumer = gained(&bus, "baseline", Begin::After(None)).await;
    assert_eq!(*next(consumer.as_mut()).await.batch, [record("a", 1)]);
}
