//! What clients see when something behind the door is away.

use crate::world::World;
use async_trait::async_trait;
use immune_dashboard::Config;
use immune_domain::{RunId, Timestamp};
use immune_runtime::access::KeyRing;
use immune_store::action_log::{ActionLog, Chain, LogFilter, LogRow, StoredRow};
use immune_store::error::{Result, StorageError};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::sync::Arc;

/// An action log whose disk is full, with words that no client may see.
struct Broken;

fn broken<T>() -> Result<T> {
    Err(StorageError::Unavailable {
        doing: "testing",
        source: "disk full at /var/lib/secret".into(),
    })
}

#[async_trait]
impl ActionLog for Broken {
    async fn append(&self, _rows: &[LogRow]) -> Result<()> {
        broken()
    }

    async fn list(&self, _run: &RunId, _filter: &LogFilter) -> Result<Vec<StoredRow>> {
        broken()
    }

    async fn after(&self, _sequence: u64, _limit: u32) -> Result<Vec<StoredRow>> {
        broken()
    }

    async fn chain(&self) -> Result<Chain> {
        broken()
    }

    async fn purge(&self, _before: Timestamp, _now: Timestamp) -> Result<u64> {
        broken()
    }
}

/// Guarantees: with a store away, health is 503 with a status, writes and reads are 503 with a time to wait, and no
/// answer tells a path or a cause.
#[tokio::test]
async fn a_store_is_away() {
    let world = World::changed(Config::default(), KeyRing::default(), |d| {
        d.action_log = Arc::new(Broken)
    })
    .await;
    let (status, health) = world.get("/api/v1/health").await;
    assert_eq!(
        (status, &health["status"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("unhealthy"))
    );
    let row = json!({ "action_type": "x", "agent_id": "a", "payload": {} });
    for response in [
        world
            .send(Method::POST, "/api/v1/action-log", &[], Some(row))
            .await,
        world.send(Method::GET, "/api/action-log", &[], None).await,
    ] {
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key("retry-after"));
        let text = response.text().await.unwrap();
        assert!(!text.contains("disk") && !text.contains("/var"), "{text}");
    }
}

/// Guarantees: with a role away, what needs it is 503 and names it without addresses, what does not need it works, and
/// the system page tells which it is.
#[tokio::test]
async fn a_role_is_away() {
    let world = World::changed(Config::default(), KeyRing::default(), |d| {
        // Nobody will ever accept the connections of this channel.
        d.channels.quarantine = immune_runtime::grpc::Peers::one(immune_runtime::grpc::inproc::pair().0);
    })
    .await;
    let (status, problem) = world.get("/api/cases").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert_eq!(problem["detail"], "quarantine does not answer; try again");
    world.read("/api/v1/vitals/total-executions").await;
    world.read("/api/v1/health").await;
    let system = world.read("/api/system").await;
    assert_eq!(system["healthy"], false);
    let role = system["roles"]
        .as_array()
        .unwrap()
        .iter()
        .find(|role| role["role"] == "quarantine")
        .unwrap();
    assert_eq!(role["status"], "unreachable");
}

/// Guarantees: a request over the limit of those that run at once is told to come back; health included, since a
/// server that takes in nothing more is not well.
#[tokio::test]
async fn too_many_requests_at_once() {
    let config = Config {
        requests_max: 1,
        request_seconds_max: 2,
        ..Config::default()
    };
    let world = World::with(config, KeyRing::default()).await;
    // A body that never ends holds the only place until the time limit.
    let (sender, body) = tokio::sync::mpsc::channel::<std::result::Result<Vec<u8>, std::io::Error>>(1);
    let stream = reqwest::Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(body));
    let slow = world
        .client
        .post(world.url("/api/v1/vitals"))
        .header("content-type", "application/json");
    let slow = tokio::spawn(slow.body(stream).send());
    sender.send(Ok(b"{".to_vec())).await.unwrap();
    let refused = async {
        loop {
            if world.get("/api/v1/health").await.0 == StatusCode::SERVICE_UNAVAILABLE {
                return;
            }
        }
    };
    tokio::time::timeout(crate::world::DEADLINE, refused)
        .await
        .expect("the only place is taken");
    let response = slow.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(world.get("/api/v1/health").await.0, StatusCode::OK);
}
