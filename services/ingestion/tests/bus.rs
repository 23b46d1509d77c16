//! Consumers over gRPC that are away, behind, or killed: what senders are told, and that nothing accepted is lost.

mod world;

use async_trait::async_trait;
use immune_bus::conformance::delivery;
use immune_bus::local::{LocalPublisher, local};
use immune_bus::{Batch, BusError, Publisher, Record};
use immune_bus_grpc::GrpcPublisher;
use immune_domain::vitals::{Completeness, Vitals};
use immune_ingestion::service::DRAIN_MAX;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use reqwest::StatusCode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use world::consumer::{Life, nowhere, publisher};
use world::telemetry::{execution, model_call, request, tool_call};
use world::{DEADLINE, Plan, World, eventually};

async fn world(bus: &Arc<GrpcPublisher>) -> World {
    World::of(Plan {
        bus: Some(bus.clone() as Arc<dyn Publisher>),
        ..Plan::default()
    })
    .await
}

fn has_retry_info(status: &Status) -> bool {
    status
        .get_details_retry_info()
        .is_some_and(|info| info.retry_delay.is_some())
}

fn agent(vitals: &Vitals) -> &str {
    vitals.key.agent.as_str()
}

/// Scenario: one of two consumers is away; senders are told, and repeat their requests until it has come.
/// Guarantees: HTTP says 503 with Retry-After, gRPC UNAVAILABLE with RetryInfo, in time; in the end each execution is
/// with both consumers once, whatever was repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_away_makes_senders_come_back() {
    let mut there = Life::start("baseline", nowhere(), 64);
    let away = nowhere();
    let bus = publisher(&[("baseline", there.address), ("sentinel", away)]);
    let world = world(&bus).await;
    let mut client = world.traces().await;
    let (by_http, by_grpc) = (execution("by-http", 1), execution("by-grpc", 2));
    let began = Instant::now();
    let answer = world.post_traces(&by_http).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    let refused = client
        .export(by_grpc.clone())
        .await
        .expect_err("a consumer is away");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(has_retry_info(&refused), "{refused:?}");
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "told after {:?}",
        began.elapsed()
    );

    let mut came = Life::start("sentinel", away, 64);
    eventually("success by HTTP", async || {
        let answer = world.post_traces(&by_http).await;
        answer.status().is_success().then_some(())
    })
    .await;
    eventually("success by gRPC", async || {
        client.export(by_grpc.clone()).await.ok()
    })
    .await;
    for consumer in [&mut there, &mut came] {
        let mut agents = Vec::new();
        while agents.len() < 2 {
            agents.extend(consumer.vitals().await.iter().map(|v| agent(v).to_owned()));
        }
        agents.sort();
        assert_eq!(agents, ["by-grpc", "by-http"]);
    }
    world.stop().await;
}

/// Scenario: a consumer takes nothing out of its queue of one.
/// Guarantees: HTTP says 429 with Retry-After, gRPC RESOURCE_EXHAUSTED with RetryInfo; when it has caught up the
/// repeated requests succeed, and each execution comes once.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_behind_is_overload() {
    let mut slow = Life::start("sentinel", nowhere(), 1);
    let bus = publisher(&[("sentinel", slow.address)]);
    let world = world(&bus).await;
    let mut client = world.traces().await;
    assert_eq!(
        world.post_traces(&execution("first", 1)).await.status(),
        StatusCode::OK
    );
    let (by_http, by_grpc) = (execution("by-http", 2), execution("by-grpc", 3));
    let answer = world.post_traces(&by_http).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.headers().contains_key("retry-after"));
    let refused = client
        .export(by_grpc.clone())
        .await
        .expect_err("the consumer is behind");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(has_retry_info(&refused), "{refused:?}");

    let reading = tokio::spawn(async move {
        let mut agents = Vec::new();
        while agents.len() < 3 {
            agents.extend(slow.vitals().await.iter().map(|v| agent(v).to_owned()));
        }
        (slow, agents)
    });
    eventually("success by HTTP", async || {
        let answer = world.post_traces(&by_http).await;
        answer.status().is_success().then_some(())
    })
    .await;
    eventually("success by gRPC", async || {
        client.export(by_grpc.clone()).await.ok()
    })
    .await;
    let (_slow, mut agents) = tokio::time::timeout(DEADLINE, reading)
        .await
        .expect("in time")
        .unwrap();
    agents.sort();
    assert_eq!(agents, ["by-grpc", "by-http", "first"]);
    world.stop().await;
}

