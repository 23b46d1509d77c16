//! Buttons that were pressed in Slack.

use crate::world::{World, key, ring, said};
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use immune_dashboard::Config;
use immune_domain::case::Case;
use immune_notify::{Front, stamp};
use immune_runtime::access::Role;
use immune_runtime::clock::{Clock, System};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// Where Slack takes answers.
struct Slack {
    url: String,
    answers: Arc<Mutex<Vec<Value>>>,
}

impl Slack {
    async fn start() -> Self {
        let answers: Arc<Mutex<Vec<Value>>> = Arc::default();
        let take = async |State(answers): State<Arc<Mutex<Vec<Value>>>>,
                          axum::Json(body): axum::Json<Value>| {
            answers.lock().unwrap().push(body);
        };
        let router = Router::new()
            .route("/actions/{id}", post(take))
            .with_state(answers.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Slack { url, answers }
    }

    /// What the presser alone was told last.
    fn told(&self) -> String {
        let answers = self.answers.lock().unwrap();
        let last = answers
            .iter()
            .rev()
            .find(|answer| answer["response_type"] == "ephemeral");
        last.map(|answer| answer["text"].as_str().unwrap().to_owned())
            .unwrap_or_default()
    }

    /// How the message was replaced last.
    fn shown(&self) -> Option<String> {
        let answers = self.answers.lock().unwrap();
        let last = answers
            .iter()
            .rev()
            .find(|answer| answer["replace_original"] == true);
        last.map(|answer| answer["blocks"].to_string())
    }
}

async fn world(slack: &Slack) -> World {
    // A second installation is refused and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = json!({ "external_url": "https://immune.example.com", "targets": [{ "name": "ops", "slack": {
        "webhook_url": "http://127.0.0.1:1/", "signing_secret": SECRET, "response_origin": slack.url,
        "users": {
            "UADA": { "subject": "ada@example.com", "role": "operator" },
            "UVIEW": { "subject": "vic@example.com", "role": "viewer" },
            "UBLUE": { "subject": "bob@example.com", "role": "admin", "runs": ["blue"] } } } }] });
    let config: immune_notify::Config = serde_json::from_value(config).unwrap();
    let keys = ring(&[("ada-admin", Role::Admin, &[])]);
    World::changed(Config::default(), keys, |dependencies| {
        let store = dependencies.notifications.store.clone();
        dependencies.notifications = Front::new(&config, store).unwrap();
    })
    .await
}

/// A click on the message that showed this case.
struct Click<'a> {
    slack: &'a Slack,
    user: &'a str,
    action: &'a str,
    case: &'a Case,
    secret: &'a str,
    age_seconds: i64,
}

impl Click<'_> {
    async fn press(self, world: &World) -> StatusCode {
        let shown = self.case;
        let value = json!({ "t": "ops", "c": shown.id, "v": shown.version, "s": stamp(shown) });
        let payload = json!({
            "type": "block_actions", "user": { "id": self.user, "username": "ada@example.com" },
            "response_url": format!("{}/actions/1", self.slack.url),
            "actions": [{ "action_id": self.action, "value": value.to_string() }],
        });
        let body = format!(
            "payload={}",
            payload
                .to_string()
                .replace('%', "%25")
                .replace('&', "%26")
                .replace('+', "%2B")
        );
        let seconds = System.now().as_micros() / 1_000_000 - self.age_seconds;
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(format!("v0:{seconds}:{body}").as_bytes());
        let signature = format!("v0={}", hex::encode(mac.finalize().into_bytes()));
        let request = world.client.post(world.url("/chat/slack")).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("x-slack-request-timestamp", seconds);
        let response = request
            .header("x-slack-signature", signature)
            .send()
            .await
            .unwrap();
        said(response).await.0
    }
}

fn click<'a>(slack: &'a Slack, user: &'a str, case: &'a Case) -> Click<'a> {
    Click {
        slack,
        user,
        action: "immune_approve",
        case,
        secret: SECRET,
        age_seconds: 0,
    }
}

fn state(world: &World) -> String {
    world.fleet.cases.lock().unwrap()[0].state.as_str().to_owned()
}

