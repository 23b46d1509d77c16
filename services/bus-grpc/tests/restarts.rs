//! Streams that break, consumers that are killed, publishers that go away.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

mod world;

use immune_bus::{Batch, BusError, Publisher};
use immune_bus_grpc::metrics::ConsumerLabels;
use immune_bus_grpc::{Config, GrpcPublisher, Left, Metrics};
use immune_runtime::access::RoleName;
use immune_runtime::grpc::{ClientSecurity, Options, Peers, Target};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use world::*;

fn sentinel() -> ConsumerLabels {
    ConsumerLabels {
        consumer: "sentinel".to_owned(),
    }
}

/// A publication that has begun and waits.
async fn begun(publisher: &Arc<GrpcPublisher>, batch: Batch) -> JoinHandle<Result<(), BusError>> {
    let publisher = publisher.clone();
    let mut publishing = Box::pin(async move { publisher.publish(batch).await });
    assert!(futures::poll!(&mut publishing).is_pending());
    tokio::spawn(publishing)
}

/// Scenario: of ten batches a consumer acknowledges four, has two more in hand and the rest in its queue, when it is
/// killed; another one starts at the same address.
/// Guarantees: the six that were not settled arrive again, in order and before what is published afterwards; the
/// four do not.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_consumer_learns_what_it_had_not_stored() {
    let mut life = Life::start("sentinel", &config(), anywhere()).await;
    let targets = replicas(&[life.served.address]);
    let (publisher, metrics) = publisher(&[("sentinel", &targets)], &config());
    for batch in many(0..10) {
        publisher.publish(batch).await.unwrap();
    }
    assert_eq!(life.receive(4).await, many(0..4));
    let in_hand = [life.delivery().await, life.delivery().await];
    let unsettled = metrics.unsettled.get_or_create_owned(&sentinel());
    until("four are settled", || unsettled.get() == 6).await;

    let address = life.kill();
    drop(in_hand);
    let mut life = Life::start("sentinel", &config(), address).await;
    assert_eq!(life.receive(6).await, many(4..10));
    until("all are settled", || unsettled.get() == 0).await;
    assert_eq!(metrics.unsettled_bytes.get_or_create_owned(&sentinel()).get(), 0);
    publisher.publish(one(10)).await.unwrap();
    assert_eq!(life.receive(1).await, many(10..11));
    assert_eq!(metrics.resent.get_or_create_owned(&sentinel()).get(), 6);
    assert_eq!(metrics.sent.get_or_create_owned(&sentinel()).get(), 11);
    assert_eq!(metrics.reconnects.get_or_create_owned(&sentinel()).get(), 1);
}

/// Scenario: the same over the channels of a cluster, which find the replicas and connect by themselves; a consumer
/// is killed while a publication waits for it, and started again.
/// Guarantees: the stream opens again, the waiting publication is finished, and what was not settled comes first.
#[tokio::test(flavor = "multi_thread")]
async fn streams_open_again_over_the_channels_of_a_cluster() {
    let patient = Config {
        publish_seconds_max: 15,
        queue_batches: 3,
        ..Config::default()
    };
    let mut life = Life::start("sentinel", &patient, anywhere()).await;
    let target = Target::parse(RoleName::Sentinel, &life.served.address.to_string()).unwrap();
    let shutdown = CancellationToken::new();
    let (options, metrics) = (Options::default(), immune_runtime::metrics::Metrics::default());
    let peers = Peers::resolve(
        &target,
        ClientSecurity::Stranger,
        &options,
        &metrics,
        shutdown.clone(),
    );
    let to = vec![("sentinel".to_owned(), peers)];
    let publisher = Arc::new(GrpcPublisher::new(to, &patient, Metrics::default()));
    for batch in many(0..3) {
        soon("publishing", publisher.publish(batch)).await.unwrap();
    }
    assert_eq!(life.delivery().await.batch, one(0));
    publisher.publish(one(3)).await.unwrap();
    let waiting = begun(&publisher, one(4)).await;
    let address = life.kill();
    let mut life = Life::start("sentinel", &patient, address).await;
    assert_eq!(life.receive(5).await, many(0..5));
    soon("the waiting one", waiting).await.unwrap().unwrap();
    shutdown.cancel();
}

