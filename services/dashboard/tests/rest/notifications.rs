//! Outgoing notifications: listed, retried, discarded, tried.

use crate::world::{World, key, ring, said, secret};
use immune_dashboard::Config;
use immune_domain::{AgentKey, CaseId, Timestamp};
use immune_notify::Front;
use immune_runtime::access::Role;
use immune_store::cases::NewEvent;
use immune_store::notifications::{Notification, NotificationStore, Outcome, Settled};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

fn config() -> immune_notify::Config {
    let webhook = json!({ "url": "http://127.0.0.1:1/", "secret": "a-secret-of-more-than-24-bytes" });
    let targets =
        json!([{ "name": "hook", "webhook": webhook.clone() }, { "name": "never-held", "webhook": webhook }]);
    serde_json::from_value(json!({ "targets": targets })).unwrap()
}

async fn world() -> World {
    let keys = ring(&[
        ("ada-admin", Role::Admin, &[]),
        ("bob-bound", Role::Admin, &["blue"]),
    ]);
    World::changed(Config::default(), keys, |dependencies| {
        let store = dependencies.notifications.store.clone();
        dependencies.notifications = Front::new(&config(), store).unwrap();
    })
    .await
}

async fn dead_letter(store: &dyn NotificationStore, target: &str, n: u64, key: AgentKey) {
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    let event = NewEvent {
        kind: "case_opened".to_owned(),
        case: CaseId::new("case-1"),
        key,
        at: at(1_000),
        text: "severity 8.0".to_owned(),
        payload: json!({}),
    };
    let hold = store.hold(target, "w", at(0), at(1), 0).await.unwrap().unwrap();
    let row = Notification::new(format!("{target}.{n}"), target, n, event, at(1_000));
    assert!(
        store
            .take_in(target, hold.fence, n, std::slice::from_ref(&row))
            .await
            .unwrap()
    );
    store
        .begin(target, hold.fence, at(1_001), at(1_002), 10)
        .await
        .unwrap();
    let outcome = Outcome::Dead {
        error: "410 Gone".to_owned(),
    };
    store
        .settle(target, hold.fence, at(1_003), &[Settled { id: row.id, outcome }])
        .await
        .unwrap();
}

async fn ask(world: &World, who: &str, method: Method, path: &str) -> (StatusCode, Value) {
    said(
        world
            .send(method, path, &[("X-API-Key", &secret(who))], None)
            .await,
    )
    .await
}

/// Scenario: two dead letters, of two runs; one is retried, one discarded, by an admin and by one of another run.
/// Guarantees: states and reasons are told, a bound admin sees its runs only, each act happens once and is recorded.
#[tokio::test]
async fn dead_letters_are_looked_after() {
    let world = world().await;
    let store = &*world.stores.notifications;
    dead_letter(store, "hook", 7, key("a")).await;
    dead_letter(store, "hook", 8, AgentKey::new("blue", "b")).await;
    dead_letter(store, "gone", 9, key("c")).await;
    let (status, body) = ask(&world, "ada-admin", Method::GET, "/api/notifications").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let states: Vec<(&str, &str, u64)> = body["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| {
            let text = |name: &str| target[name].as_str().unwrap();
            (text("name"), text("state"), target["dead"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(
        states,
        [
            ("hook", "failing", 2),
            ("never-held", "waiting", 0),
            ("gone", "removed", 1)
        ]
    );
    assert_eq!(
        body["targets"][0]["last_error"],
        json!({ "at": 1_003.0, "text": "410 Gone" })
    );
    assert_eq!(body["dead_letters"].as_array().unwrap().len(), 3);
    let letter = body["dead_letters"]
        .as_array()
        .unwrap()
        .iter()
        .find(|letter| letter["id"] == "hook.7")
        .unwrap();
    assert_eq!(
        (&letter["error"], &letter["agent_id"], &letter["attempts"]),
        (&json!("410 Gone"), &json!("a"), &json!(1))
    );

    let (_, body) = ask(&world, "bob-bound", Method::GET, "/api/notifications?target=hook").await;
    assert_eq!(body["dead_letters"].as_array().unwrap().len(), 1);
    for (who, method, path, wanted) in [
        ("bob-bound", Method::POST, "/api/notifications/hook.7/retry", 404),
        ("ada-admin", Method::POST, "/api/notifications/hook.7/retry", 200),
        ("ada-admin", Method::POST, "/api/notifications/hook.7/retry", 404),
        ("ada-admin", Method::DELETE, "/api/notifications/hook.7", 404),
        ("bob-bound", Method::DELETE, "/api/notifications/hook.8", 200),
        ("bob-bound", Method::DELETE, "/api/notifications/hook.8", 404),
    ] {
        let (status, body) = ask(&world, who, method, path).await;
        assert_eq!(status.as_u16(), wanted, "{who} {path}: {body}");
    }
    assert_eq!(
        store
            .targets()
            .await
            .unwrap()
            .iter()
            .find(|t| t.name == "hook")
            .unwrap()
            .waiting,
        1
    );
    let log = world.log().await;
    assert!(
        log.iter()
            .any(|row| row.row.kind == "notification_retried" && row.row.actor == "ada-admin")
    );
}

/// Scenario: a configured target, one that nobody has delivered to, and one that is not configured are tried.
/// Guarantees: the first gets a test notification, the others are refused with the reason.
#[tokio::test]
async fn targets_are_tried() {
    let world = world().await;
    let store = &world.stores.notifications;
    let now = Timestamp::from_micros(0);
    store.hold("hook", "w", now, now, 0).await.unwrap();
    let (status, body) = ask(
        &world,
        "ada-admin",
        Method::POST,
        "/api/notifications/targets/hook/test",
    )
    .await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    let row = store.get(body["id"].as_str().unwrap()).await.unwrap().unwrap();
    assert_eq!((row.event.kind.as_str(), row.target.as_str()), ("test", "hook"));
    assert!(row.event.text.starts_with("ada-admin "), "{}", row.event.text);
    for (target, wanted) in [("never-held", 409), ("nobody", 404)] {
        let path = format!("/api/notifications/targets/{target}/test");
        assert_eq!(
            ask(&world, "ada-admin", Method::POST, &path).await.0.as_u16(),
            wanted,
            "{target}"
        );
    }
}