/// Scenario: four senders repeat what is not taken, while the consumer is killed three times and started again.
/// Guarantees: everything that was accepted was settled by one of its lives or is delivered to the next, and each
/// agent's executions come in the order in which they were sent.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_accepted_is_lost_while_a_consumer_comes_and_goes() {
    const EACH: u64 = 60;
    let address = nowhere();
    let mut life = Life::start("sentinel", address, 8);
    let bus = publisher(&[("sentinel", address)]);
    let world = world(&bus).await;
    let senders: Vec<_> = (1..=4u64)
        .map(|sender| {
            let url = format!("http://{}", world.grpc);
            tokio::spawn(async move {
                let channel = tonic::transport::Endpoint::new(url).unwrap().connect_lazy();
                let mut client = TraceServiceClient::new(channel);
                for i in 0..EACH {
                    let sent = execution(&format!("agent-{sender}"), sender * 1_000 + i);
                    while let Err(status) = client.export(sent.clone()).await {
                        assert!(has_retry_info(&status), "{status:?}");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            })
        })
        .collect();
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut deliveries = 0;
    let count = |seen: &BTreeMap<String, Vec<String>>| {
        let unique = seen
            .values()
            .map(|executions| executions.iter().collect::<BTreeSet<_>>().len());
        unique.sum::<usize>()
    };
    while count(&seen) < 4 * EACH as usize {
        for vitals in life.vitals().await {
            let executions = seen.entry(agent(&vitals).to_owned()).or_default();
            executions.push(vitals.execution.to_string());
        }
        deliveries += 1;
        if [5, 15, 30].contains(&deliveries) {
            life.kill();
            life = Life::start("sentinel", address, 8);
        }
    }
    for sender in senders {
        tokio::time::timeout(DEADLINE, sender)
            .await
            .expect("senders end")
            .unwrap();
    }
    let stored = world.store.clone();
    for (agent, mut executions) in seen {
        // A delivery whose acknowledgement was lost with the connection comes again, right behind.
        let mut known = BTreeSet::new();
        executions.retain(|execution| known.insert(execution.clone()));
        let mut records = world::records(&*stored, "default", &agent).await;
        records.sort_by_key(|vitals| vitals.received_at);
        let accepted: Vec<String> = records.iter().map(|v| v.execution.to_string()).collect();
        assert_eq!(executions, accepted, "{agent}");
    }
    world.stop().await;
}

/// Scenario: the process is told to end while an agent's own span is still missing.
/// Guarantees: the execution is published as incomplete before the role ends, and nothing is left in the publisher.
#[tokio::test(flavor = "multi_thread")]
async fn draining_publishes_open_traces() {
    let mut life = Life::start("sentinel", nowhere(), 64);
    let bus = publisher(&[("sentinel", life.address)]);
    let world = world(&bus).await;
    let open = request(vec![model_call("open", 1), tool_call(1)]);
    assert_eq!(world.post_traces(&open).await.status(), StatusCode::OK);
    world.stop().await;
    let left = bus.close(Duration::from_secs(5)).await;
    assert_eq!(left.unpublished, 0);
    let vitals = life.vitals().await;
    assert_eq!(vitals.len(), 1, "{vitals:?}");
    assert_eq!(
        (agent(&vitals[0]), vitals[0].completeness),
        ("open", Completeness::Incomplete)
    );
}

/// Scenario: the process is told to end while a consumer is away for good and a sender waits.
/// Guarantees: the sender is told to come back; the role ends within its stated time, and the store has the record.
#[tokio::test(flavor = "multi_thread")]
async fn draining_ends_although_a_consumer_is_away() {
    let bus = publisher(&[("sentinel", nowhere())]);
    let world = world(&bus).await;
    let mut client = world.traces().await;
    let refused = client
        .export(execution("a", 1))
        .await
        .expect_err("a consumer is away");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    let open = request(vec![model_call("open", 2), tool_call(2)]);
    let _ = world.post_traces(&open).await;
    let began = Instant::now();
    let (store, _) = world.stop().await;
    assert!(
        began.elapsed() < DRAIN_MAX + Duration::from_secs(4),
        "ended after {:?}",
        began.elapsed()
    );
    for agent in ["a", "open"] {
        assert_eq!(
            world::records(&*store, "default", agent).await.len(),
            1,
            "{agent}"
        );
    }
}

/// A bus with a consumer that cannot read the records of one agent.
struct Picky {
    inner: LocalPublisher,
    poison: &'static str,
}

#[async_trait]
impl Publisher for Picky {
    async fn publish(&self, batch: Batch) -> Result<(), BusError> {
        let is_poison =
            |record: &Record| matches!(record, Record::Vitals(vitals) if agent(vitals) == self.poison);
        if batch.iter().any(is_poison) {
            return Err(BusError::Refused {
                consumer: "sentinel".to_owned(),
                source: "entry.batch.records[0].vitals.latency_ms: NaN".into(),
            });
        }
        self.inner.publish(batch).await
    }
}

/// Scenario: a consumer cannot read one record, which is sent alone and then together with others.
/// Guarantees: it is stored, given up for the bus, and stands in nobody's way.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_consumer_cannot_read_blocks_nobody() {
    let (inner, mut consumers) = local(&["sentinel"], 64);
    let world = World::of(Plan {
        bus: Some(Arc::new(Picky {
            inner,
            poison: "poison",
        })),
        ..Plan::default()
    })
    .await;
    let poison = execution("poison", 1);
    assert!(!world.post_traces(&poison).await.status().is_success());
    eventually("the sender's repetition", async || {
        world
            .post_traces(&poison)
            .await
            .status()
            .is_success()
            .then_some(())
    })
    .await;
    let (poison, healthy) = (execution("poison", 2), execution("healthy", 3));
    tokio::join!(world.post_traces(&poison), world.post_traces(&healthy));
    eventually("the healthy one", async || {
        world
            .post_traces(&healthy)
            .await
            .status()
            .is_success()
            .then_some(())
    })
    .await;
    let delivery = tokio::time::timeout(DEADLINE, delivery(&mut consumers[0])).await;
    let delivery = delivery.expect("in time").expect("the bus is open");
    assert!(matches!(&delivery.batch[..], [Record::Vitals(vitals)] if agent(vitals) == "healthy"));
    assert_eq!(world.records("default", "poison").await.len(), 2);
    assert_eq!(world.records("default", "healthy").await.len(), 1);
    world.stop().await;
}