/// Scenario: one of two consumers is killed and started again while batches are published without a pause; refused
/// publications are repeated, as ingestion does.
/// Guarantees: over both of its lives that consumer has every batch, and what it settled never came twice; the other
/// has every batch in order.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_consumers_come_and_go() {
    const COUNT: i64 = 400;
    let mut stays = Life::start("baseline", &config(), anywhere()).await;
    let mut killed = Life::start("sentinel", &config(), anywhere()).await;
    let targets = [
        replicas(&[stays.served.address]),
        replicas(&[killed.served.address]),
    ];
    let (publisher, metrics) = publisher(&[("baseline", &targets[0]), ("sentinel", &targets[1])], &config());
    let publishing = tokio::spawn(async move {
        for batch in many(0..COUNT) {
            while publisher.publish(batch.clone()).await.is_err() {}
        }
        publisher
    });
    let reading = tokio::spawn(async move {
        let mut batches: Vec<Batch> = Vec::new();
        while batches.last() != Some(&one(COUNT - 1)) {
            batches.extend(stays.receive(1).await);
        }
        batches
    });
    let mut settled: Vec<Batch> = Vec::new();
    for round in 1..=3 {
        let first = killed.delivery().await;
        assert!(!settled.contains(&first.batch), "{:?} was settled", first.batch);
        settled.push(first.batch.clone());
        first.ack();
        settled.extend(killed.receive(60).await);
        // Settled is what the publisher knows to be: it keeps what was sent and not settled.
        let (sent, unsettled) = (
            metrics.sent.get_or_create_owned(&sentinel()),
            metrics.unsettled.get_or_create_owned(&sentinel()),
        );
        until("the publisher knows", || {
            sent.get() as i64 - unsettled.get() >= settled.len() as i64
        })
        .await;
        let _in_hand = killed.delivery().await;
        let address = killed.kill();
        killed = Life::start("sentinel", &config(), address).await;
        assert_eq!(settled.len(), 61 * round);
    }
    while settled.last() != Some(&one(COUNT - 1)) {
        settled.extend(killed.receive(1).await);
    }
    soon("publishing", publishing).await.unwrap();
    let mut stayed = soon("reading", reading).await.unwrap();
    // A publication that failed for the other consumer may have come to this one before.
    stayed.dedup();
    assert_eq!(stayed, many(0..COUNT));
    settled.dedup();
    assert_eq!(settled, many(0..COUNT));
}

/// Scenario: the connection breaks and the consumer lives: a proxy between them is killed.
/// Guarantees: the stream opens again; what the consumer has is neither sent nor delivered a second time, and what it
/// acknowledged meanwhile is settled.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_repeats_nothing() {
    let mut life = Life::start("sentinel", &config(), anywhere()).await;
    let behind = life.served.address;
    let proxy = proxy(anywhere(), behind);
    let targets = replicas(&[proxy.address]);
    let (publisher, metrics) = publisher(&[("sentinel", &targets)], &config());
    for batch in many(0..5) {
        publisher.publish(batch).await.unwrap();
    }
    let in_hand = [life.delivery().await, life.delivery().await];
    let address = proxy.address;
    drop(proxy);
    for delivery in in_hand {
        delivery.ack();
    }
    let _proxy = world::proxy(address, behind);
    let unsettled = metrics.unsettled.get_or_create_owned(&sentinel());
    until("what was acknowledged meanwhile is settled", || {
        unsettled.get() == 3
    })
    .await;
    soon("publishing again", publisher.publish(one(5))).await.unwrap();
    assert_eq!(life.receive(4).await, many(2..6));
    assert_eq!(metrics.resent.get_or_create_owned(&sentinel()).get(), 0);
}

/// Scenario: a consumer is away, and comes within the time that a publication waits; then another does not.
/// Guarantees: the one waits and is delivered; the other is refused by name as away, reached neither consumer, and
/// goes through when it is repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_waits_for_a_consumer_that_is_away() {
    let patient = Config {
        publish_seconds_max: 15,
        ..Config::default()
    };
    let address = nowhere();
    let targets = replicas(&[address]);
    let (waits, _) = publisher(&[("sentinel", &targets)], &patient);
    let waiting = tokio::spawn(async move { waits.publish(one(0)).await.map(|()| waits) });
    let (refused, metrics) = publisher(&[("sentinel", &targets)], &config());
    match refused.publish(one(1)).await {
        Err(error @ BusError::Unavailable { .. }) => {
            assert_eq!(error.to_string(), "consumer sentinel of the vitals bus is away");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(metrics.unsettled.get_or_create_owned(&sentinel()).get(), 0);
    let mut life = Life::start("sentinel", &config(), address).await;
    let _waits = soon("the patient publication", waiting).await.unwrap().unwrap();
    assert_eq!(life.receive(1).await, many(0..1));
    soon("the repetition", async {
        while refused.publish(one(1)).await.is_err() {}
    })
    .await;
    assert_eq!(life.receive(1).await, many(1..2));
}

/// Scenario: one consumer is away while another is there.
/// Guarantees: a refused publication reached nobody, so that a retry doubles nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_publication_reached_nobody() {
    let mut there = Life::start("baseline", &config(), anywhere()).await;
    let address = nowhere();
    let targets = [replicas(&[there.served.address]), replicas(&[address])];
    let (publisher, _) = publisher(&[("baseline", &targets[0]), ("sentinel", &targets[1])], &config());
    let refused = publisher.publish(one(0)).await;
    assert!(
        matches!(refused, Err(BusError::Unavailable { ref consumer, .. }) if consumer == "sentinel"),
        "{refused:?}"
    );
    let mut came = Life::start("sentinel", &config(), address).await;
    soon("the second", async {
        while publisher.publish(one(1)).await.is_err() {}
    })
    .await;
    assert_eq!(there.receive(1).await, many(1..2));
    assert_eq!(came.receive(1).await, many(1..2));
}

