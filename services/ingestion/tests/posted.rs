//! Vitals that platforms post, through the role's own gRPC service.

mod world;

use immune_domain::vitals::Source;
use immune_proto::v1;
use immune_proto::v1::ingestion_service_client::IngestionServiceClient;
use immune_runtime::grpc::RoleChannel;
use immune_runtime::grpc::{inproc, server};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::service::Routes;
use world::World;
use world::telemetry::{execution, now_ns};

const SECOND: i64 = 1_000_000_000;

/// A client of the role, as other roles of the process have it.
fn client(world: &World, shutdown: CancellationToken) -> IngestionServiceClient<RoleChannel> {
    let (channel, connections) = inproc::pair();
    let routes = Routes::new(world.service.grpc());
    tokio::spawn(server::serve_in_process(routes, connections, shutdown));
    IngestionServiceClient::new(channel)
}

/// A record of an execution that ended so many nanoseconds from now.
fn vitals(agent: &str, from_now: i64) -> v1::Vitals {
    let nanos = i64::try_from(now_ns()).expect("before 2262") + from_now;
    let at = prost_types::Timestamp {
        seconds: nanos / SECOND,
        nanos: (nanos % SECOND) as i32,
    };
    v1::Vitals {
        key: Some(v1::AgentKey {
            run_id: "default".to_owned(),
            agent_id: agent.to_owned(),
        }),
        execution_id: format!("{agent}-1"),
        started_at: Some(at),
        timestamp: Some(at),
        received_at: Some(at),
        latency_ms: 12.5,
        token_count: Some(7),
        success: true,
        completeness: v1::Completeness::Complete.into(),
        // What the sender claims is not what it is.
        source: v1::Source::Otlp.into(),
        ..v1::Vitals::default()
    }
}

/// Scenario: posted records: in order, an hour late, 4 and 6 minutes ahead, without a number for a latency, and a good
/// one beside a bad one.
/// Guarantees: what is in order or late is stored when the call returns, as posted and in its own time, and late ones
/// are counted; what is too far ahead or no number is refused with the field's name, and nothing of its call stored.
#[tokio::test(flavor = "multi_thread")]
async fn posted_vitals_are_checked_and_stored() {
    let world = World::start().await;
    let shutdown = CancellationToken::new();
    let mut client = client(&world, shutdown.clone());
    let good = [("in-time", 0), ("late", -3_600 * SECOND), ("ahead", 240 * SECOND)];
    for (agent, from_now) in good {
        let request = v1::RecordVitalsRequest {
            vitals: vec![vitals(agent, from_now)],
        };
        client.record_vitals(request).await.expect(agent);
        let stored = world.records("default", agent).await;
        assert_eq!(stored.len(), 1, "{agent}");
        assert_eq!(
            (stored[0].source, stored[0].token_count),
            (Source::Posted, Some(7)),
            "{agent}"
        );
    }
    let far = vitals("far", 360 * SECOND);
    let no_number = v1::Vitals {
        latency_ms: f64::NAN,
        ..vitals("no-number", 0)
    };
    let negative = v1::Vitals {
        latency_ms: -1.0,
        ..vitals("negative", 0)
    };
    let nobody = v1::Vitals {
        key: None,
        ..vitals("nobody", 0)
    };
    for (bad, field) in [
        (far, "timestamp"),
        (no_number, "latency_ms"),
        (negative, "latency_ms"),
        (nobody, "key"),
    ] {
        let request = v1::RecordVitalsRequest {
            vitals: vec![vitals("beside", 0), bad],
        };
        let refused = client.record_vitals(request).await.expect_err(field);
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(
            refused.message().contains(&format!("vitals[1].{field}")),
            "{refused:?}"
        );
    }
    for agent in ["beside", "far", "no-number", "negative", "nobody"] {
        assert!(world.records("default", agent).await.is_empty(), "{agent}");
    }
    let many = v1::RecordVitalsRequest {
        vitals: vec![vitals("many", 0); 10_001],
    };
    assert_eq!(
        client.record_vitals(many).await.expect_err("too many").code(),
        Code::InvalidArgument
    );

    assert_eq!(world.post_traces(&execution("by-otlp", 1)).await.status(), 200);
    let status = client
        .get_ingestion_status(v1::GetIngestionStatusRequest {})
        .await
        .expect("a status");
    let status = status.into_inner();
    assert_eq!(
        (status.requests, status.spans_accepted, status.late_executions),
        (1, 3, 1),
        "{status:?}"
    );
    assert!(
        status.silent_seconds.is_some_and(|seconds| seconds < 20.0),
        "{status:?}"
    );
    shutdown.cancel();
    world.stop().await;
}