/// Scenario: a mapped operator presses Approve, and once more; then somebody else rejects by the old message.
/// Guarantees: the decision is taken under the mapped subject, never under the name in the message; the second is
/// told who was first; the message shows who decided and has no buttons.
#[tokio::test]
async fn a_mapped_person_decides() {
    let slack = Slack::start().await;
    let world = world(&slack).await;
    let case = world.fleet.open_case(&key("a"), 8.0);
    assert_eq!(click(&slack, "UADA", &case).press(&world).await, StatusCode::OK);
    assert_eq!(state(&world), "heal_queued");
    let last = world.fleet.cases.lock().unwrap()[0]
        .last_decision
        .clone()
        .unwrap();
    assert_eq!(
        (last.by.subject.as_str(), last.by.via.as_str()),
        ("ada@example.com", "slack:UADA")
    );
    assert_eq!(slack.told(), "The case is approved by you as ada@example.com.");
    let shown = slack.shown().unwrap();
    assert!(
        shown.contains("approved by ada@example.com") && !shown.contains("immune_approve"),
        "{shown}"
    );

    let late = Click {
        action: "immune_reject",
        ..click(&slack, "UADA", &case)
    };
    assert_eq!(late.press(&world).await, StatusCode::OK);
    assert_eq!(state(&world), "heal_queued");
    assert!(
        slack
            .told()
            .starts_with("Nothing was decided: case was already approved by ada@example.com"),
        "{}",
        slack.told()
    );
}

/// Scenario: strangers to Slack press: no signature, a wrong one, an old one.
/// Guarantees: 401, nothing is decided, nothing is answered, and the log has a row for each.
#[tokio::test]
async fn forged_clicks_do_nothing() {
    let slack = Slack::start().await;
    let world = world(&slack).await;
    let case = world.fleet.open_case(&key("a"), 8.0);
    let forged = Click {
        secret: "guess",
        ..click(&slack, "UADA", &case)
    };
    assert_eq!(forged.press(&world).await, StatusCode::UNAUTHORIZED);
    let old = Click {
        age_seconds: 400,
        ..click(&slack, "UADA", &case)
    };
    assert_eq!(old.press(&world).await, StatusCode::UNAUTHORIZED);
    let bare = world
        .client
        .post(world.url("/chat/slack"))
        .body("payload={}")
        .send()
        .await
        .unwrap();
    assert_eq!(bare.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(state(&world), "awaiting_approval");
    assert!(slack.answers.lock().unwrap().is_empty());
    let log = world.log().await;
    let refused = log
        .iter()
        .filter(|row| row.row.payload["refused_because"] == "signature")
        .count();
    assert_eq!(refused, 3);
}

/// Scenario: somebody who is mapped to nobody, a viewer, and an admin of another run press.
/// Guarantees: each is told why not, nothing is decided, and the log says who tried.
#[tokio::test]
async fn those_who_may_not_are_told() {
    let slack = Slack::start().await;
    let world = world(&slack).await;
    let case = world.fleet.open_case(&key("a"), 8.0);
    for (user, said, because, actor) in [
        ("UNOBODY", "not mapped to a login", "unmapped", "unknown"),
        ("UVIEW", "with role viewer", "role", "vic@example.com"),
        ("UBLUE", "there is no case", "case", "bob@example.com"),
    ] {
        assert_eq!(click(&slack, user, &case).press(&world).await, StatusCode::OK);
        assert!(slack.told().contains(said), "{user}: {}", slack.told());
        let rows = world
            .stores
            .action_log
            .recent(&immune_domain::RunId::default(), None, 10)
            .await
            .unwrap();
        let blue = world
            .stores
            .action_log
            .recent(&immune_domain::RunId::new("blue"), None, 10)
            .await
            .unwrap();
        let row = rows
            .iter()
            .chain(&blue)
            .find(|row| row.row.payload["refused_because"] == because)
            .unwrap();
        assert_eq!(row.row.actor, actor);
        assert!(
            row.row.payload["reason"].as_str().unwrap().contains(user),
            "{:?}",
            row.row
        );
    }
    assert_eq!(state(&world), "awaiting_approval");
}

/// Scenario: the case becomes worse after the message was written; then only a lever is asked once more.
/// Guarantees: an old message cannot decide what it did not show, and is replaced by one that can; what does not bear
/// on the decision does not stand in its way.
#[tokio::test]
async fn an_old_message_decides_nothing_new() {
    let slack = Slack::start().await;
    let world = world(&slack).await;
    let shown = world.fleet.open_case(&key("a"), 8.0);
    let changed = {
        let mut cases = world.fleet.cases.lock().unwrap();
        cases[0].version += 1;
        cases[0].infection.severity = 9.9;
        cases[0].clone()
    };
    assert_eq!(click(&slack, "UADA", &shown).press(&world).await, StatusCode::OK);
    assert_eq!(state(&world), "awaiting_approval");
    assert!(
        slack.told().starts_with("Nothing was decided"),
        "{}",
        slack.told()
    );
    let replaced = slack.shown().unwrap();
    assert!(
        replaced.contains("severity 9.9") && replaced.contains("immune_approve"),
        "{replaced}"
    );

    world.fleet.cases.lock().unwrap()[0].version += 3;
    assert_eq!(
        click(&slack, "UADA", &changed).press(&world).await,
        StatusCode::OK
    );
    assert_eq!(state(&world), "heal_queued");
}
