//! Buttons that were pressed, as the dashboard reads them.

use crate::receiver::Receiver;
use crate::world::{config, now, open_case};
use hmac::{Hmac, KeyInit, Mac};
use immune_domain::case::Decision;
use immune_notify::sign::Forged;
use immune_notify::{Clicks, NoClick, stamp};
use immune_store::memory;
use serde_json::{Value, json};
use sha2::Sha256;

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

fn clicks(origin: &str) -> Clicks {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let slack = |name: &str, secret: &str| {
        json!({ "name": name, "slack": {
        "token": "xoxb-x", "channel": "C1", "signing_secret": secret, "response_origin": origin, "team": "T1",
        "users": { "U1": { "subject": "ada@example.com", "role": "operator", "runs": ["prod"] } } } })
    };
    Clicks::new(&config(json!([slack("other", "another"), slack("ops", SECRET)]))).unwrap()
}

fn payload(value: Value) -> Value {
    json!({ "type": "block_actions", "user": { "id": "U1", "username": "eve" }, "team": { "id": "T1" },
        "response_url": "https://evil.example/", "actions": [{ "action_id": "immune_approve", "value": value.to_string() }] })
}

fn body(payload: &Value) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &payload.to_string())
        .finish()
}

fn signed(secret: &str, seconds: i64, body: &str) -> (String, String) {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("v0:{seconds}:{body}").as_bytes());
    (
        seconds.to_string(),
        format!("v0={}", hex::encode(mac.finalize().into_bytes())),
    )
}

fn read(clicks: &Clicks, secret: &str, age: i64, body: &str) -> Result<immune_notify::Click, NoClick> {
    let (timestamp, signature) = signed(secret, now().as_micros() / 1_000_000 - age, body);
    clicks.read(Some(&timestamp), Some(&signature), body.as_bytes(), now())
}

/// Scenario: clicks that are good, forged, old, of another workspace, of an unknown user, on something else.
/// Guarantees: only a signed, fresh one of ours is read; who it is comes from the configuration, not from names in it.
#[tokio::test]
async fn only_signed_clicks_are_read() {
    let (stores, clicks) = (memory::stores(), clicks("https://hooks.slack.com"));
    let case = open_case(&stores, "a", 8.0).await;
    let value = json!({ "t": "ops", "c": case.id, "v": case.version, "s": stamp(&case) });
    let good = payload(value.clone());
    let click = read(&clicks, SECRET, 0, &body(&good)).unwrap();
    assert_eq!(click.user.as_ref().unwrap().subject, "ada@example.com");
    assert_eq!(
        (click.decision, &click.case, click.version),
        (Decision::Approve, &case.id, 1)
    );
    assert_eq!(
        (click.stamp.as_str(), click.target()),
        (stamp(&case).as_str(), "ops")
    );

    let forged = |age: i64, secret: &str| read(&clicks, secret, age, &body(&good)).unwrap_err();
    assert_eq!(forged(0, "wrong"), NoClick::Forged(Forged::Mismatch));
    assert_eq!(forged(301, SECRET), NoClick::Forged(Forged::Stale));
    assert_eq!(forged(-301, SECRET), NoClick::Forged(Forged::Stale));
    assert_eq!(
        clicks
            .read(None, None, body(&good).as_bytes(), now())
            .unwrap_err(),
        NoClick::Forged(Forged::Malformed)
    );
    // Signed by the app of another target.
    assert!(matches!(
        read(&clicks, "another", 0, &body(&good)),
        Err(NoClick::Unreadable(_))
    ));

    let mut other = good.clone();
    other["team"]["id"] = json!("T2");
    assert!(matches!(
        read(&clicks, SECRET, 0, &body(&other)),
        Err(NoClick::Unreadable(_))
    ));
    let mut other = good.clone();
    other["user"] = json!({ "id": "U2", "username": "ada@example.com", "name": "U1" });
    assert_eq!(read(&clicks, SECRET, 0, &body(&other)).unwrap().user, None);
    let mut other = good.clone();
    other["actions"][0]["action_id"] = json!("immune_open");
    assert_eq!(
        read(&clicks, SECRET, 0, &body(&other)).unwrap_err(),
        NoClick::Nothing
    );
    let mut other = good.clone();
    other["actions"][0]["value"] = json!("{}");
    assert!(matches!(
        read(&clicks, SECRET, 0, &body(&other)),
        Err(NoClick::Unreadable(_))
    ));
    assert!(matches!(
        read(&clicks, SECRET, 0, "payload=x"),
        Err(NoClick::Unreadable(_))
    ));
    assert!(matches!(
        read(&clicks, SECRET, 0, ""),
        Err(NoClick::Unreadable(_))
    ));
}

/// Scenario: requests that name places for the answer: one of Slack's, and somebody else's.
/// Guarantees: answers go to Slack's origin and nowhere else.
#[tokio::test]
async fn answers_go_to_slack_only() {
    let (stores, slack, elsewhere) = (memory::stores(), Receiver::start().await, Receiver::start().await);
    let clicks = clicks(&slack.url(""));
    let case = open_case(&stores, "a", 8.0).await;
    let value = json!({ "t": "ops", "c": case.id, "v": case.version, "s": stamp(&case) });
    for (url, arrives) in [
        (slack.url("/actions/1"), true),
        (elsewhere.url("/actions/1"), false),
    ] {
        let mut payload = payload(value.clone());
        payload["response_url"] = json!(url);
        read(&clicks, SECRET, 0, &body(&payload))
            .unwrap()
            .tell("no <!channel>")
            .await;
        assert_eq!(slack.got().len(), usize::from(arrives), "{url}");
        slack.forget();
    }
    assert!(elsewhere.got().is_empty());
}

/// Guarantees: what bears on the decision changes the stamp, what does not leaves it.
#[tokio::test]
async fn stamps_follow_what_is_decided() {
    let case = open_case(&memory::stores(), "a", 8.0).await;
    let mut other = case.clone();
    other.version = 9;
    other.quarantine.levers[0].attempts = 4;
    assert_eq!(stamp(&case), stamp(&other));
    other.infection.severity = 8.1;
    assert_ne!(stamp(&case), stamp(&other));
}
