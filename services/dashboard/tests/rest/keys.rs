//! API keys that people create, and what guessing them costs.

use crate::world::{World, ring, said, secret};
use immune_dashboard::Config;
use immune_door::{Door, Keys, Metrics, Setup};
use immune_runtime::access::{KeyRing, Role};
use immune_store::memory;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A server on loopback with these configured keys and a store of keys.
async fn world(keys: KeyRing) -> World {
    let setup = Setup {
        rest_is_loopback: true,
        otlp_is_loopback: true,
        has_login: false,
    };
    let keys = Keys::new(keys, Some(memory::stores().access), Metrics::default());
    keys.refresh().await.unwrap();
    let door = Door::new(&immune_door::Config::default(), keys, setup, Metrics::default());
    World::changed(Config::default(), KeyRing::default(), |d| d.door = door).await
}

async fn ask(
    world: &World,
    key: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (StatusCode, Value) {
    said(world.send(method, path, &[("X-API-Key", key)], body).await).await
}

/// Scenario: an open server; a key for a program first, then one for its administrator; a stranger comes.
/// Guarantees: the first key cannot lock everybody out, and closes the door at once.
#[tokio::test]
async fn the_first_key_closes_the_door() {
    let world = world(KeyRing::default()).await;
    assert_eq!(world.read("/api/status").await["access"], "open_loopback");
    let first = json!({ "name": "agents", "role": "ingest" });
    let (status, body) = world.post("/api/keys", first.clone()).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    assert_eq!(body["type"], "urn:immune:problem:keys.first_must_be_admin");
    let (status, root) = world
        .post("/api/keys", json!({ "name": "root", "role": "admin" }))
        .await;
    assert_eq!(status, StatusCode::CREATED, "{root}");
    let (status, _) = world.get("/api/status").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let root = root["secret"].as_str().unwrap();
    let (status, body) = ask(&world, root, Method::POST, "/api/keys", Some(first)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let (status, body) = ask(&world, root, Method::GET, "/api/status", None).await;
    assert_eq!(
        (status, &body["access"], &body["caller"]),
        (StatusCode::OK, &json!("keys"), &json!("root"))
    );
}

/// Scenario: an administrator creates, lists and revokes keys; others try the same.
/// Guarantees: a secret is shown once and kept nowhere; every change is in the action log by name; an administrator of
/// some runs stays within them; nobody else gets near.
#[tokio::test]
async fn keys_are_created_listed_and_revoked() {
    let world = world(ring(&[
        ("ada", Role::Admin, &[]),
        ("bea", Role::Admin, &["blue"]),
        ("olga", Role::Operator, &[]),
    ]))
    .await;
    let (ada, bea, olga) = (secret("ada"), secret("bea"), secret("olga"));
    let wanted = json!({ "name": "ci", "role": "viewer", "runs": ["blue"], "expires_in_seconds": 3600 });
    let (status, made) = ask(&world, &ada, Method::POST, "/api/keys", Some(wanted.clone())).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let (id, ci) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert!(ci.starts_with("imk_") && ci.len() == 47);
    let lasts = made["expires_at"].as_f64().unwrap() - made["created_at"].as_f64().unwrap();
    assert!((lasts - 3_600.0).abs() < 0.01, "{made}");
    let (status, body) = ask(&world, ci, Method::GET, "/api/status", None).await;
    assert_eq!(
        (status, &body["run_id"], &body["role"]),
        (StatusCode::OK, &json!("blue"), &json!("viewer"))
    );

    let (_, listed) = ask(&world, &bea, Method::GET, "/api/keys", None).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(
        (&listed[0]["name"], &listed[0]["state"]),
        (&json!("ci"), &json!("active"))
    );
    assert!(!listed.to_string().contains("imk_") && listed[0].get("hash").is_none());

    let refusals = [
        (&ada, wanted.clone(), 409, "keys.name_taken"),
        (
            &bea,
            json!({ "name": "x", "role": "viewer", "runs": ["red"] }),
            403,
            "keys.run_outside",
        ),
        (
            &ada,
            json!({ "name": "x y", "role": "viewer" }),
            400,
            "request.invalid",
        ),
        (
            &ada,
            json!({ "name": "x", "role": "root" }),
            400,
            "request.invalid",
        ),
        (
            &ada,
            json!({ "name": "ada", "role": "viewer" }),
            400,
            "request.invalid",
        ),
        (
            &ada,
            json!({ "name": "x", "role": "viewer", "expires_at": 1 }),
            400,
            "request.invalid",
        ),
        (
            &ada,
            json!({ "name": "x", "role": "viewer", "expires_at": 9e9, "expires_in_seconds": 5 }),
            400,
            "request.invalid",
        ),
        (&olga, wanted.clone(), 403, "access.role"),
        (&ci.to_owned(), wanted.clone(), 403, "access.role"),
    ];
    for (key, body, status, word) in refusals {
        let answer = ask(&world, key, Method::POST, "/api/keys", Some(body.clone())).await;
        assert_eq!(answer.0.as_u16(), status, "{body}: {}", answer.1);
        assert_eq!(answer.1["type"], format!("urn:immune:problem:{word}"), "{body}");
    }
    let path = format!("/api/keys/{id}");
    let (status, body) = ask(&world, &bea, Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        ask(&world, ci, Method::GET, "/api/status", None).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        ask(&world, &ada, Method::DELETE, &path, None).await.0,
        StatusCode::NOT_FOUND
    );
    let (_, listed) = ask(&world, &ada, Method::GET, "/api/keys", None).await;
    assert_eq!(
        (&listed[0]["state"], &listed[0]["revoked_by"]),
        (&json!("revoked"), &json!("bea"))
    );

    let (_, rows) = ask(&world, &ada, Method::GET, "/api/action-log", None).await;
    let (_, of_blue) = ask(&world, &bea, Method::GET, "/api/action-log", None).await;
    let mut rows: Vec<Value> = [rows, of_blue]
        .iter()
        .flat_map(|rows| rows.as_array().unwrap().clone())
        .filter(|row| row["type"].as_str().unwrap().starts_with("key_"))
        .map(|row| json!([row["type"], row["actor"], row["outcome"], row["payload"]["name"]]))
        .collect();
    rows.sort_by_key(Value::to_string);
    assert_eq!(
        rows,
        [
            json!(["key_created", "ada", "done", "ci"]),
            json!(["key_created", "bea", "refused", "x"]),
            json!(["key_revoked", "bea", "done", "ci"]),
        ]
    );
}

/// Scenario: a program on the administrator's machine guesses keys.
/// Guarantees: the tenth guess is answered with 429 and a time to wait, also for a right key that nobody has used from
/// there; the administrator, who has, works on.
#[tokio::test]
async fn guesses_are_locked_out() {
    let world = world(ring(&[("ada", Role::Admin, &[]), ("new", Role::Admin, &[])])).await;
    let ada = secret("ada");
    assert_eq!(
        ask(&world, &ada, Method::GET, "/api/status", None).await.0,
        StatusCode::OK
    );
    for n in 0..9 {
        let guess = format!("imk_guess-{n}");
        let (status, _) = ask(&world, &guess, Method::GET, "/api/status", None).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{n}");
    }
    for guess in ["imk_guess-9", &secret("new")] {
        let response = world
            .send(Method::GET, "/api/status", &[("X-API-Key", guess)], None)
            .await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS, "{guess}");
        let wait: u64 = response.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=30).contains(&wait), "{wait}");
    }
    assert_eq!(
        ask(&world, &ada, Method::GET, "/api/status", None).await.0,
        StatusCode::OK
    );
}

/// Scenario: one key writes and reads without pause; the same key posts telemetry; another key reads.
/// Guarantees: the one is told when to go on, telemetry is never slowed, others do not notice.
#[tokio::test]
async fn who_asks_too_often_waits() {
    let world = world(ring(&[("ada", Role::Admin, &[]), ("eve", Role::Viewer, &[])])).await;
    let (ada, eve) = (secret("ada"), secret("eve"));
    let mut slowed = None;
    for _ in 0..1_000 {
        let response = world
            .send(
                Method::POST,
                "/api/feedback",
                &[("X-API-Key", &ada)],
                Some(json!({})),
            )
            .await;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            slowed = Some(response);
            break;
        }
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!(slowed.unwrap().headers()["retry-after"], "1");
    assert_eq!(
        ask(&world, &eve, Method::GET, "/api/status", None).await.0,
        StatusCode::OK
    );
    for n in 0..200 {
        let row = json!({ "action_type": "x", "agent_id": "a", "payload": { "n": n } });
        let (status, body) = ask(&world, &ada, Method::POST, "/api/v1/action-log", Some(row)).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{n}: {body}");
    }
}
