//! The page's session: who it is, its writes, its end.

use crate::world::{DEADLINE, World, ring, said, secret};
use immune_dashboard::Config;
use immune_runtime::access::Role;
use reqwest::header::SET_COOKIE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn keyed() -> World {
    let keys = ring(&[
        ("eve-viewer", Role::Viewer, &[]),
        ("olga-operator", Role::Operator, &[]),
    ]);
    World::with(Config::default(), keys).await
}

/// Types a key into the login page; returns the cookie.
async fn enter(world: &World, name: &str) -> String {
    let body = json!({ "key": secret(name), "then": "/approvals" });
    let response = world.send(Method::POST, "/auth/key", &[], Some(body)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

async fn me(world: &World, cookie: &str) -> (StatusCode, Value) {
    said(
        world
            .send(Method::GET, "/api/me", &[("Cookie", cookie)], None)
            .await,
    )
    .await
}

/// Guarantees: a stranger is told the ways in; a key, a session and an open door each say who they are.
#[tokio::test]
async fn who_asks() {
    let world = keyed().await;
    let response = world.send(Method::GET, "/api/me", &[], None).await;
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    let (status, problem) = said(response).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(problem["type"], "urn:immune:problem:access.unauthenticated");
    assert_eq!(
        problem["ways"],
        json!([{ "kind": "api_key", "url": "/auth/key" }])
    );

    let key = secret("eve-viewer");
    let (_, by_key) = said(
        world
            .send(Method::GET, "/api/me", &[("X-API-Key", &key)], None)
            .await,
    )
    .await;
    assert_eq!(
        (&by_key["subject"], &by_key["csrf"]),
        (&json!("eve-viewer"), &Value::Null)
    );

    let cookie = enter(&world, "eve-viewer").await;
    let (status, mine) = me(&world, &cookie).await;
    assert_eq!(status, StatusCode::OK);
    let found = [&mine["subject"], &mine["via"], &mine["role"], &mine["access"]];
    assert_eq!(found, ["eve-viewer", "api_key:eve-viewer", "viewer", "keys"]);
    assert!(mine["csrf"].is_string() && mine["session_ends_at"].is_f64());

    let open = World::start().await;
    let (status, anyone) = open.get("/api/me").await;
    assert_eq!((status, &anyone["subject"]), (StatusCode::OK, &json!("loopback")));
    assert_eq!(anyone["access"], "open_loopback");
}

/// Scenario: a write with a session: without the token, with it but from another site's page, as a viewer, and as it
/// should be; beside it a key without any token.
/// Guarantees: only our own page writes with a session, and never more than its role may; refusals are recorded.
#[tokio::test]
async fn writes_with_a_session() {
    let world = keyed().await;
    let own = format!("http://{}", world.address);
    let cookie = enter(&world, "olga-operator").await;
    let (_, mine) = me(&world, &cookie).await;
    let token = mine["csrf"].as_str().unwrap();
    let body = json!({ "agent_id": "nobody", "approved": true });
    let write = async |headers: &[(&str, &str)]| {
        let response = world
            .send(Method::POST, "/api/approve-healing", headers, Some(body.clone()))
            .await;
        said(response).await
    };
    let (status, problem) = write(&[("Cookie", &cookie)]).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(problem["type"], "urn:immune:problem:access.csrf");
    let (status, problem) = write(&[
        ("Cookie", &cookie),
        ("X-CSRF-Token", token),
        ("Origin", "https://evil.example"),
    ])
    .await;
    assert_eq!(
        (status, &problem["type"]),
        (StatusCode::FORBIDDEN, &json!("urn:immune:problem:access.origin"))
    );
    let (status, _) = write(&[("Cookie", &cookie), ("X-CSRF-Token", token), ("Origin", &own)]).await;
    assert!(![401, 403].contains(&status.as_u16()), "{status}");
    let (status, _) = write(&[("X-API-Key", &secret("olga-operator"))]).await;
    assert!(![401, 403].contains(&status.as_u16()), "{status}");

    let viewer = enter(&world, "eve-viewer").await;
    let (_, hers) = me(&world, &viewer).await;
    let (status, _) = write(&[
        ("Cookie", &viewer),
        ("X-CSRF-Token", hers["csrf"].as_str().unwrap()),
    ])
    .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let refused: Vec<Value> = world
        .log()
        .await
        .into_iter()
        .filter(|stored| stored.row.kind == "request_refused")
        .map(|stored| stored.row.payload["refused_because"].clone())
        .collect();
    assert_eq!(refused, ["role", "origin", "csrf"]);
}

/// Scenario: a page reads live events, and its person logs out.
/// Guarantees: the stream ends, the cookie opens nothing, and the answer says why; a second logout is none.
#[tokio::test]
async fn a_logout_ends_everything() {
    let world = keyed().await;
    let cookie = enter(&world, "olga-operator").await;
    let (_, mine) = me(&world, &cookie).await;
    let token = mine["csrf"].as_str().unwrap();
    let mut events = world
        .send(Method::GET, "/api/events", &[("Cookie", &cookie)], None)
        .await;
    assert_eq!(events.status(), StatusCode::OK);
    let headers = [("Cookie", cookie.as_str()), ("X-CSRF-Token", token)];
    let (status, to) = said(world.send(Method::POST, "/auth/logout", &headers, None).await).await;
    assert_eq!((status, to), (StatusCode::OK, json!({ "redirect": "/login" })));
    let (status, problem) = me(&world, &cookie).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(problem["type"], "urn:immune:problem:access.session_ended");
    assert!(problem["ways"].is_array());
    let ended = async { while let Ok(Some(_)) = events.chunk().await {} };
    tokio::time::timeout(DEADLINE, ended)
        .await
        .expect("the stream ends");
    let (status, to) = said(world.send(Method::POST, "/auth/logout", &headers, None).await).await;
    assert_eq!((status, to), (StatusCode::OK, json!({ "redirect": "/login" })));
}

/// Guarantees: answers about logins are hardened and kept by nobody, and another site's page cannot log anybody in.
#[tokio::test]
async fn answers_about_logins() {
    let world = keyed().await;
    for (method, path) in immune_door::routes::PATHS {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let response = world.send(method, path, &[], None).await;
        for (header, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(response.headers()[header], value, "{path}");
        }
        assert!(
            response.headers().contains_key("content-security-policy"),
            "{path}"
        );
        assert!(
            !response.status().is_server_error(),
            "{path}: {}",
            response.status()
        );
    }
    let page = [("Accept", "text/html"), ("Cookie", "immune=made.up")];
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let mut request = client.get(world.url("/auth/login?then=/cases"));
    for (name, value) in page {
        request = request.header(name, value);
    }
    let response = request.send().await.unwrap();
    assert_eq!(
        response.headers()["location"],
        "/login?error=not_configured&then=%2Fcases"
    );
    let foreign = [("Origin", "https://evil.example")];
    let body = json!({ "key": secret("eve-viewer") });
    let response = world.send(Method::POST, "/auth/key", &foreign, Some(body)).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(!response.headers().contains_key(SET_COOKIE));
}
