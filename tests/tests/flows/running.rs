//! An agent that never ends: its own span never comes, only those of its calls.

use immune_tests::api::Api;
use immune_tests::wait_for;
use immune_tests::wiring::{System, Wiring};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

immune_tests::in_both_wirings!(an_endless_loop_is_caught_while_it_loops);

const AGENT: &str = "endless/Looper";
/// The trace of the execution that does not end.
const ENDLESS: u32 = 1_000_000;

/// Nanoseconds since the epoch, `ago` in the past, as OTLP/JSON writes them.
#[allow(clippy::disallowed_methods, reason = "a sender has its own clock")]
fn nanos(ago: Duration) -> String {
    (SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        - ago)
        .as_nanos()
        .to_string()
}

fn span(trace: u32, id: u32, parent: Option<u32>, operation: &str, ago: Duration) -> Value {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    json!({
        "traceId": format!("{:032x}", trace + 1),
        "spanId": format!("{:016x}", id + 1),
        "parentSpanId": parent.map(|parent| format!("{:016x}", parent + 1)).unwrap_or_default(),
        "flags": 0x100,
        "name": format!("{operation} it"),
        "kind": 1,
        "startTimeUnixNano": nanos(ago + Duration::from_millis(200 + u64::from(trace % 5) * 10)),
        "endTimeUnixNano": nanos(ago),
        "attributes": [
            text("gen_ai.operation.name", operation),
            text("gen_ai.agent.name", "Looper"),
            text("gen_ai.tool.name", "search"),
        ],
    })
}

async fn send(client: &reqwest::Client, otlp: &str, spans: Vec<Value>) {
    let request = json!({ "resourceSpans": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "endless" } }] },
        "scopeSpans": [{ "scope": { "name": "example.agents" }, "spans": spans }],
    }] });
    let answer = client
        .post(format!("{otlp}/v1/traces"))
        .json(&request)
        .send()
        .await;
    let answer = answer.expect("the receiver answers");
    assert_eq!(
        answer.status(),
        200,
        "{}",
        answer.text().await.unwrap_or_default()
    );
}

async fn agent(api: &Api) -> Option<Value> {
    api.get("/api/agents")
        .await?
        .as_array()?
        .iter()
        .find(|agent| agent["id"] == AGENT)
        .cloned()
}

/// Scenario: an agent with a baseline of two to four tool calls calls its tool again and again, and its span never
/// ends.
/// Guarantees: a case is opened while it runs; when the span ends after all, the execution is counted once.
async fn an_endless_loop_is_caught_while_it_loops(wiring: Wiring) {
    let mut server = System::prepare(wiring).await;
    server.start(json!({})).await;
    let (api, client) = (server.api(), reqwest::Client::new());
    // The first ones began before the server did; it cannot know whether they are whole, and does not learn them.
    let mut executions = 0;
    wait_for("the agent has a baseline", Duration::from_secs(60), || {
        let trace = executions;
        executions += 1;
        let calls =
            (1..=2 + trace % 3).map(|call| span(trace, call, Some(0), "execute_tool", Duration::ZERO));
        let spans = calls
            .chain([span(trace, 0, None, "invoke_agent", Duration::ZERO)])
            .collect();
        let (client, api, otlp) = (client.clone(), api.clone(), server.otlp_http());
        async move {
            send(&client, &otlp, spans).await;
            (agent(&api).await?["has_baseline"] == true).then_some(())
        }
    })
    .await;
    assert_eq!(api.case_of(AGENT).await, None, "a healthy agent was accused");

    let mut calls = 0;
    let case = wait_for(
        "a case is opened while the agent runs",
        Duration::from_secs(60),
        || {
            let more = (0..10)
                .map(|i| span(ENDLESS, calls + i + 1, Some(0), "execute_tool", Duration::ZERO))
                .collect();
            calls += 10;
            let (client, api, otlp) = (client.clone(), api.clone(), server.otlp_http());
            async move {
                send(&client, &otlp, more).await;
                api.case_of(AGENT).await
            }
        },
    )
    .await;
    assert_eq!(case["diagnosis_type"], "infinite_loop", "{case:#}");

    send(
        &client,
        &server.otlp_http(),
        vec![span(ENDLESS, 0, None, "invoke_agent", Duration::ZERO)],
    )
    .await;
    wait_for(
        "the ended execution replaces what was reported while it ran",
        Duration::from_secs(20),
        || async {
            let latest = api.get("/api/v1/vitals/latest?agent_id=endless%2FLooper").await?;
            let count = api
                .get("/api/v1/vitals/execution-count?agent_id=endless%2FLooper")
                .await?;
            (latest["completeness"] == "complete"
                && latest["tool_calls"] == calls
                && count["count"] == executions + 1)
                .then_some(())
        },
    )
    .await;
}
