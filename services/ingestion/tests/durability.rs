//! Accepted means stored and published: once, in order, also when the store is away, when too much comes, and when
//! the process ends.

mod world;

use immune_bus::conformance::delivery;
use immune_bus::{Consumer, Record};
use immune_domain::vitals::{Completeness, Vitals};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use reqwest::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use world::gate::{Gate, Mode};
use world::telemetry::{execution, model_call, request, tool_call};
use world::{DEADLINE, Plan, World, eventually, records};

/// Long enough for an answer that must not come yet to have come.
const PATIENCE: Duration = Duration::from_millis(200);

fn with_store(store: Arc<Gate>) -> Plan {
    Plan {
        store,
        ..Plan::default()
    }
}

/// The vitals published by now, or until the bus is closed.
async fn published(consumer: &mut impl Consumer) -> Vec<Vitals> {
    let mut published = Vec::new();
    while let Ok(Some(delivery)) = tokio::time::timeout(PATIENCE, delivery(consumer)).await {
        for record in delivery.batch.iter() {
            match record {
                Record::Vitals(vitals) => published.push(vitals.clone()),
                Record::Retracted(key, execution) => panic!("{key:?} {execution:?} was taken back"),
            }
        }
        delivery.ack();
    }
    published
}

fn has_retry_info(status: &Status) -> bool {
    status
        .get_details_retry_info()
        .is_some_and(|info| info.retry_delay.is_some())
}

/// Scenario: the store takes its time.
/// Guarantees: neither protocol answers before the record is stored; then both say success.
#[tokio::test(flavor = "multi_thread")]
async fn success_waits_for_the_store() {
    let gate = Gate::new(Mode::Closed);
    let world = World::of(with_store(gate.clone())).await;
    let mut client = world.traces().await;
    let by_grpc = tokio::spawn(async move { client.export(execution("by-grpc", 1)).await });
    eventually("the append", async || (gate.begun() > 0).then_some(())).await;
    let second = execution("by-http", 2);
    let mut by_http = Box::pin(world.post_traces(&second));
    assert!(
        tokio::time::timeout(PATIENCE, &mut by_http).await.is_err(),
        "answered before it was stored"
    );
    assert!(!by_grpc.is_finished(), "answered before it was stored");
    gate.set(Mode::Open);
    assert_eq!(by_http.await.status(), StatusCode::OK);
    by_grpc.await.unwrap().expect("success");
    for agent in ["by-grpc", "by-http"] {
        assert_eq!(world.records("default", agent).await.len(), 1, "{agent}");
    }
    world.stop().await;
}

/// Scenario: a consumer of the bus has no room.
/// Guarantees: the answer waits until it has.
#[tokio::test(flavor = "multi_thread")]
async fn success_waits_for_the_bus() {
    let mut world = World::of(Plan {
        bus_capacity: 1,
        ..Plan::default()
    })
    .await;
    assert_eq!(
        world.post_traces(&execution("first", 1)).await.status(),
        StatusCode::OK
    );
    let mut client = world.traces().await;
    let second = tokio::spawn(async move { client.export(execution("second", 2)).await });
    eventually("the append", async || {
        world.records("default", "second").await.pop()
    })
    .await;
    tokio::time::sleep(PATIENCE).await;
    assert!(!second.is_finished(), "answered before it was published");
    assert_eq!(published(&mut world.consumer).await.len(), 2);
    second.await.unwrap().expect("success");
    world.stop().await;
}

/// Scenario: the store is away; senders get told and repeat the same request until it is back.
/// Guarantees: HTTP says 503 with Retry-After, gRPC UNAVAILABLE with RetryInfo, both at once; in the end the
/// executions are stored once and published once, whatever was repeated.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_repeated_after_a_failure_counts_once() {
    let gate = Gate::new(Mode::Away);
    let mut world = World::of(with_store(gate.clone())).await;
    let mut client = world.traces().await;
    let (by_http, by_grpc) = (execution("by-http", 1), execution("by-grpc", 2));
    let began = tokio::time::Instant::now();
    for _ in 0..3 {
        let answer = world.post_traces(&by_http).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            answer.headers()["retry-after"]
                .to_str()
                .unwrap()
                .parse::<u32>()
                .unwrap()
                > 0
        );
        let refused = client
            .export(by_grpc.clone())
            .await
            .expect_err("the store is away");
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        assert!(has_retry_info(&refused), "{refused:?}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "senders are told at once: {:?}",
        began.elapsed()
    );
    assert!(
        published(&mut world.consumer).await.is_empty(),
        "nothing is published before it is stored"
    );
    gate.set(Mode::Open);
    eventually("success by HTTP", async || {
        world
            .post_traces(&by_http)
            .await
            .status()
            .is_success()
            .then_some(())
    })
    .await;
    eventually("success by gRPC", async || {
        client.export(by_grpc.clone()).await.ok()
    })
    .await;
    for agent in ["by-http", "by-grpc"] {
        assert_eq!(world.records("default", agent).await.len(), 1, "{agent}");
    }
    let published = published(&mut world.consumer).await;
    let of = |agent: &str| published.iter().filter(|v| v.key.agent.as_str() == agent).count();
    assert_eq!((of("by-http"), of("by-grpc")), (1, 1), "{published:?}");
    world.stop().await;
}

