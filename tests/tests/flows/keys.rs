//! Keys as an operator meets them: the first one, those made with it, and what they close.

use immune_proto::v1::GetStatsRequest;
use immune_proto::v1::dashboard_service_client::DashboardServiceClient;
use immune_tests::process::{Process, binary};
use serde_json::{Value, json};
use std::process::{Command, Output};

async fn immune(process: &Process, key: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .args(["--server", &format!("http://127.0.0.1:{}", process.rest)])
        .env("IMMUNE_API_KEY", key);
    tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("the command runs to its end")
        .expect("the binary starts")
}

/// Secrets in the server's output so far.
fn secrets(process: &Process) -> Vec<String> {
    let log = std::fs::read_to_string(process.log()).expect("the log can be read");
    log.split_whitespace()
        .filter(|word| word.starts_with("imk_"))
        .map(str::to_owned)
        .collect()
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).trim().to_owned()
}

/// Whether a program of this machine may ask over gRPC without anything.
async fn grpc_is_open(process: &Process) -> bool {
    let dashboard = process.grpc + 5;
    let client = DashboardServiceClient::connect(format!("http://127.0.0.1:{dashboard}")).await;
    let mut client = client.expect("gRPC listens");
    match client.get_stats(GetStatsRequest::default()).await {
        Ok(_) => true,
        Err(status) => {
            assert_eq!(status.code(), tonic::Code::Unauthenticated, "{status}");
            false
        }
    }
}

/// Scenario: a server makes its first key; an operator finds it, makes others, and revokes the first; the server is
/// killed and comes back, twice.
/// Guarantees: the first key is printed once, ever; made keys outlive kill -9, revoked ones stay revoked; the last key
/// that can make others stays; without a key there is nothing, over REST and over gRPC.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_and_those_after_it() {
    let mut process = Process::start(json!({ "access": { "bootstrap": true } })).await;
    let first = immune_tests::wait_for("the first key", std::time::Duration::from_secs(10), || async {
        secrets(&process).pop()
    })
    .await;
    assert_eq!(
        immune(&process, "", &["keys", "list"]).await.status.code(),
        Some(1)
    );
    assert!(!grpc_is_open(&process).await);

    let ada = immune(
        &process,
        &first,
        &["keys", "create", "--name", "ada", "--role", "admin"],
    )
    .await;
    assert!(ada.status.success(), "{ada:?}");
    let ada = text(&ada.stdout);
    assert!(
        ada.starts_with("imk_") && ada.len() == 47,
        "the secret and nothing else"
    );
    let listed = immune(&process, &ada, &["keys", "list", "-o", "json"]).await;
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON for programs");
    let ids: Vec<&str> = (0..2).map(|n| listed[n]["id"].as_str().expect("an id")).collect();
    let revoked = immune(&process, &ada, &["keys", "revoke", ids[0]]).await;
    assert!(revoked.status.success(), "{revoked:?}");
    let last = immune(&process, &ada, &["keys", "revoke", ids[1]]).await;
    assert_eq!(last.status.code(), Some(1), "{last:?}");
    assert!(text(&last.stderr).contains("immune keys list"), "{last:?}");

    for _ in 0..2 {
        process.kill();
        process.restart().await;
        let listed = immune(&process, &ada, &["keys", "list"]).await;
        assert!(text(&listed.stdout).contains("bootstrap"), "{listed:?}");
        let refused = immune(&process, &first, &["keys", "list"]).await;
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    }
    assert_eq!(secrets(&process), [first]);
    assert!(!grpc_is_open(&process).await);
}

/// Scenario: a server as it comes, on loopback; somebody makes the first key.
/// Guarantees: everything is open until then, over gRPC too, and closed after.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_closes_everything() {
    let process = Process::start(json!({})).await;
    assert!(grpc_is_open(&process).await);
    let made = immune(
        &process,
        "",
        &["keys", "create", "--name", "root", "--role", "admin"],
    )
    .await;
    assert!(made.status.success(), "{made:?}");
    assert!(!grpc_is_open(&process).await);
    assert_eq!(
        immune(&process, "", &["get", "agents"]).await.status.code(),
        Some(1)
    );
    let root = text(&made.stdout);
    assert!(immune(&process, &root, &["get", "agents"]).await.status.success());
    assert_eq!(
        secrets(&process),
        Vec::<String>::new(),
        "no secret is ever logged"
    );
}
