//! Sessions that an API key opens.

use crate::browser::{Browser, client, json};
use crate::world::{KEY, Replica, World};
use immune_door::keys::NewKey;
use immune_runtime::access::{Caller, Role};
use immune_runtime::clock::Clock;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json as value};

async fn post(browser: &mut Browser, replica: &Replica, body: Value) -> Response {
    browser
        .send(Method::POST, &replica.at("/auth/key"), |request| {
            request.json(&body)
        })
        .await
}

/// A world without a provider at work: nobody asks it for anything here.
async fn world() -> World {
    World::of("http://127.0.0.1:1", |_| {}).await
}

/// Scenario: a configured key as JSON by a program and by a page, and as a form.
/// Guarantees: a session with the key's role and runs; the key is in no answer; the way back is a page of ours.
#[tokio::test]
async fn a_key_opens_a_session() {
    let mut world = world().await;
    let replica = world.replica().await;
    let mut page = Browser::new();
    let response = post(&mut page, &replica, value!({ "key": KEY, "then": "/approvals" })).await;
    assert_eq!(
        json(response).await,
        (StatusCode::OK, value!({ "then": "/approvals" }))
    );
    let mut form = Browser::new();
    let body = format!("key={}&then=//evil.example", KEY.replace(' ', "+"));
    let response = form
        .send(Method::POST, &replica.at("/auth/key"), |request| {
            request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body)
        })
        .await;
    assert_eq!(Browser::leads(&response).unwrap().path(), "/");
    for browser in [&mut page, &mut form] {
        let (status, me) = replica.me(browser).await;
        assert_eq!(status, StatusCode::OK);
        let found = [&me["subject"], &me["via"], &me["role"], &me["runs"][0]];
        assert_eq!(found, ["kim", "api_key:kim", "operator", "blue"]);
        assert!(!browser.jar["immune"].contains(KEY));
    }
    assert_eq!(replica.log_out(&mut page).await, replica.at("/login"));
    assert!(!replica.is_in(&mut page).await);
}

/// Scenario: a key that was created here opens a session; then it is revoked. Another one expires.
/// Guarantees: the session ends with its key, at once where it was revoked.
#[tokio::test]
async fn a_session_ends_with_its_key() {
    let mut world = world().await;
    let replica = world.replica().await;
    let hour = std::time::Duration::from_secs(3_600);
    let now = world.clock.now();
    let new = |name: &str, expires_at| NewKey {
        name: name.to_owned(),
        role: Role::Viewer,
        runs: Vec::new(),
        expires_at,
    };
    let keys = replica.door.keys();
    let admin = Caller::loopback();
    let revoked = keys
        .create(new("revoked", None), &admin, true, now)
        .await
        .unwrap();
    let expiring = keys
        .create(new("expiring", Some(now.plus(hour / 2))), &admin, true, now)
        .await
        .unwrap();
    let (mut one, mut other) = (Browser::new(), Browser::new());
    post(&mut one, &replica, value!({ "key": revoked.secret.expose() })).await;
    post(&mut other, &replica, value!({ "key": expiring.secret.expose() })).await;
    assert!(replica.is_in(&mut one).await && replica.is_in(&mut other).await);
    keys.revoke(&revoked.key.id, &admin, true, now).await.unwrap();
    assert!(!replica.is_in(&mut one).await);
    assert!(replica.is_in(&mut other).await);
    world.clock.advance(hour / 2);
    assert!(!replica.is_in(&mut other).await);
}

/// Scenario: the configuration gives a key's name another secret, and the process starts again.
/// Guarantees: sessions of the old secret are over; a restart with the same one costs none.
#[tokio::test]
async fn a_new_secret_ends_sessions_of_the_old() {
    let mut world = world().await;
    let mut browser = Browser::new();
    let replica = world.replica().await;
    post(&mut browser, &replica, value!({ "key": KEY })).await;
    assert!(replica.is_in(&mut browser).await);
    let same = world.replica().await;
    assert!(same.is_in(&mut browser).await);
    world.key = "another key that is long enough".to_owned();
    let changed = world.replica().await;
    assert!(!changed.is_in(&mut browser).await);
}

/// Scenario: wrong keys, a body without one, one of a program, and more wrong ones than may be guessed.
/// Guarantees: no session; pages are led to the login page, programs get a problem; guessing is locked out; what was
/// sent is in no answer and no log row.
#[tokio::test]
async fn wrong_keys_open_nothing() {
    let mut world = world().await;
    let replica = world.replica().await;
    let mut browser = Browser::new();
    let response = post(
        &mut browser,
        &replica,
        value!({ "key": "guess-0 of a key", "then": "/cases" }),
    )
    .await;
    let to = Browser::leads(&response).unwrap();
    assert_eq!(
        (to.path(), to.query()),
        ("/login", Some("error=unknown_key&then=%2Fcases"))
    );
    let by_program = |body: Value| client().post(replica.at("/auth/key")).json(&body).send();
    for bad in [value!({}), value!({ "key": 7 }), value!([])] {
        let (status, problem) = json(by_program(bad).await.unwrap()).await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (StatusCode::BAD_REQUEST, &value!("key"))
        );
    }
    let new = NewKey {
        name: "sender".to_owned(),
        role: Role::Ingest,
        runs: Vec::new(),
        expires_at: None,
    };
    let now = world.clock.now();
    let made = replica
        .door
        .keys()
        .create(new, &Caller::loopback(), true, now)
        .await
        .unwrap();
    let (status, _) = json(by_program(value!({ "key": made.secret.expose() })).await.unwrap()).await;
    assert_eq!(
        status,
        StatusCode::FORBIDDEN,
        "a key of a program is for no person"
    );
    let mut last = StatusCode::OK;
    for n in 1..12 {
        let (status, problem) = json(
            by_program(value!({ "key": format!("guess-{n} of a key") }))
                .await
                .unwrap(),
        )
        .await;
        assert!(!problem.to_string().contains("guess-"));
        last = status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    let response = post(&mut browser, &replica, value!({ "key": KEY })).await;
    assert_eq!(
        Browser::leads(&response).unwrap().query(),
        Some("error=locked_out")
    );
    assert!(!replica.is_in(&mut browser).await);
    let rows = world
        .stores
        .action_log
        .recent(&Default::default(), None, 100)
        .await
        .unwrap();
    assert!(rows.iter().any(|row| row.row.kind == "login_refused"));
    assert!(!serde_json::to_string(&rows).unwrap().contains("guess-"));
}
