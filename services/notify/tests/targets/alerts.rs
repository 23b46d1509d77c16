//! PagerDuty and Alertmanager.

use crate::receiver::{Receiver, reply};
use crate::world::{approve, change, config, now, open_case, release, start, target, until};
use immune_domain::case::{Command, Containment, LeverStatus};
use immune_store::memory;
use serde_json::{Value, json};

/// Scenario: a severe case is opened, approved and released; then a test is sent.
/// Guarantees: one incident by its dedup key: triggered, acknowledged by the decision, resolved by the end; severity
/// and fields as the Events API v2 documents them; the key is in no path and no word.
#[tokio::test]
async fn pagerduty_follows_a_case() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    receiver.always(reply(202).saying(r#"{"status":"success","message":"Event processed","dedup_key":"x"}"#));
    let config = config(json!([{ "name": "pager", "pagerduty": {
        "routing_key": "hunter2", "url": receiver.url("/v2/enqueue") } }]));
    let _running = start(&stores, &config).await;
    let case = open_case(&stores, "a", 8.0).await;
    change(&stores, &case.id, approve()).await;
    change(&stores, &case.id, release()).await;
    until("all told", async || target(&stores, "pager").await.delivered == 4).await;
    let got: Vec<Value> = receiver.got().iter().map(|got| got.json()).collect();
    let deeds: Vec<&str> = got
        .iter()
        .map(|event| event["event_action"].as_str().unwrap())
        .collect();
    assert_eq!(deeds, ["trigger", "trigger", "acknowledge", "resolve"]);
    for event in &got {
        assert_eq!(
            (&event["routing_key"], &event["dedup_key"]),
            (&json!("hunter2"), &json!(case.id))
        );
    }
    let payload = &got[0]["payload"];
    assert_eq!(
        (&payload["severity"], &payload["source"]),
        (&json!("error"), &json!("prod/a"))
    );
    assert_eq!(
        (&payload["component"], &payload["class"]),
        (&json!("a"), &json!("prompt_drift"))
    );
    assert!(
        payload["summary"]
            .as_str()
            .unwrap()
            .starts_with("Agent infected: a, severity 8.0, prompt_drift")
    );
    assert_eq!(
        got[0]["links"][0]["href"],
        "https://immune.example.com/cases/case%2Da?run=prod"
    );
    assert!(receiver.got().iter().all(|got| got.uri.path() == "/v2/enqueue"));
}

/// Scenario: a case is open for a while, then its agent is released by every lever; the Alertmanager fails in between.
/// Guarantees: one alert with stable labels, told again before it would end, resolved in the end.
#[tokio::test]
async fn alertmanager_is_told_again() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    let config = config(json!([{ "name": "am", "alertmanager": {
        "url": receiver.url("/prefix/"), "token": "hunter2", "resend_seconds": 1, "labels": { "team": "ai" } } }]));
    let _running = start(&stores, &config).await;
    let case = open_case(&stores, "a", 8.0).await;
    receiver.then([reply(503)]);
    let alerts = || -> Vec<Value> {
        let got = receiver.got();
        assert!(got.iter().all(|got| got.uri.path() == "/prefix/api/v2/alerts"));
        assert!(
            got.iter()
                .all(|got| got.header("authorization") == "Bearer hunter2")
        );
        got.iter()
            .flat_map(|got| got.json().as_array().unwrap().clone())
            .collect()
    };
    until("told four times", async || alerts().len() >= 4).await;
    let first = &alerts()[0];
    let labels = json!({ "alertname": "AgentInfected", "severity": "critical", "run": "prod", "agent": "a",
        "case_id": case.id, "team": "ai" });
    for alert in alerts() {
        assert_eq!(alert["labels"], labels);
        assert_eq!(alert["startsAt"], json!(case.opened_at.to_string()));
        assert!(
            alert["endsAt"].as_str().unwrap()
                > now()
                    .minus(std::time::Duration::from_secs(60))
                    .to_string()
                    .as_str()
        );
    }
    assert!(first["endsAt"].as_str().unwrap() > case.opened_at.to_string().as_str());
    assert_eq!(
        first["generatorURL"],
        "https://immune.example.com/cases/case%2Da?run=prod"
    );
    change(&stores, &case.id, release()).await;
    let confirmed = Command::LeverAnswered {
        lever: "lifecycle".to_owned(),
        wanted: Containment::Free,
        generation: 2,
        status: LeverStatus::Confirmed,
        detail: "done".to_owned(),
    };
    change(&stores, &case.id, confirmed).await;
    let closed = now();
    until("resolved", async || {
        alerts()
            .last()
            .is_some_and(|alert| alert["endsAt"].as_str().unwrap() <= closed.to_string().as_str())
    })
    .await;
    until("all told", async || target(&stores, "am").await.waiting == 0).await;
    receiver.forget();
    // What is closed is not told again.
    let case = open_case(&stores, "b", 3.0).await;
    until("the other is", async || {
        alerts()
            .iter()
            .filter(|alert| alert["labels"]["case_id"] == json!(case.id))
            .count()
            > 2
    })
    .await;
    assert!(alerts().iter().all(|alert| alert["labels"]["agent"] == "b"));
}
