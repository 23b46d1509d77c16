//! Slow consumers, too many of something, and consumers that say nothing.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

mod world;

use immune_bus::conformance::vitals;
use immune_bus::{Batch, BusError, Publisher, Record};
use immune_bus_grpc::Config;
use immune_bus_grpc::metrics::{ConsumerLabels, RefusalLabels};
use immune_domain::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use world::*;

fn sentinel() -> ConsumerLabels {
    ConsumerLabels {
        consumer: "sentinel".to_owned(),
    }
}

/// Scenario: one of two consumers takes nothing from its queue of two.
/// Guarantees: the third publication waits and is refused by name as overload; it reached nobody; when there is room
/// it goes through.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_consumer_is_waited_for_and_then_named() {
    let small = Config {
        queue_batches: 2,
        ..config()
    };
    let mut quick = Life::start("baseline", &small, anywhere()).await;
    let mut slow = Life::start("sentinel", &small, anywhere()).await;
    let targets = [
        replicas(&[quick.served.address]),
        replicas(&[slow.served.address]),
    ];
    let (publisher, metrics) = publisher(&[("baseline", &targets[0]), ("sentinel", &targets[1])], &small);
    for batch in many(0..2) {
        publisher.publish(batch).await.unwrap();
    }
    assert_eq!(quick.receive(2).await, many(0..2));
    let began = std::time::Instant::now();
    let refused = publisher.publish(one(2)).await.unwrap_err();
    assert!(
        matches!(&refused, BusError::Full { consumer } if consumer == "sentinel"),
        "{refused:?}"
    );
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    assert!(
        began.elapsed() >= Duration::from_secs(1),
        "refused after {:?}",
        began.elapsed()
    );
    let full = RefusalLabels {
        consumer: "sentinel".to_owned(),
        reason: "full",
    };
    assert_eq!(metrics.publications_refused.get_or_create_owned(&full).get(), 1);
    assert_eq!(slow.receive(1).await, many(0..1));
    publisher.publish(one(3)).await.unwrap();
    assert_eq!(quick.receive(1).await, many(3..4));
    assert_eq!(slow.receive(2).await, [one(1), one(3)]);
}

/// Scenario: a consumer takes everything and acknowledges nothing; the publisher may keep three batches.
/// Guarantees: the fourth publication is refused as overload until something is settled.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_settled_is_bounded() {
    let small = Config {
        unsettled_batches_max: 3,
        ..config()
    };
    let mut life = Life::start("sentinel", &config(), anywhere()).await;
    let targets = replicas(&[life.served.address]);
    let (publisher, metrics) = publisher(&[("sentinel", &targets)], &small);
    let mut in_hand = Vec::new();
    for batch in many(0..3) {
        publisher.publish(batch).await.unwrap();
        in_hand.push(life.delivery().await);
    }
    assert!(matches!(
        publisher.publish(one(3)).await,
        Err(BusError::Full { .. })
    ));
    // Acknowledging one acknowledges those before it.
    in_hand.swap_remove(1).ack();
    soon("room", publisher.publish(one(3))).await.unwrap();
    assert_eq!(life.receive(1).await, many(3..4));
    let unsettled = metrics.unsettled.get_or_create_owned(&sentinel());
    until("all are settled", || unsettled.get() == 0).await;
}

/// Scenario: batches that fill the memory that a publisher may keep, and one that is larger than a message.
/// Guarantees: bytes are bounded as batches are; the large batch goes out in parts, whole and in order.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_bounded() {
    let small = Config {
        unsettled_bytes_max: 3_500,
        entry_bytes_max: 1_024,
        ..config()
    };
    let mut life = Life::start("sentinel", &config(), anywhere()).await;
    let targets = replicas(&[life.served.address]);
    let (publisher, metrics) = publisher(&[("sentinel", &targets)], &small);
    let large: Batch = (0..20).map(|n| Record::Vitals(vitals("a", n))).collect();
    soon("the large one", publisher.publish(large.clone()))
        .await
        .unwrap();
    let received = immune_bus::conformance::receive(&mut life.consumer, 20).await;
    assert_eq!(received, large.to_vec());
    let bytes = metrics.unsettled_bytes.get_or_create_owned(&sentinel());
    until("it is settled", || bytes.get() == 0).await;

    let kilobyte = |n| {
        let mut vitals = vitals("a", n);
        vitals.context.tools = vec!["t".repeat(900)];
        Arc::from([Record::Vitals(vitals)])
    };
    for n in 0..3 {
        publisher.publish(kilobyte(n)).await.unwrap();
    }
    assert!(
        bytes.get() > 2_700 && bytes.get() <= 3_500,
        "{} bytes",
        bytes.get()
    );
    assert!(matches!(
        publisher.publish(kilobyte(3)).await,
        Err(BusError::Full { .. })
    ));
    life.receive(3).await;
    soon("room", publisher.publish(kilobyte(3))).await.unwrap();
}