/// Scenario: the publisher goes away without a word while its batches are queued, and a new one begins.
/// Guarantees: what was received is delivered, once, before what the new one sends.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_goes_away_leaves_what_was_received() {
    let mut life = Life::start("sentinel", &config(), anywhere()).await;
    let targets = replicas(&[life.served.address]);
    let (first, _) = publisher(&[("sentinel", &targets)], &config());
    for batch in many(0..5) {
        first.publish(batch).await.unwrap();
    }
    let publishers = life.metrics.publishers.get_or_create_owned(&sentinel());
    assert_eq!(publishers.get(), 1);
    drop(first);
    until("the stream has ended", || publishers.get() == 0).await;
    let (second, _) = publisher(&[("sentinel", &targets)], &config());
    for batch in many(5..8) {
        second.publish(batch).await.unwrap();
    }
    assert_eq!(life.receive(8).await, many(0..8));
}

/// Scenario: a publisher closes while a publication waits for a slow consumer, which then makes room; another one
/// closes while its consumer stays away.
/// Guarantees: the first publication is finished, the second is given up within the limit and counted; nothing is
/// taken afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_what_is_under_way() {
    let slow = Config {
        queue_batches: 1,
        publish_seconds_max: 15,
        ..Config::default()
    };
    let mut life = Life::start("sentinel", &slow, anywhere()).await;
    let targets = replicas(&[life.served.address]);
    let (leaves, _) = publisher(&[("sentinel", &targets)], &slow);
    leaves.publish(one(0)).await.unwrap();
    let waiting = begun(&leaves, one(1)).await;
    let closing = tokio::spawn({
        let leaves = leaves.clone();
        async move { leaves.close(DEADLINE).await }
    });
    until("it is closing", || {
        let refused = futures::FutureExt::now_or_never(leaves.publish(one(2)));
        matches!(refused, Some(Err(BusError::Closed)))
    })
    .await;
    assert_eq!(life.receive(2).await, many(0..2));
    soon("the waiting one", waiting).await.unwrap().unwrap();
    assert_eq!(soon("closing", closing).await.unwrap().unpublished, 0);

    let (away, _) = publisher(&[("sentinel", &replicas(&[nowhere()]))], &slow);
    let waiting = begun(&away, one(0)).await;
    let left = away.close(Duration::from_millis(100)).await;
    assert_eq!(
        left,
        Left {
            unpublished: 1,
            unsettled: 0
        }
    );
    assert!(matches!(
        soon("the answer", waiting).await.unwrap(),
        Err(BusError::Closed)
    ));
}

/// Scenario: a consumer drains while batches are queued and in hand, and its role acknowledges them.
/// Guarantees: it gives what it has, then the end; the publisher learns what was acknowledged; more is refused there
/// and stays with the publisher.
#[tokio::test(flavor = "multi_thread")]
async fn a_draining_consumer_gives_what_it_has() {
    let mut life = Life::start("sentinel", &config(), anywhere()).await;
    let targets = replicas(&[life.served.address]);
    let (publisher, metrics) = publisher(&[("sentinel", &targets)], &config());
    for batch in many(0..6) {
        publisher.publish(batch).await.unwrap();
    }
    assert_eq!(life.receive(1).await, many(0..1));
    life.shutdown.cancel();
    assert_eq!(life.receive(5).await, many(1..6));
    assert!(
        soon("the end", immune_bus::Consumer::next(&mut life.consumer))
            .await
            .is_none()
    );
    let unsettled = metrics.unsettled.get_or_create_owned(&sentinel());
    until("all are settled", || unsettled.get() == 0).await;
    assert!(matches!(
        publisher.publish(one(6)).await,
        Err(BusError::Unavailable { .. })
    ));
    let address = life.kill();
    let mut life = Life::start("sentinel", &config(), address).await;
    soon("the next life", async {
        while publisher.publish(one(7)).await.is_err() {}
    })
    .await;
    assert_eq!(life.receive(1).await, many(7..8));
}
