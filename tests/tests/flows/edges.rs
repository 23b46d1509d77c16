//! Edges that programs rely on: gRPC health, reflection, identity.

use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_proto::v1::{DecideRequest, Decision};
use immune_tests::wiring::{System, Wiring};
use serde_json::json;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

immune_tests::in_both_wirings!(
    every_role_has_health_and_reflection,
    identity_cannot_be_claimed_over_a_socket
);

/// How long a role may take to know what it needs.
const READY_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// The services of the roles, in the order of their ports.
const SERVICES: [&str; 6] = [
    "immune.v1.IngestionService",
    "immune.v1.BaselineService",
    "immune.v1.SentinelService",
    "immune.v1.QuarantineService",
    "immune.v1.HealerService",
    "immune.v1.DashboardService",
];

async fn channel(port: u16) -> Channel {
    Endpoint::from_shared(format!("http://127.0.0.1:{port}"))
        .expect("a valid address")
        .connect()
        .await
        .expect("the role listens")
}

/// Scenario: a program asks every role's port for its health and its services.
/// Guarantees: each says that it serves, and reflection names its service.
async fn every_role_has_health_and_reflection(wiring: Wiring) {
    let mut server = System::prepare(wiring).await;
    server.start(json!({})).await;
    for (offset, service) in SERVICES.iter().enumerate() {
        let channel = channel(server.grpc(offset)).await;
        // Health is readiness: a role says that it serves once it knows what it needs to know.
        immune_tests::wait_for(&format!("{service} serves"), READY_MAX, || async {
            let ask = HealthCheckRequest {
                service: (*service).to_owned(),
            };
            let health = HealthClient::new(channel.clone()).check(ask).await.ok()?;
            (health.into_inner().status() == ServingStatus::Serving).then_some(())
        })
        .await;

        let ask = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::FileContainingSymbol((*service).to_owned())),
        };
        let mut answers = ServerReflectionClient::new(channel)
            .server_reflection_info(tokio_stream::once(ask))
            .await
            .unwrap_or_else(|status| panic!("{service}: {status}"))
            .into_inner();
        let answer = answers.message().await.expect("an answer").expect("one answer");
        assert!(
            matches!(
                answer.message_response,
                Some(MessageResponse::FileDescriptorResponse(_))
            ),
            "{service}: {answer:?}"
        );
    }
}

/// Scenario: a caller on the gRPC socket claims to be somebody else in the metadata that roles use among themselves,
/// and names a case that does not exist.
/// Guarantees: the claim is dropped at the socket: the refused decision is logged under `loopback`.
async fn identity_cannot_be_claimed_over_a_socket(wiring: Wiring) {
    let mut server = System::prepare(wiring).await;
    server.start(json!({})).await;
    let mut client = QuarantineServiceClient::new(channel(server.grpc(3)).await);
    let mut request = tonic::Request::new(DecideRequest {
        case_id: "no-such-case".to_owned(),
        decision: Decision::Approve.into(),
        reason: "because".to_owned(),
        expected_version: 0,
        ..DecideRequest::default()
    });
    request
        .metadata_mut()
        .insert("x-immune-subject", "the%20boss".parse().expect("ASCII"));
    request
        .metadata_mut()
        .insert("x-immune-via", "oidc".parse().expect("ASCII"));
    let status = client.decide(request).await.expect_err("there is no such case");
    assert_eq!(status.code(), tonic::Code::NotFound, "{status}");
    let log = server
        .api()
        .get("/api/action-log")
        .await
        .expect("the log")
        .to_string();
    assert!(!log.contains("boss"), "{log}");
}