/// Scenario: the store refuses one record for good, among requests that it takes.
/// Guarantees: that record does not stand in the way of the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_stored_blocks_nobody() {
    let gate = Gate::with_poison(Mode::Closed, Some("poison"));
    let world = World::of(with_store(gate.clone())).await;
    let poison = execution("poison", 1);
    let (before, with, after) = (
        execution("before", 2),
        execution("with", 3),
        execution("after", 4),
    );
    let poison = async {
        let answer = world.post_traces(&poison).await;
        assert!(
            !answer.status().is_success(),
            "what was not stored is not accepted: {}",
            answer.status()
        );
    };
    let others = async {
        let all = tokio::join!(world.post_traces(&before), world.post_traces(&with), async {
            gate.set(Mode::Open);
            world.post_traces(&after).await
        });
        drop(all);
    };
    tokio::join!(poison, others);
    // Whatever came first, the next record that the store takes settles it.
    let _ = world.post_traces(&execution("next", 5)).await;
    for (agent, seed) in [("before", 2), ("with", 3), ("after", 4), ("next", 5)] {
        let repeated = execution(agent, seed);
        eventually(agent, async || {
            world
                .post_traces(&repeated)
                .await
                .status()
                .is_success()
                .then_some(())
        })
        .await;
        assert_eq!(world.records("default", agent).await.len(), 1, "{agent}");
    }
    world.stop().await;
}

/// Scenario: more requests than may be under way, then more bytes than may be.
/// Guarantees: HTTP says 429 with Retry-After, gRPC RESOURCE_EXHAUSTED with RetryInfo; afterwards all is well.
#[tokio::test(flavor = "multi_thread")]
async fn overload_is_shed_and_passes() {
    let tight_requests = |plan: &mut Plan| plan.config.requests_max = 1;
    // Room for one of the requests, with what it weighs once decoded, and not for two.
    let tight_bytes = |plan: &mut Plan| plan.config.bytes_under_way_max = 4_000;
    let tighten: [&dyn Fn(&mut Plan); 2] = [&tight_requests, &tight_bytes];
    for tighten in tighten {
        let gate = Gate::new(Mode::Closed);
        let mut plan = with_store(gate.clone());
        tighten(&mut plan);
        let world = World::of(plan).await;
        let mut first = world.traces().await;
        let first = tokio::spawn(async move { first.export(execution("first", 1)).await });
        eventually("the append", async || (gate.begun() > 0).then_some(())).await;
        let (by_http, by_grpc) = (execution("by-http", 2), execution("by-grpc", 3));
        let answer = world.post_traces(&by_http).await;
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(answer.headers().contains_key("retry-after"));
        let refused = world
            .traces()
            .await
            .export(by_grpc.clone())
            .await
            .expect_err("too much");
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        assert!(has_retry_info(&refused), "{refused:?}");
        gate.set(Mode::Open);
        first.await.unwrap().expect("success");
        eventually("HTTP", async || {
            world
                .post_traces(&by_http)
                .await
                .status()
                .is_success()
                .then_some(())
        })
        .await;
        let mut client = world.traces().await;
        eventually("gRPC", async || client.export(by_grpc.clone()).await.ok()).await;
        for agent in ["first", "by-http", "by-grpc"] {
            assert_eq!(world.records("default", agent).await.len(), 1, "{agent}");
        }
        world.stop().await;
    }
}

/// Scenario: the process stops while an agent's own span is still missing and eight senders are at work.
/// Guarantees: the open trace is reported as incomplete, and every request that was answered with success is stored.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_loses_nothing_accepted() {
    let world = World::start().await;
    let open = request(vec![model_call("open", 1), tool_call(1)]);
    assert_eq!(world.post_traces(&open).await.status(), StatusCode::OK);
    assert!(world.records("default", "open").await.is_empty());
    let senders: Vec<_> = (1..=8u64)
        .map(|sender| {
            let url = format!("http://{}", world.grpc);
            tokio::spawn(async move {
                let channel = tonic::transport::Endpoint::new(url).unwrap().connect_lazy();
                let mut client = TraceServiceClient::new(channel);
                let mut accepted = 0usize;
                let name = format!("agent-{sender}");
                while client
                    .export(execution(&name, sender * 1_000_000 + accepted as u64))
                    .await
                    .is_ok()
                {
                    accepted += 1;
                }
                (name, accepted)
            })
        })
        .collect();
    eventually("the senders' work", async || {
        (world.service.status().executions > 50).then_some(())
    })
    .await;
    let (store, _) = world.stop().await;
    let mut total = 0;
    for sender in senders {
        let (name, accepted) = tokio::time::timeout(DEADLINE, sender)
            .await
            .expect("senders end")
            .unwrap();
        let stored = records(&*store, "default", &name).await.len();
        assert!(stored >= accepted, "{name}: {accepted} accepted, {stored} stored");
        total += accepted;
    }
    assert!(total > 8, "{total}");
    let open = records(&*store, "default", "open").await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0].completeness, Completeness::Incomplete);
    assert_eq!(open[0].token_count, Some(120));
}

/// Scenario: eight senders report executions of the same agent at once.
/// Guarantees: the bus gets them in the order in which they were accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn order_of_an_agent_is_kept() {
    const EACH: u64 = 40;
    let mut world = World::start().await;
    let senders: Vec<_> = (1..=8u64)
        .map(|sender| {
            let url = format!("http://{}", world.grpc);
            tokio::spawn(async move {
                let channel = tonic::transport::Endpoint::new(url).unwrap().connect_lazy();
                let mut client = TraceServiceClient::new(channel);
                for i in 0..EACH {
                    client
                        .export(execution("shared", sender * 1_000 + i))
                        .await
                        .expect("success");
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let published = published(&mut world.consumer).await;
    assert_eq!(published.len() as u64, 8 * EACH);
    assert!(
        published.is_sorted_by_key(|vitals| vitals.received_at),
        "not in order of acceptance"
    );
    assert_eq!(world.records("default", "shared").await.len() as u64, 8 * EACH);
    world.stop().await;
}
