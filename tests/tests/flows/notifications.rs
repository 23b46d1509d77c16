//! Others are told, and answer.

use crate::world::World;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::{Json, Router};
use hmac::{Hmac, KeyInit, Mac};
use immune_tests::wait_for;
use immune_tests::wiring::Wiring;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;

immune_tests::in_both_wirings!(approved_in_slack);

const SIGNING_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const STEP_MAX: Duration = Duration::from_secs(60);

/// What the receivers have got.
#[derive(Default)]
struct Got {
    /// Kinds of events at the webhook, with the agents they are of.
    events: Vec<(String, String)>,
    /// The blocks of Slack's one message, as they are now; and how many messages were posted.
    blocks: Value,
    posted: usize,
    /// What the presser was told.
    told: Vec<String>,
}

type Shared = Arc<Mutex<Got>>;

async fn take(State(got): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Json<Value> {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut got = got.lock().expect("no handler panics while it holds this");
    match uri.path() {
        "/hook" => {
            assert!(headers.contains_key("webhook-signature"), "every event is signed");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            got.events
                .push((text(&body["type"]), text(&body["data"]["agent_id"])));
        }
        "/api/chat.postMessage" => {
            got.posted += usize::from(body["thread_ts"].is_null());
            got.blocks = body["blocks"].clone();
        }
        "/api/chat.update" => got.blocks = body["blocks"].clone(),
        "/actions/1" => got
            .told
            .push(body["text"].as_str().unwrap_or_default().to_owned()),
        other => panic!("nothing is asked of {other}"),
    }
    Json(json!({ "ok": true, "channel": "C1", "ts": "1.1" }))
}

/// The value of the button that approves, as the message has it.
fn approve_button(blocks: &Value) -> Option<String> {
    let actions = blocks
        .as_array()?
        .iter()
        .find(|block| block["type"] == "actions")?;
    let button = actions["elements"]
        .as_array()?
        .iter()
        .find(|button| button["action_id"] == "immune_approve")?;
    button["value"].as_str().map(str::to_owned)
}

/// Presses a button as Slack does.
async fn press(base: &str, receiver: &str, value: &str, secret: &str) -> StatusCode {
    let payload = json!({
        "type": "block_actions", "user": { "id": "UADA", "username": "somebody" },
        "response_url": format!("{receiver}/actions/1"),
        "actions": [{ "action_id": "immune_approve", "value": value }],
    });
    let encoded =
        percent_encoding::utf8_percent_encode(&payload.to_string(), percent_encoding::NON_ALPHANUMERIC)
            .to_string();
    let body = format!("payload={encoded}");
    #[allow(
        clippy::disallowed_methods,
        reason = "the test plays Slack, which has a clock of its own"
    )]
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(format!("v0:{seconds}:{body}").as_bytes());
    let request = reqwest::Client::new()
        .post(format!("{base}/chat/slack"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-slack-request-timestamp", seconds)
        .header(
            "x-slack-signature",
            format!("v0={}", hex::encode(mac.finalize().into_bytes())),
        )
        .body(body);
    request.send().await.expect("the server answers").status()
}

/// Scenario: an agent falls severely ill; a webhook and a Slack channel hear of it; a forged click comes, then a
/// mapped person presses Approve in Slack.
/// Guarantees: the forged one does nothing; the approval heals the agent under the mapped name; the one message says so
/// in the end; the webhook has every event of the case once and in order.
async fn approved_in_slack(wiring: Wiring) {
    let got = Shared::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let receiver = format!("http://{}", listener.local_addr().expect("it is bound"));
    let router = Router::new().fallback(take).with_state(got.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let notify = json!({ "external_url": "https://immune.example.com", "interval_ms": 100, "targets": [
        { "name": "hook", "webhook": { "url": format!("{receiver}/hook"), "secret": "a-secret-of-more-than-24-bytes" } },
        { "name": "ops", "slack": {
            "token": "xoxb-1", "channel": "C1", "signing_secret": SIGNING_SECRET,
            "api_url": format!("{receiver}/api"), "response_origin": receiver,
            "users": { "UADA": { "subject": "ada@example.com", "role": "operator" } } } } ] });
    let world = World::start(wiring, json!({ "notify": notify })).await;
    let agent = world.learned_agent().await;
    world.infect_severely(&agent).await;
    let case = world.case_in(&agent, "awaiting_approval").await;
    let value = wait_for("Slack has a message with a button", STEP_MAX, || async {
        approve_button(&got.lock().expect("no panic").blocks)
    })
    .await;

    assert_eq!(
        press(&world.base(), &receiver, &value, "guess").await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(world.case_in(&agent, "awaiting_approval").await, case);
    assert_eq!(
        press(&world.base(), &receiver, &value, SIGNING_SECRET).await,
        StatusCode::OK
    );
    wait_for("the presser is told", STEP_MAX, || async {
        let told = got.lock().expect("no panic").told.clone();
        told.iter()
            .any(|text| text.contains("approved by you as ada@example.com"))
            .then_some(())
    })
    .await;
    world.case_in(&agent, "healed").await;
    world.free(&agent).await;
    let wanted =
        ["opened", "waiting", "decided", "healed", "released"].map(|kind| format!("io.immune.case.{kind}"));
    wait_for("the webhook has heard everything", STEP_MAX, || async {
        let events = got.lock().expect("no panic").events.clone();
        let kinds: Vec<String> = events
            .into_iter()
            .filter(|(_, of)| *of == agent)
            .map(|(kind, _)| kind)
            .collect();
        (kinds == wanted).then_some(())
    })
    .await;
    wait_for("the message says how it ended", STEP_MAX, || async {
        let text = got.lock().expect("no panic").blocks.to_string();
        (text.contains("approved by ada@example.com") && text.contains("healed by")).then_some(())
    })
    .await;
    assert_eq!(got.lock().expect("no panic").posted, 1);
    let targets = world.api.get("/api/notifications").await.expect("the listing");
    assert!(
        targets["targets"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|target| target["state"] == "ok"),
        "{targets}"
    );
}