/// Scenario: a consumer of which a second replica appears, and later only the second is left.
/// Guarantees: while there are two, publishing is refused at once with what to do about it; afterwards the one that
/// is left gets what the other had not settled, and what is new.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_are_refused() {
    let mut first = Life::start("sentinel", &config(), anywhere()).await;
    let second = Life::start("sentinel", &config(), anywhere()).await;
    let targets = replicas(&[first.served.address]);
    let (publisher, metrics) = publisher(&[("sentinel", &targets)], &config());
    for batch in many(0..3) {
        publisher.publish(batch).await.unwrap();
    }
    assert_eq!(first.receive(1).await, many(0..1));
    let unsettled = metrics.unsettled.get_or_create_owned(&sentinel());
    until("one is settled", || unsettled.get() == 2).await;
    let both = [first.served.address, second.served.address];
    targets.send_replace(both.iter().copied().map(peer).collect());
    let publishers = first.metrics.publishers.get_or_create_owned(&sentinel());
    until("the first one's stream ends", || publishers.get() == 0).await;
    let began = std::time::Instant::now();
    let refused = publisher.publish(one(3)).await.unwrap_err();
    assert!(
        began.elapsed() < Duration::from_millis(900),
        "refused after {:?}",
        began.elapsed()
    );
    assert_eq!(
        refused.to_string(),
        "consumer sentinel has 2 replicas, and a bus without Redis serves one: set redis.url, or run one replica of sentinel"
    );
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    targets.send_replace(Arc::from([peer(second.served.address)]));
    soon("one replica again", async {
        while publisher.publish(one(4)).await.is_err() {}
    })
    .await;
    let mut second = second;
    assert_eq!(second.receive(3).await, [one(1), one(2), one(4)]);
}

/// Scenario: no replica of a consumer is known.
/// Guarantees: publishing waits, then says that the consumer is away.
#[tokio::test(flavor = "multi_thread")]
async fn no_replica_is_away() {
    let targets = replicas(&[]);
    let (publisher, _) = publisher(&[("sentinel", &targets)], &config());
    let refused = publisher.publish(one(0)).await.unwrap_err();
    assert!(matches!(refused, BusError::Unavailable { .. }), "{refused:?}");
}

/// Scenario: a record that is no domain value, in a batch between two good ones.
/// Guarantees: its publication fails for good and names the field; the stream recovers, and the others arrive once.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_does_not_stand_in_the_way() {
    let mut life = Life::start("sentinel", &config(), anywhere()).await;
    let targets = replicas(&[life.served.address]);
    let (publisher, metrics) = publisher(&[("sentinel", &targets)], &config());
    publisher.publish(one(0)).await.unwrap();
    let mut incredible = vitals("a", 1);
    incredible.latency_ms = f64::NAN;
    let refused = publisher
        .publish(Arc::from([Record::Vitals(incredible)]))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let source = std::error::Error::source(&refused).unwrap().to_string();
    assert!(
        source.contains("entry.batch.records[0].vitals.latency_ms: NaN"),
        "{source}"
    );
    soon("the stream recovers", async {
        while publisher.publish(one(2)).await.is_err() {}
    })
    .await;
    assert_eq!(life.receive(2).await, [one(0), one(2)]);
    assert_eq!(metrics.resent.get_or_create_owned(&sentinel()).get(), 0);
}

/// Scenario: a consumer's host vanishes without a word: the connection stays, and nothing comes over it any more.
/// Guarantees: the silence is noticed, and the stream opens again where the consumer is now.
#[tokio::test(flavor = "multi_thread")]
async fn silence_is_noticed() {
    let watchful = Config {
        silence_seconds_max: 1,
        publish_seconds_max: 15,
        ..Config::default()
    };
    // Accepts connections, and never says anything.
    let mute = Served::start(anywhere(), |listener| async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.push(connection);
        }
    });
    let targets = replicas(&[mute.address]);
    let (publisher, _) = publisher(&[("sentinel", &targets)], &watchful);
    let publishing = tokio::spawn(async move { publisher.publish(one(0)).await.map(|()| publisher) });
    let address = mute.address;
    drop(mute);
    let mut life = Life::start("sentinel", &watchful, address).await;
    let _publisher = soon("the publication", publishing).await.unwrap().unwrap();
    assert_eq!(life.receive(1).await, many(0..1));
}
