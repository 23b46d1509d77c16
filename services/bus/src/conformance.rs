//! The suite that every bus runs. A backend names a function that makes a bus with consumers of given names and a
//! given room, and runs each property as a test of its own:
//!
//! ```ignore
//! async fn bus(names: &[&str], capacity: usize) -> immune_bus::conformance::Bus { /* ... */ }
//! immune_bus::conformance!(bus);
//! // A bus that keeps nothing between publisher and consumer has these too:
//! immune_bus::conformance!(direct: bus);
//! ```
#![allow(
    clippy::unwrap_used,
    reason = "a suite fails by panicking, at the line that was not kept"
)]

use crate::{Arrival, Batch, Begin, Consumer, Delivery, Partition, Publisher, Record};
use immune_domain::vitals::{Completeness, Source, Vitals};
use immune_domain::{AgentKey, ExecutionId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
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
            every_consumer_gets_every_record_in_order,
            every_agent_is_in_its_partition,
            order_per_publisher_holds_among_many,
            nothing_comes_before_the_beginning,
            waiting_for_a_batch_may_be_given_up,
        ]);
    };
    (direct: $bus:expr) => {
        $crate::conformance!(@properties $bus, [
            batches_stay_whole,
            a_full_consumer_makes_publishing_wait,
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

/// An execution of an agent and the withdrawal of another one of it.
pub fn batch(agent: &str, n: i64) -> Batch {
    let record = vitals(agent, n);
    let retracted = Record::Retracted(record.key.clone(), ExecutionId::new(format!("part-{n}")));
    Arc::from([Record::Vitals(record), retracted])
}

/// Whose record it is.
pub fn key(record: &Record) -> &AgentKey {
    match record {
        Record::Vitals(vitals) => &vitals.key,
        Record::Retracted(key, _) => key,
    }
}

/// What happens within [`DEADLINE`].
pub async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, event)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// The next batch of a consumer; partitions begin with the oldest entry that is not acknowledged.
pub async fn delivery(consumer: &mut dyn Consumer) -> Option<Delivery> {
    loop {
        match consumer.next().await? {
            Arrival::Gained(partition) => consumer.begin(partition, Begin::After(None)).await,
            Arrival::Lost(partition) => panic!("{partition:?} was lost"),
            Arrival::Batch(delivery) => return Some(delivery),
        }
    }
}

/// Receives until so many records have come, acknowledging each batch.
pub async fn receive(consumer: &mut dyn Consumer, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        let delivery = soon("a batch", delivery(consumer))
            .await
            .expect("the bus is open");
        records.extend_from_slice(&delivery.batch);
        delivery.ack();
    }
    assert_eq!(records.len(), count, "more records than were published");
    records
}

/// The records of each agent, in order.
pub fn by_agent(records: impl IntoIterator<Item = Record>) -> BTreeMap<AgentKey, Vec<Record>> {
    let mut agents: BTreeMap<AgentKey, Vec<Record>> = BTreeMap::new();
    for record in records {
        agents.entry(key(&record).clone()).or_default().push(record);
    }
    agents
}

/// Scenario: batches of vitals and retractions of many agents for two consumers.
/// Guarantees: both get each record once, and each agent's in order.
pub async fn every_consumer_gets_every_record_in_order(bus: impl AsyncFn(&[&str], usize) -> Bus) {
    let Bus {
        publisher,
        mut consumers,
        keeps: _keeps,
    } = bus(&["baseline", "sentinel"], 64).await;
    let sent: Vec<Batch> = (0..50)
        .map(|n| {
            let agents = (0..3).map(|i| format!("agent-{}", (n + i * 5) % 20));
            agents.flat_map(|agent| batch(&agent, n).to_vec()).collect()
        })
        .collect();
    for batch in &sent {
        soon("publishing", publisher.publish(batch.clone()))
            .await
            .unwrap();
    }
    let sent = by_agent(sent.iter().flat_map(|batch| batch.to_vec()));
    assert_eq!(consumers.len(), 2);
    for consumer in &mut consumers {
        assert_eq!(by_agent(receive(consumer.as_mut(), 300).await), sent);
    }
}

/// Scenario: records of many agents in one publication.
/// Guarantees: each delivery names the partition of all its agents, gained before; each partition is gained once.
pub async fn every_agent_is_in_its_partition(bus: impl AsyncFn(&[&str], usize) -> Bus) {
    let Bus {
        publisher,
        mut consumers,
        keeps: _keeps,
    } = bus(&["sentinel"], 256).await;
    let records: Batch = (0..200)
        .map(|n| Record::Vitals(vitals(&format!("agent-{n}"), n)))
        .collect();
    publisher.publish(records.clone()).await.unwrap();
    let consumer = consumers[0].as_mut();
    let (mut gained, mut received) = (BTreeSet::new(), Vec::new());
    while received.len() < records.len() {
        match soon("an arrival", consumer.next())
            .await
            .expect("the bus is open")
        {
            Arrival::Gained(partition) => {
                assert!(gained.insert(partition), "{partition:?} was gained twice");
                consumer.begin(partition, Begin::After(None)).await;
            }
            Arrival::Lost(partition) => panic!("{partition:?} was lost"),
            Arrival::Batch(delivery) => {
                assert!(gained.contains(&delivery.partition));
                for record in delivery.batch.iter() {
                    assert!(
                        delivery.partition.holds(key(record)),
                        "{record:?} in {:?}",
                        delivery.partition
                    );
                }
                received.extend_from_slice(&delivery.batch);
                delivery.ack();
            }
        }
    }
    assert_eq!(by_agent(received), by_agent(records.to_vec()));
    let counts: BTreeSet<u16> = gained.iter().map(|partition| partition.count).collect();
    assert_eq!(counts.len(), 1, "partitions of several divisions: {gained:?}");
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
    let received = by_agent(receive(consumers[0].as_mut(), 640).await);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(received.len(), 8);
    for (agent, records) in received {
        let sent: Vec<Record> = (0..40)
            .flat_map(|n| batch(agent.agent.as_str(), n).to_vec())
            .collect();
        assert_eq!(records, sent, "{agent:?}");
    }
}

/// Scenario: a consumer has gained its partitions and says later where to begin.
/// Guarantees: no batch of a partition arrives before that, and then none is missing.
pub async fn nothing_comes_before_the_beginning(bus: impl AsyncFn(&[&str], usize) -> Bus) {
    let Bus {
        publisher,
        mut consumers,
        keeps: _keeps,
    } = bus(&["sentinel"], 16).await;
    publisher.publish(batch("a", 0)).await.unwrap();
    let consumer = consumers[0].as_mut();
    let mut gained = Vec::new();
    let of_the_agent = |partition: &Partition| partition.holds(&AgentKey::new("tests", "a"));
    soon("the agent's partition", async {
        while !gained.iter().any(of_the_agent) {
            match consumer.next().await.expect("the bus is open") {
                Arrival::Gained(partition) => gained.push(partition),
                Arrival::Lost(partition) => panic!("{partition:?} was lost"),
                Arrival::Batch(delivery) => panic!("{:?} began by itself", delivery.partition),
            }
        }
    })
    .await;
    let early = async {
        loop {
            match consumer.next().await.expect("the bus is open") {
                Arrival::Gained(partition) => gained.push(partition),
                Arrival::Lost(partition) => panic!("{partition:?} was lost"),
                Arrival::Batch(delivery) => return delivery.partition,
            }
        }
    };
    let early = tokio::time::timeout(Duration::from_millis(200), early).await;
    assert!(early.is_err(), "{early:?} began by itself");
    for partition in gained {
        consumer.begin(partition, Begin::After(None)).await;
    }
    assert_eq!(receive(consumer, 2).await, batch("a", 0).to_vec());
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
        while received.len() < 200 {
            let arrival = tokio::select! {
                biased;
                () = tokio::task::yield_now() => continue,
                arrival = consumers[0].next() => arrival.expect("the bus is open"),
            };
            match arrival {
                Arrival::Gained(partition) => consumers[0].begin(partition, Begin::After(None)).await,
                Arrival::Lost(partition) => panic!("{partition:?} was lost"),
                Arrival::Batch(delivery) => {
                    received.extend_from_slice(&delivery.batch);
                    delivery.ack();
                }
            }
        }
    })
    .await;
    let sent: Vec<Record> = (0..100).flat_map(|n| batch("a", n).to_vec()).collect();
    assert_eq!(received, sent);
    sender.await.unwrap();
}

