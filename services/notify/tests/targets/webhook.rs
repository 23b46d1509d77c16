//! CloudEvents, signed.

use crate::receiver::{Got, Receiver, reply};
use crate::world::{approve, change, config, open_case, start, target, until};
use immune_notify::sign::WebhookKey;
use immune_runtime::config::Secret;
use immune_store::memory;
use serde_json::json;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PREVIOUS: &str = "the-secret-before-this-one";

/// Checks a signature as a receiver does.
fn is_signed(got: &Got, secret: &str) -> bool {
    let key = WebhookKey::read(&Secret::new(secret)).unwrap();
    let seconds: i64 = got.header("webhook-timestamp").parse().unwrap();
    let now = crate::world::now().as_micros() / 1_000_000;
    let expected = key.sign(got.header("webhook-id"), seconds, &got.body);
    (now - seconds).abs() < 60
        && got
            .header("webhook-signature")
            .split(' ')
            .any(|given| given == expected)
}

/// Scenario: a severe case is opened and approved; the receiver wants structured events.
/// Guarantees: each event comes once, in order, whole and signed by both secrets; ids are those of the events.
#[tokio::test]
async fn structured_events_are_signed() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    let config = config(json!([{ "name": "hook", "webhook": {
        "url": receiver.url("/events?token=hunter2"), "secret": SECRET, "previous_secret": PREVIOUS,
        "authorization": "Bearer hunter2" } }]));
    let _running = start(&stores, &config).await;
    let case = open_case(&stores, "shop/bot é", 8.5).await;
    change(&stores, &case.id, approve()).await;
    until("three events", async || receiver.got().len() == 3).await;
    until("they are settled", async || {
        target(&stores, "hook").await.delivered == 3
    })
    .await;
    let got = receiver.got();
    let kinds: Vec<String> = got
        .iter()
        .map(|got| got.json()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        kinds,
        [
            "io.immune.case.opened",
            "io.immune.case.waiting",
            "io.immune.case.decided"
        ]
    );
    for (n, got) in got.iter().enumerate() {
        assert_eq!(
            (got.method.as_str(), got.uri.to_string()),
            ("POST", "/events?token=hunter2".to_owned())
        );
        assert!(
            is_signed(got, SECRET)
                && is_signed(got, PREVIOUS)
                && !is_signed(got, "another-secret-of-24-bytes")
        );
        assert_eq!(got.header("authorization"), "Bearer hunter2");
        assert_eq!(
            got.header("content-type"),
            "application/cloudevents+json; charset=utf-8"
        );
        let event = got.json();
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"], json!(format!("case-shop%2Fbot%20%C3%A9.{}", n + 1)));
        assert_eq!(event["id"], got.header("webhook-id"));
        assert_eq!(
            (&event["source"], &event["subject"]),
            (&json!("https://immune.example.com/"), &json!(case.id))
        );
        assert_eq!(
            (&event["immunerun"], &event["data"]["agent_id"]),
            (&json!("prod"), &json!("shop/bot é"))
        );
        assert_eq!(event["data"]["details"]["severity"], 8.5);
        assert_eq!(
            event["data"]["url"],
            "https://immune.example.com/cases/case%2Dshop%2Fbot%20%C3%A9?run=prod"
        );
        assert!(event["time"].as_str().unwrap().ends_with('Z'));
    }
    assert_eq!(got[2].json()["data"]["details"]["by"], "ada@example.com");
}

/// Scenario: the receiver wants binary events; an agent's id holds what no header can carry.
/// Guarantees: attributes come as headers, escaped as the binding says, the data as the body, which is signed.
#[tokio::test]
async fn binary_events_carry_headers() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    let config = config(json!([{ "name": "hook", "webhook": {
        "url": receiver.url("/"), "secret": SECRET, "mode": "binary" } }]));
    let _running = start(&stores, &config).await;
    let case = open_case(&stores, "bot é\"%", 3.0).await;
    until("an event", async || !receiver.got().is_empty()).await;
    let got = &receiver.got()[0];
    assert_eq!(got.header("webhook-id"), "case-bot%20%C3%A9%22%25.1");
    assert_eq!(got.header("ce-id"), got.header("webhook-id").replace('%', "%25"));
    assert_eq!(got.header("ce-type"), "io.immune.case.opened");
    assert_eq!(
        (got.header("ce-specversion"), got.header("ce-immunerun")),
        ("1.0", "prod")
    );
    assert_eq!(got.header("ce-subject"), "case-bot%20%C3%A9%22%25");
    assert!(is_signed(got, SECRET));
    let data = got.json();
    assert_eq!(
        (&data["case_id"], &data["kind"]),
        (&json!(case.id), &json!("opened"))
    );
    assert_eq!(data["case"]["state"], "heal_queued");
}

/// Scenario: a target for severe cases of some agents, and certain kinds only.
/// Guarantees: it hears of nothing else, and what it did not want is not waiting either.
#[tokio::test]
async fn filters_hold() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    let config = config(
        json!([{ "name": "hook", "webhook": { "url": receiver.url("/"), "secret": SECRET },
        "filter": { "kinds": ["waiting"], "severity_min": 8.0, "agents": ["shop/*"] } }]),
    );
    let _running = start(&stores, &config).await;
    for (agent, severity) in [("shop/a", 7.5), ("other", 9.0), ("shop/b", 3.0), ("shop/c", 9.0)] {
        open_case(&stores, agent, severity).await;
    }
    until("one event", async || target(&stores, "hook").await.delivered == 1).await;
    let last = stores.cases.last_event().await.unwrap();
    until("all were looked at", async || {
        target(&stores, "hook").await.cursor == last
    })
    .await;
    assert_eq!(receiver.got().len(), 1);
    assert_eq!(receiver.got()[0].json()["data"]["agent_id"], "shop/c");
    assert_eq!(target(&stores, "hook").await.waiting, 0);
}

/// Scenario: cases were opened before the target was first configured.
/// Guarantees: history is not told.
#[tokio::test]
async fn a_new_target_begins_now() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    open_case(&stores, "old", 9.0).await;
    let config =
        config(json!([{ "name": "hook", "webhook": { "url": receiver.url("/"), "secret": SECRET } }]));
    let _running = start(&stores, &config).await;
    open_case(&stores, "new", 3.0).await;
    until("an event", async || !receiver.got().is_empty()).await;
    assert_eq!(receiver.got()[0].json()["data"]["agent_id"], "new");
}

/// Scenario: the receiver answers with a redirect to another server.
/// Guarantees: it is not followed, and the signed event goes nowhere else.
#[tokio::test]
async fn redirects_are_not_followed() {
    let (stores, receiver, other) = (memory::stores(), Receiver::start().await, Receiver::start().await);
    receiver.always(reply(307).with("location", other.url("/")));
    let config =
        config(json!([{ "name": "hook", "webhook": { "url": receiver.url("/"), "secret": SECRET } }]));
    let _running = start(&stores, &config).await;
    open_case(&stores, "a", 3.0).await;
    until("two attempts", async || receiver.got().len() >= 2).await;
    assert!(other.got().is_empty());
    until("the reason is told", async || {
        target(&stores, "hook")
            .await
            .last_error
            .is_some_and(|(_, text)| text.contains("redirect"))
    })
    .await;
}
