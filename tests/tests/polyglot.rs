//! An OpenTelemetry SDK in another language, pointed at us with one environment variable.

use immune_tests::process::Process;
use immune_tests::wait_for;
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The Python that `make test` gives the SDK; `None` (said aloud) where it is not installed.
fn python() -> Option<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ stands in the workspace");
    let python = root.join("target/tools/bin/python");
    let has_sdk = Command::new(&python)
        .args([
            "-c",
            "import opentelemetry.exporter.otlp.proto.grpc, opentelemetry.exporter.otlp.proto.http",
        ])
        .status()
        .is_ok_and(|status| status.success());
    if !has_sdk {
        assert!(
            std::env::var_os("CI").is_none(),
            "the Python SDK is missing in CI: run `make tools`"
        );
        eprintln!("skipped: no Python with the OpenTelemetry SDK; run `make tools`");
        return None;
    }
    Some(python)
}

async fn run(protocol: &'static str, port: impl Fn(&Process) -> u16) {
    let Some(python) = python() else { return };
    let server = Process::start(json!({})).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("polyglot/agent.py");
    let endpoint = format!("http://127.0.0.1:{}", port(&server));
    let status = tokio::task::spawn_blocking(move || {
        Command::new(python)
            .arg(script)
            .args(["Zoë the Planner", "10"])
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .status()
    })
    .await
    .expect("the script runs to its end")
    .expect("python starts");
    assert!(
        status.success(),
        "the agent could not deliver its spans: {status}"
    );

    let api = server.api();
    let id = "polyglot/Zoë the Planner";
    let agent = wait_for(
        "the agent appears with ten executions",
        Duration::from_secs(20),
        || async {
            let agents = api.get("/api/agents").await?;
            let agent = agents.as_array()?.iter().find(|agent| agent["id"] == id)?.clone();
            (agent["executions"] == 10).then_some(agent)
        },
    )
    .await;
    assert_eq!(agent["latest_metrics"]["tokens"], 240);
    assert_eq!(agent["latest_metrics"]["tools"], 2);
    assert_eq!(agent["model"], "model-x-2026");
    let records = api
        .get("/api/v1/vitals/all?agent_id=polyglot/Zo%C3%AB%20the%20Planner")
        .await
        .expect("vitals");
    let failed = records
        .as_array()
        .expect("a list")
        .iter()
        .filter(|record| record["success"] == false)
        .count();
    assert_eq!(failed, 2, "every fifth of ten executions failed");
}

/// Scenario: the Python SDK exports ten executions over gRPC to port 4317's listener.
/// Guarantees: the agent appears under /api/agents with the right numbers.
#[tokio::test]
async fn python_sdk_over_grpc() {
    run("grpc", |server| server.otlp_grpc).await;
}

/// Scenario: the same over HTTP to port 4318's listener.
/// Guarantees: the same numbers.
#[tokio::test]
async fn python_sdk_over_http() {
    run("http/protobuf", |server| server.otlp_http).await;
}
