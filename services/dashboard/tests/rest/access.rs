//! Who may do what.

use crate::world::{World, key, ring, said, secret};
use immune_dashboard::{ASSETS, Config, Needs, PAGES, TABLE, openapi};
use immune_runtime::access::{KeyRing, Role};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio_util::sync::CancellationToken;

/// Method and path of every endpoint that the description names.
fn described() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_str(&openapi().to_json().unwrap()).unwrap();
    let mut all = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| ["get", "post", "put", "delete", "patch"].contains(&key.as_str()))
        {
            all.insert((method.to_uppercase(), path.clone()));
        }
    }
    all
}

/// A path with something in the place of each name.
fn concrete(path: &str) -> String {
    let segment = |segment: &str| {
        if segment.starts_with('{') {
            "some".to_owned()
        } else {
            segment.to_owned()
        }
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

async fn keyed() -> World {
    let keys = ring(&[
        ("eve-viewer", Role::Viewer, &[]),
        ("olga-operator", Role::Operator, &[]),
        ("ada-admin", Role::Admin, &[]),
        ("ivan-ingest", Role::Ingest, &[]),
        ("bob-bound", Role::Operator, &["blue"]),
        ("bea-bound", Role::Admin, &["blue"]),
    ]);
    World::with(Config::default(), keys).await
}

/// Guarantees: the table names what the description, the logins and the pages have, and nothing else; what nobody put
/// into the table is open to nobody, and this test says so.
#[test]
fn the_table_names_every_endpoint() {
    let table: BTreeSet<(String, String)> = TABLE
        .iter()
        .map(|(method, path, _)| (method.to_string(), (*path).to_owned()))
        .collect();
    assert_eq!(table.len(), TABLE.len(), "an endpoint stands in the table twice");
    let mut all = described();
    let of_logins = immune_door::routes::PATHS;
    all.extend(of_logins.map(|(method, path)| (method.to_owned(), path.to_owned())));
    all.extend(
        PAGES
            .iter()
            .chain([&ASSETS])
            .map(|path| ("GET".to_owned(), (*path).to_owned())),
    );
    assert_eq!(all, table);
}

/// Scenario: a stranger, someone with a wrong key, and a holder of each role try every endpoint.
/// Guarantees: strangers get 401 everywhere but at health; each role gets 403 exactly where the table says so.
#[tokio::test]
async fn every_door_is_tried() {
    let world = keyed().await;
    let callers = [
        (None, None),
        (Some("mallory"), None),
        (Some("eve-viewer"), Some(Role::Viewer)),
        (Some("olga-operator"), Some(Role::Operator)),
        (Some("ada-admin"), Some(Role::Admin)),
        (Some("ivan-ingest"), Some(Role::Ingest)),
    ];
    for (method, path, needs) in TABLE {
        let concrete = concrete(path);
        for (name, role) in callers {
            let secret = name.map(secret);
            let headers: Vec<(&str, &str)> = secret.iter().map(|key| ("X-API-Key", key.as_str())).collect();
            let method = Method::from_bytes(method.as_str().as_bytes()).unwrap();
            let status = world
                .send(method.clone(), &concrete, &headers, None)
                .await
                .status();
            let who = format!("{method} {path} as {name:?}: {status}");
            match (needs, role) {
                // There is no provider here, and the key to log in with is missing.
                (Needs::Nobody, _) if path.starts_with("/auth/") => {
                    assert!([200, 400, 404].contains(&status.as_u16()), "{who}");
                }
                (Needs::Nobody, _) if *path == ASSETS => assert_eq!(status, StatusCode::NOT_FOUND, "{who}"),
                (Needs::Nobody, _) => assert_eq!(status, StatusCode::OK, "{who}"),
                // No key stands in for a signature.
                (Needs::Signature, _) => assert_eq!(status, StatusCode::UNAUTHORIZED, "{who}"),
                (Needs::Any(_), None) => assert_eq!(status, StatusCode::UNAUTHORIZED, "{who}"),
                (Needs::Any(_), Some(role)) => {
                    assert_ne!(status, StatusCode::UNAUTHORIZED, "{who}");
                    assert_eq!(status == StatusCode::FORBIDDEN, !needs.allows(role), "{who}");
                }
            }
        }
    }
}

/// Scenario: a key of every right, but of another run, tries every endpoint, with the run in the header and in the query.
/// Guarantees: it is refused everywhere that needs anybody, before anything is done.
#[tokio::test]
async fn another_run_is_closed() {
    let world = keyed().await;
    let key = secret("bea-bound");
    for (method, path, needs) in TABLE {
        for by_header in [true, false] {
            let method = Method::from_bytes(method.as_str().as_bytes()).unwrap();
            let mut headers = vec![("X-API-Key", key.as_str())];
            let mut concrete = concrete(path);
            match by_header {
                true => headers.push(("X-Run-Id", "default")),
                false => concrete.push_str("?run_id=default"),
            }
            let (status, body) = said(world.send(method.clone(), &concrete, &headers, None).await).await;
            let who = format!("{method} {concrete}: {status} {body}");
            match needs {
                Needs::Any(_) => {
                    assert_eq!(status, StatusCode::FORBIDDEN, "{who}");
                    assert_eq!(body["type"], "urn:immune:problem:access.run", "{who}");
                }
                Needs::Nobody | Needs::Signature => {}
            }
        }
    }
}

/// Guarantees: both ways to present a key work; an ingest key cannot take decisions through the store API.
#[tokio::test]
async fn keys_are_presented_in_two_ways() {
    let world = keyed().await;
    let bearer = format!("Bearer {}", secret("eve-viewer"));
    for headers in [
        [("Authorization", bearer.as_str())],
        [("X-API-Key", &secret("eve-viewer"))],
    ] {
        let response = world.send(Method::GET, "/api/status", &headers, None).await;
        let (status, body) = said(response).await;
        assert_eq!(
            (status, &body["caller"], &body["role"]),
            (StatusCode::OK, &json!("eve-viewer"), &json!("viewer"))
        );
    }
    let stranger = world.send(Method::GET, "/api/status", &[], None).await;
    assert_eq!(stranger.headers()["www-authenticate"], "Bearer");
    let ingest = secret("ivan-ingest");
    for (decision, wanted) in [
        ("pending", StatusCode::NO_CONTENT),
        ("approved", StatusCode::FORBIDDEN),
    ] {
        let body = json!({ "agent_id": "a", "decision": decision });
        let response = world
            .send(
                Method::POST,
                "/api/v1/approvals",
                &[("X-API-Key", &ingest)],
                Some(body),
            )
            .await;
        assert_eq!(response.status(), wanted, "{decision}");
    }
}

/// Scenario: a key is bound to one run.
/// Guarantees: it works there without naming it, sees nothing of another run, not even by the id of a case, and
/// cannot open a run.
#[tokio::test]
async fn a_bound_key_stays_in_its_run() {
    let world = keyed().await;
    let bound = secret("bob-bound");
    let ask = |method: Method, path: &'static str, run: Option<&'static str>, body: Option<Value>| {
        let mut headers = vec![("X-API-Key", bound.clone())];
        headers.extend(run.map(|run| ("X-Run-Id", run.to_owned())));
        let world = &world;
        async move {
            let headers: Vec<(&str, &str)> = headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            said(world.send(method, path, &headers, body).await).await
        }
    };
    let (status, body) = ask(Method::GET, "/api/status", None, None).await;
    assert_eq!((status, &body["run_id"]), (StatusCode::OK, &json!("blue")));
    for path in [
        "/api/status?run_id=default",
        "/api/v1/vitals/total-executions?run_id=red",
    ] {
        assert_eq!(
            ask(Method::GET, path, None, None).await.0,
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
    assert_eq!(
        ask(Method::GET, "/api/stats", Some("default"), None).await.0,
        StatusCode::FORBIDDEN
    );
    let foreign = world.fleet.open_case(&key("a"), 9.0);
    assert_eq!(foreign.id.as_str(), "case-1");
    assert_eq!(
        ask(Method::GET, "/api/cases/case-1", None, None).await.0,
        StatusCode::NOT_FOUND
    );
    let reason = Some(json!({ "reason": "mine now" }));
    assert_eq!(
        ask(Method::POST, "/api/cases/case-1/release", None, reason)
            .await
            .0,
        StatusCode::NOT_FOUND
    );
    assert!(!world.fleet.cases.lock().unwrap()[0].state.is_closed());
    let run = world
        .send(Method::POST, "/api/v1/run", &[("X-API-Key", &bound)], None)
        .await;
    assert_eq!(run.status(), StatusCode::FORBIDDEN);
}

/// Guarantees: refused writes are in the action log with who tried and why; refused reads are not; the run that a
/// stranger names is not written to.
#[tokio::test]
async fn refused_writes_are_recorded() {
    let world = keyed().await;
    let viewer = secret("eve-viewer");
    let body = Some(json!({ "agent_id": "a", "approved": true }));
    let refused = world
        .send(
            Method::POST,
            "/api/approve-healing",
            &[("X-API-Key", &viewer)],
            body.clone(),
        )
        .await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    world
        .send(
            Method::POST,
            "/api/approve-healing",
            &[("X-Run-Id", "victim")],
            body,
        )
        .await;
    world.send(Method::GET, "/api/stats", &[], None).await;
    let rows: Vec<(String, String, Value)> = world
        .log()
        .await
        .into_iter()
        .map(|stored| {
            (
                stored.row.actor,
                stored.row.outcome,
                stored.row.payload["refused_because"].clone(),
            )
        })
        .collect();
    let row = |actor: &str, because: &str| (actor.to_owned(), "refused".to_owned(), json!(because));
    assert_eq!(rows, [row("unknown", "stranger"), row("eve-viewer", "role")]);
}

/// Scenario: pages of other sites try to use an open loopback server through the browser of whoever sits there.
/// Guarantees: a foreign Host is refused for reads and writes; a foreign Origin for writes; our own page is let in.
#[tokio::test]
async fn other_sites_cannot_use_the_browser() {
    let world = World::start().await;
    let own = format!("http://{}", world.address);
    let rebound = world
        .send(Method::GET, "/api/stats", &[("Host", "evil.example")], None)
        .await;
    assert_eq!(rebound.status(), StatusCode::FORBIDDEN);
    let row = json!({ "action_type": "x", "agent_id": "a", "payload": {} });
    for (header, value, wanted) in [
        ("Origin", "http://evil.example", 403),
        ("Origin", "null", 403),
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Origin", own.as_str(), 204),
        ("Sec-Fetch-Site", "same-origin", 204),
    ] {
        let response = world
            .send(
                Method::POST,
                "/api/v1/action-log",
                &[(header, value)],
                Some(row.clone()),
            )
            .await;
        assert_eq!(response.status().as_u16(), wanted, "{header}: {value}");
    }
    let config = Config {
        allowed_hosts: vec!["immune.internal".to_owned()],
        ..Config::default()
    };
    let named = World::with(config, KeyRing::default()).await;
    let response = named
        .send(Method::GET, "/api/stats", &[("Host", "immune.internal")], None)
        .await;
    assert_eq!(response.status(), StatusCode::OK);
}

/// Guarantees: without keys, no address but loopback is served, whatever the configuration says.
#[tokio::test]
async fn open_is_loopback_only() {
    use immune_dashboard::{Channels, Dependencies, Metrics, Service};
    use immune_runtime::clock;
    let stores = immune_store::memory::stores();
    let (channel, _connections) = immune_runtime::grpc::inproc::pair();
    let channels = Channels {
        ingestion: immune_runtime::grpc::Peers::one(channel.clone()),
        baseline: immune_runtime::grpc::Peers::one(channel.clone()),
        sentinel: immune_runtime::grpc::Peers::one(channel.clone()),
        quarantine: immune_runtime::grpc::Peers::one(channel.clone()),
        healer: immune_runtime::grpc::Peers::one(channel),
    };
    let service = |keys: KeyRing| {
        let dependencies = Dependencies {
            vitals: stores.vitals.clone(),
            client_records: stores.client_records.clone(),
            action_log: stores.action_log.clone(),
            channels: channels.clone(),
            policies: Default::default(),
            deployment: crate::world::DEPLOYMENT,
            door: immune_door::Door::of_keys(keys),
            notifications: immune_notify::Front::new(&Default::default(), stores.notifications.clone())
                .unwrap(),
            clock: clock::system(),
            metrics: Metrics::default(),
        };
        Service::new(Config::default(), dependencies)
    };
    let stopped = CancellationToken::new();
    stopped.cancel();
    let everywhere = || tokio::net::TcpListener::bind("0.0.0.0:0");
    let refused = service(KeyRing::default())
        .serve(everywhere().await.unwrap(), stopped.clone())
        .await;
    assert!(refused.unwrap_err().to_string().contains("needs API keys"));
    let keys = ring(&[("ada-admin", Role::Admin, &[])]);
    service(keys)
        .serve(everywhere().await.unwrap(), stopped)
        .await
        .unwrap();
}