/// Scenario: batches for two consumers of a bus that keeps nothing in between.
/// Guarantees: both get each batch once, whole and in order.
pub async fn batches_stay_whole(bus: impl AsyncFn(&[&str], usize) -> Bus) {
    let Bus {
        publisher,
        mut consumers,
        keeps: _keeps,
    } = bus(&["baseline", "sentinel"], 64).await;
    for n in 0..50 {
        soon("publishing", publisher.publish(batch("a", n)))
            .await
            .unwrap();
    }
    for consumer in &mut consumers {
        for n in 0..50 {
            let delivery = soon("a batch", delivery(consumer.as_mut())).await;
            let delivery = delivery.expect("the bus is open");
            assert_eq!(delivery.batch, batch("a", n));
            delivery.ack();
        }
    }
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
    receive(consumers[0].as_mut(), 4).await;
    let mut third = tokio::spawn(async move { publisher.publish(batch("a", 2)).await.map(|()| publisher) });
    let early = tokio::time::timeout(Duration::from_millis(200), &mut third).await;
    assert!(early.is_err(), "a full consumer took a third batch");
    assert_eq!(receive(consumers[1].as_mut(), 2).await, batch("a", 0).to_vec());
    soon("publishing after there is room", third)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(receive(consumers[0].as_mut(), 2).await, batch("a", 2).to_vec());
    let rest = [batch("a", 1).to_vec(), batch("a", 2).to_vec()].concat();
    assert_eq!(receive(consumers[1].as_mut(), 4).await, rest);
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
    assert_eq!(receive(consumers[0].as_mut(), 6).await.len(), 6);
    assert!(soon("the end", delivery(consumers[0].as_mut())).await.is_none());
}
