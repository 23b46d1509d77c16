//! The gateway check of the real binary.

use immune_test_servers::free_port;
use immune_tests::process::Process;
use immune_tests::wait_for;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;

const STEP_MAX: Duration = Duration::from_secs(30);

struct Asking {
    client: reqwest::Client,
    url: String,
}

impl Asking {
    /// Status and body; `None` while nobody answers.
    async fn about(&self, agent: &str) -> Option<(StatusCode, Value)> {
        let request = self.client.get(&self.url).header("x-agent-id", agent);
        let response = request.send().await.ok()?;
        let status = response.status();
        Some((status, response.json().await.unwrap_or(Value::Null)))
    }

    /// The body of the denial, once there is one.
    async fn denial(&self, agent: &str) -> Value {
        wait_for("the agent is denied", STEP_MAX, || async {
            let (status, body) = self.about(agent).await?;
            (status == StatusCode::FORBIDDEN).then_some(body)
        })
        .await
    }
}

/// Scenario: the platform reports an agent as infected; the process is killed and started again; a person releases the
/// agent.
/// Guarantees: the gateway check denies it, in the words of the REST endpoint, before and after; readiness names the
/// check; the agent may act once it is released.
#[tokio::test]
async fn the_binary_answers_gateways() {
    let port = free_port();
    let mut server = Process::prepare();
    server.configure(json!({
        "gate": {
            "listen": format!("127.0.0.1:{port}"),
            "identity": [{ "header": { "name": "x-agent-id" } }],
        },
    }));
    server.restart().await;
    let (api, client) = (server.api(), reqwest::Client::new());
    let gateway = Asking {
        client: client.clone(),
        url: format!("http://127.0.0.1:{port}/check"),
    };
    let (status, _) = gateway.about("shop/buyer").await.expect("the check answers");
    assert_eq!(status, StatusCode::OK);
    let path = "/api/agents/shop%2Fbuyer/infected";
    let (status, case) = api
        .post(path, json!({ "reason": "leaks" }))
        .await
        .expect("REST answers");
    assert!(status.is_success(), "{status}: {case}");
    let denial = gateway.denial("shop/buyer").await;
    assert_eq!(denial["case_id"], case["case_id"]);
    let admission = api
        .get("/api/v1/agents/shop%2Fbuyer/admission")
        .await
        .expect("REST answers");
    assert_eq!(
        (&admission["allowed"], &admission["reason"]),
        (&json!(false), &denial["detail"])
    );
    let (status, _) = gateway.about("shop/seller").await.expect("the check answers");
    assert_eq!(status, StatusCode::OK);
    let ready = client
        .get(format!("http://127.0.0.1:{}/readyz", server.metrics))
        .send()
        .await
        .expect("readiness is told");
    let ready: Value = ready.json().await.expect("in JSON");
    assert_eq!(
        ready["conditions"]["gateway check"],
        json!({ "ok": true }),
        "{ready}"
    );

    server.kill();
    server.restart().await;
    assert_eq!(gateway.denial("shop/buyer").await, denial);
    let id = denial["case_id"].as_str().expect("a case");
    let (status, body) = api.decide(id, "release").await.expect("REST answers");
    assert_eq!(status, StatusCode::OK, "{body}");
    wait_for("the agent may act", STEP_MAX, || async {
        let (status, _) = gateway.about("shop/buyer").await?;
        (status == StatusCode::OK).then_some(())
    })
    .await;
}
