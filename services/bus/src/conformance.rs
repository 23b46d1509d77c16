//! The suite that every bus runs. A backend names a function that makes a bus with consumers of given names and a
//! given room, and runs each property as a test of its own:
//!
//! ```ignore
//! async fn bus(names: &[&str], capacity: usize) -> immune_bus::conformance::Bus { /* ... */ }
//! immune_bus::conformance!(bus);
//! ```
#![allow(
    clippy::unwrap_used,
    reason = "a suite fails by panicking, at the line that was not kept"
)]

use crate::{Batch, Consumer, Publisher, Record};
use immune_domain::vitals::{Completeness, Source, Vitals};
use immune_domain::{AgentKey, ExecutionId, Timestamp};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A bus under test.
pub struct Bus {
    /// The sending end.
    pub publisher: Arc<dyn Publisher>,
    /// One receiving end per name, in the order of the names.
    pub consumers: Vec<Box<dyn Consumer>>,
    /// What must outlive the test.
    pub keeps: Box<dyn std::any::Any + Send>,
}

/// How long a property waits for what must happen.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Turns the properties into tests; see [`mod@crate::conformance`]. The calling crate needs tokio.
#[macro_export]
macro_rules! conformance {
    ($bus:expr) => {
        $crate::conformance!(@properties $bus, [
            every_consumer_gets_every_batch_in_order,
            order_per_publisher_holds_among_many,
            a_full_consumer_makes_publishing_wait,
            waiting_for_a_batch_may_be_given_up,
            what_was_published_is_delivered_after_closing,
        ]);
    };
    (@properties $bus:expr, [$($property:ident,)*]) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $property() {
                $crate::conformance::$property(async |names, capacity| ($bus)(names, capacity).await).await;
            }
        )*
    };
}

/// One execution of an agent.
pub fn vitals(agent: &str, n: i64) -> Vitals {
    let at = Timestamp::from_micros(1_767_225_600_000_000 + n);
    Vitals {
        key: AgentKey::new("tests", agent),
        execution: ExecutionId::new(format!("{agent}-{n}")),
        revision: 0,
        started_at: at,
        timestamp: at,
        received_at: at,
        latency_ms: n as f64,
        input_tokens: None,
        output_tokens: None,
        token_count: Some(n as u64),
        tool_calls: None,
        retries: None,
        success: true,
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::default(),
    }
}

fn batch(agent: &str, n: i64) -> Batch {
    let record = vitals(agent, n);
    let retracted = Record::Retracted(record.key.clone(), ExecutionId::new(format!("part-{n}")));
    Arc::from([Record::Vitals(record), retracted])
}

async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, event)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// Receives until so many batches have come, acknowledging each.
async fn receive(consumer: &mut dyn Consumer, count: usize) -> Vec<Batch> {
    let mut batches = Vec::new();
    while batches.len() < count {
        let delivery = soon("a batch", consumer.next()).await.expect("the bus is open");
        batches.push(delivery.batch.clone());
        delivery.ack();
    }
    batches
}

/// Scenario: batches of vitals and retractions for two consumers.
/// Guarantees: both get each batch once, whole and in order.
pub async fn every_consumer_gets_every_batch_in_order(bus: impl AsyncFn(&[&str], usize) -> Bus) {
    let Bus {
        publisher,
        mut consumers,
        keeps: _keeps,
    } = bus(&["baseline", "sentinel"], 64).await;
    let sent: Vec<Batch> = (0..50).map(|n| batch("a", n)).collect();
    for batch in &sent {
        soon("publishing", publisher.publish(batch.clone()))
            .await
            .unwrap();
    }
    assert_eq!(consumers.len(), 2);
    for consumer in &mut consumers {
        assert_eq!(receive(consumer.as_mut(), 50).await, sent);
    }
}

/// Scenario: eight publishers, each with agents of its own, and one consumer that keeps up slowly.
/// Guarantees: nothing is lost or doubled, and each agent's records stay in order.
pub async fn order_per_publisher_holds_among_many(bus: impl AsyncFn(&[&str], usize) -> Bus) {
    let Bus {
        publisher,
        mut consumers,
        keeps: _keeps,
    } = bus(&["sentinel"], 4).await;
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let publisher = publisher.clone();
            tokio::spawn(async move {
                for n in 0..40 {
                    publisher
                        .publish(batch(&format!("agent-{task}"), n))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    let mut next = [0_i64; 8];
    for received in receive(consumers[0].as_mut(), 320).await {
        let Record::Vitals(vitals) = &received[0] else {
            panic!("{received:?}")
        };
        let agent: usize = vitals
            .key
            .agent
            .as_str()
            .trim_start_matches("agent-")
            .parse()
            .unwrap();
        assert_eq!(received, batch(&format!("agent-{agent}"), next[agent]));
        next[agent] += 1;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(next, [40; 8]);
}

/// Scenario: one of two consumers does not take its batches, then does.
/// Guarantees: publishing waits instead of losing, and goes on when there is room.
pub async fn a_full_consumer_makes_publishing_wait(bus: impl AsyncFn(&[&str], usize) -> Bus) {
    let Bus {
        publisher,
        mut consumers,
        keeps: _keeps,
    } = bus(&["quick", "slow"], 2).await;
    for n in 0..2 {
        publisher.publish(batch("a", n)).await.unwrap();
    }
    receive(consumers[0].as_mut(), 2).await;
    let mut third = tokio::spawn(async move { publisher.publish(batch("a", 2)).await.map(|()| publisher) });
    let early = tokio::time::timeout(Duration::from_millis(200), &mut third).await;
    assert!(early.is_err(), "a full consumer took a third batch");
    assert_eq!(receive(consumers[1].as_mut(), 1).await, [batch("a", 0)]);
    soon("publishing after there is room", third)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(receive(consumers[0].as_mut(), 1).await, [batch("a", 2)]);
    assert_eq!(
        receive(consumers[1].as_mut(), 2).await,
        [batch("a", 1), batch("a", 2)]
    );
}

/// Scenario: a consumer waits for a batch beside a timer and gives up again and again.
/// Guarantees: giving up loses nothing.
pub async fn waiting_for_a_batch_may_be_given_up(bus: impl AsyncFn(&[&str], usize) -> Bus) {
    let Bus {
        publisher,
        mut consumers,
        keeps: _keeps,
    } = bus(&["sentinel"], 16).await;
    let sender = tokio::spawn(async move {
        for n in 0..100 {
            publisher.publish(batch("a", n)).await.unwrap();
            tokio::task::yield_now().await;
        }
        publisher
    });
    let mut received = Vec::new();
    soon("all batches", async {
        while received.len() < 100 {
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                delivery = consumers[0].next() => {
                    let delivery = delivery.expect("the bus is open");
                    received.push(delivery.batch.clone());
                    delivery.ack();
                }
            }
        }
    })
    .await;
    assert_eq!(received, (0..100).map(|n| batch("a", n)).collect::<Vec<_>>());
    sender.await.unwrap();
}

/// Scenario: the sending end goes away while batches are still queued.
/// Guarantees: they are delivered, then the consumer learns that no more will come.
pub async fn what_was_published_is_delivered_after_closing(bus: impl AsyncFn(&[&str], usize) -> Bus) {
    let Bus {
        publisher,
        mut consumers,
        keeps: _keeps,
    } = bus(&["sentinel"], 16).await;
    for n in 0..3 {
        publisher.publish(batch("a", n)).await.unwrap();
    }
    drop(publisher);
    assert_eq!(receive(consumers[0].as_mut(), 3).await.len(), 3);
    assert!(soon("the end", consumers[0].next()).await.is_none());
}
