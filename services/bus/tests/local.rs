//! The in-process bus: the conformance suite, and what is its own.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

use immune_bus::conformance::{Bus, delivery, soon, vitals};
use immune_bus::local::local;
use immune_bus::{Batch, BusError, Consumer, Publisher, Record};
use std::sync::Arc;
use std::time::Duration;

async fn bus(names: &[&str], capacity: usize) -> Bus {
    let (publisher, consumers) = local(names, capacity);
    let consumers = consumers
        .into_iter()
        .map(|consumer| Box::new(consumer) as Box<dyn Consumer>)
        .collect();
    Bus {
        publisher: Arc::new(publisher),
        consumers,
        keeps: Box::new(()),
    }
}

immune_bus::conformance!(bus);
immune_bus::conformance!(direct: bus);

fn one(n: i64) -> Batch {
    Arc::from([Record::Vitals(vitals("a", n))])
}

async fn next(consumer: &mut dyn Consumer) -> Option<Batch> {
    soon("a batch", delivery(consumer))
        .await
        .map(|delivery| delivery.batch)
}

/// Scenario: one of two consumers stays full for longer than a publication waits.
/// Guarantees: the publication is refused by name as overload, and reached nobody, so that a retry doubles nothing.
#[tokio::test]
async fn a_refused_publication_reached_nobody() {
    let (publisher, mut consumers) = local(&["quick", "stuck"], 1);
    let publisher = publisher.waiting(Duration::from_millis(50));
    publisher.publish(one(0)).await.unwrap();
    assert_eq!(next(&mut consumers[0]).await, Some(one(0)));
    match publisher.publish(one(1)).await {
        Err(BusError::Full { consumer }) => assert_eq!(consumer, "stuck"),
        other => panic!("{other:?}"),
    }
    assert_eq!(next(&mut consumers[1]).await, Some(one(0)));
    publisher.publish(one(2)).await.unwrap();
    for consumer in &mut consumers {
        assert_eq!(next(consumer).await, Some(one(2)));
    }
}

/// Scenario: a consumer has ended.
/// Guarantees: publishing says that the bus is closed and gives the batch to nobody.
#[tokio::test]
async fn a_lost_consumer_closes_the_bus() {
    let (publisher, mut consumers) = local(&["stays", "ends"], 4);
    drop(consumers.pop());
    assert!(matches!(publisher.publish(one(0)).await, Err(BusError::Closed)));
    drop(publisher);
    assert_eq!(next(&mut consumers[0]).await, None);
}
