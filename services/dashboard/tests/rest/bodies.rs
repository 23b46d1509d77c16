//! What is wrong is refused as an RFC 9457 problem that names the field.

use crate::world::{World, said};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// The least that each endpoint takes.
fn smallest() -> Vec<(&'static str, Value)> {
    vec![
        (
            "/api/v1/vitals",
            json!({ "agent_id": "a", "latency_ms": 1, "token_count": 1, "tool_calls": 1, "retries": 0, "success": true }),
        ),
        (
            "/api/v1/ingest",
            json!({ "agent_id": "a", "latency_ms": 1, "token_count": 1, "tool_calls": 1, "retries": 0, "success": true }),
        ),
        (
            "/api/v1/baselines",
            json!({
                "agent_id": "a", "latency_mean": 1, "latency_stddev": 1, "tokens_mean": 1, "tokens_stddev": 1,
                "tools_mean": 1, "tools_stddev": 1, "sample_size": 15,
            }),
        ),
        (
            "/api/v1/events/infection",
            json!({ "agent_id": "a", "severity": 1, "anomalies": [], "deviations": {}, "diagnosis_type": "unknown" }),
        ),
        (
            "/api/v1/events/quarantine",
            json!({ "agent_id": "a", "action": "enter" }),
        ),
        (
            "/api/v1/approvals",
            json!({ "agent_id": "a", "decision": "pending" }),
        ),
        (
            "/api/v1/healing/events",
            json!({
                "agent_id": "a", "diagnosis_type": "unknown", "healing_action": "reset_memory", "success": true,
                "validation_passed": true,
            }),
        ),
        (
            "/api/v1/action-log",
            json!({ "action_type": "healing_attempt", "agent_id": "a", "payload": {} }),
        ),
        ("/api/v1/agents/register", json!({ "agent_id": "a" })),
        (
            "/api/approve-healing",
            json!({ "agent_id": "a", "approved": true }),
        ),
        ("/api/heal-explicitly", json!({ "agent_id": "a" })),
        ("/api/approve-all", json!({ "approved": true })),
        (
            "/api/feedback",
            json!({ "agent_id": "a", "actual_cause": "false_positive" }),
        ),
        ("/api/agents/a/infected", json!({ "reason": "it says so" })),
        (
            "/api/agents/a/baseline/reset",
            json!({ "reason": "another owner" }),
        ),
        ("/api/agents/a/baseline/freeze", json!({ "reason": "a release" })),
        (
            "/api/agents/a/baseline/unfreeze",
            json!({ "reason": "it is out" }),
        ),
        (
            "/api/agents/a/baseline/pin",
            json!({ "from": 1_700_000_000, "reason": "last week was good" }),
        ),
        (
            "/api/agents/a/baseline/accept",
            json!({ "reason": "a bigger model" }),
        ),
        (
            "/api/agents/a/baseline/import",
            json!({
                "samples": 20, "metrics": { "latency": { "count": 20, "mean": 900.5, "stddev": 80 } }, "reason": "moved",
            }),
        ),
        (
            "/api/memory/pin",
            json!({ "agent_id": "a", "diagnosis_type": "unknown", "action": "reset_memory" }),
        ),
        (
            "/api/memory/forget",
            json!({ "agent_id": "a", "diagnosis_type": "unknown" }),
        ),
    ]
}

fn fields(problem: &Value) -> Vec<&str> {
    problem["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|error| error["field"].as_str())
        .collect()
}

/// Scenario: every endpoint gets its smallest body with each field left out, and with each field of a wrong type.
/// Guarantees: 400 with exactly that field's name; the smallest body itself is understood.
#[tokio::test]
async fn every_field_is_checked_by_name() {
    let world = World::start().await;
    for (path, body) in smallest() {
        let (status, answer) = world.post(path, body.clone()).await;
        let is_understood =
            status.is_success() || [StatusCode::NOT_FOUND, StatusCode::CONFLICT].contains(&status);
        assert!(is_understood, "{path}: {status} {answer}");
        for name in body.as_object().unwrap().keys() {
            let mut without = body.clone();
            without.as_object_mut().unwrap().remove(name);
            let (status, problem) = world.post(path, without).await;
            assert_eq!(
                status,
                StatusCode::BAD_REQUEST,
                "{path} without {name}: {problem}"
            );
            assert_eq!(fields(&problem), [name.as_str()], "{path} without {name}");
            assert_eq!(problem["status"], 400);
            assert!(
                problem["type"]
                    .as_str()
                    .unwrap()
                    .starts_with("urn:immune:problem:"),
                "{problem}"
            );

            let mut wrong = body.clone();
            wrong[name] = if body[name].is_array() {
                json!({ "x": 1 })
            } else {
                json!(["wrong"])
            };
            let (status, problem) = world.post(path, wrong).await;
            assert_eq!(
                status,
                StatusCode::BAD_REQUEST,
                "{path} with a wrong {name}: {problem}"
            );
            assert_eq!(fields(&problem), [name.as_str()], "{path} with a wrong {name}");
        }
    }
}

/// Guarantees: numbers that no execution has are refused, each by name, all at once; nothing is stored.
#[tokio::test]
async fn absurd_numbers_are_refused() {
    let world = World::start().await;
    let body = json!({
        "agent_id": "a", "latency_ms": -1, "token_count": 1e300, "tool_calls": -3, "retries": 0.5, "success": true,
        "timestamp": -5, "cost": "free",
    });
    let (status, problem) = world.post("/api/v1/vitals", body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        fields(&problem),
        [
            "latency_ms",
            "token_count",
            "tool_calls",
            "retries",
            "timestamp",
            "cost"
        ]
    );
    for (text, field) in [
        (
            r#"{"agent_id": "a", "latency_ms": NaN, "token_count": 1}"#,
            "latency_ms",
        ),
        (r#"{"agent_id": "a", "latency_ms": 1, "cost": Infinity}"#, "cost"),
    ] {
        let request = world
            .client
            .post(world.url("/api/v1/vitals"))
            .header("content-type", "application/json");
        let (status, problem) = said(request.body(text).send().await.unwrap()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
        assert_eq!(fields(&problem), [field], "{text}");
    }
    assert!(world.vitals("a").await.is_empty());
}

/// Guarantees: the newer ingest refuses what is over five minutes ahead or over an hour old; the store does not.
#[tokio::test]
async fn ingest_takes_the_last_hour_only() {
    use immune_runtime::clock::{Clock, System};
    let world = World::start().await;
    let now = System.now().as_epoch_seconds();
    let at = |timestamp: f64| {
        json!({
            "agent_id": "a", "latency_ms": 1, "token_count": 1, "tool_calls": 1, "retries": 0, "success": true,
            "timestamp": timestamp,
        })
    };
    for (timestamp, is_taken) in [
        (now, true),
        (now + 250.0, true),
        (now + 350.0, false),
        (now - 3_500.0, true),
        (now - 3_700.0, false),
    ] {
        let (status, answer) = world.post("/api/v1/ingest", at(timestamp)).await;
        assert_eq!(
            status == StatusCode::OK,
            is_taken,
            "{}: {answer}",
            timestamp - now
        );
        if !is_taken {
            assert_eq!(fields(&answer), ["timestamp"]);
        }
        let (status, _) = world.post("/api/v1/vitals", at(timestamp)).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }
}

/// Guarantees: queries are checked by name, too.
#[tokio::test]
async fn queries_are_checked() {
    let world = World::start().await;
    for (path, field) in [
        ("/api/v1/vitals/recent", "agent_id"),
        ("/api/v1/vitals/recent?agent_id=", "agent_id"),
        (
            "/api/v1/vitals/recent?agent_id=a&window_seconds=0",
            "window_seconds",
        ),
        (
            "/api/v1/vitals/recent?agent_id=a&window_seconds=1.5",
            "window_seconds",
        ),
        (
            "/api/v1/vitals/recent?agent_id=a&window_seconds=-1",
            "window_seconds",
        ),
        ("/api/v1/vitals/latest", "agent_id"),
        ("/api/v1/vitals/all?agent_id=a%0Ab", "agent_id"),
        ("/api/v1/healing/failed-actions?agent_id=a", "diagnosis_type"),
        ("/api/v1/action-log/recent?limit=0", "limit"),
        ("/api/v1/action-log/recent?limit=ten", "limit"),
        ("/api/agents?status=ill", "status"),
        ("/api/cases?state=ill", "state"),
        ("/api/cases?open=maybe", "open"),
        ("/api/stats?run_id=..", "run_id"),
    ] {
        let (status, problem) = world.get(path).await;
        assert_eq!(
            (status, fields(&problem)),
            (StatusCode::BAD_REQUEST, vec![field]),
            "{path}: {problem}"
        );
    }
    let huge = format!("/api/v1/vitals/recent?agent_id=a&window_seconds={}", u64::MAX);
    assert_eq!(
        world.get(&huge).await.0,
        StatusCode::OK,
        "longer than time is all of time"
    );
}

/// Guarantees: paths, methods, types and sizes that do not fit have their status, as problems, with the headers that
/// keep browsers out.
#[tokio::test]
async fn the_frame_holds() {
    let world = World::start().await;
    let url = |path: &str| world.url(path);
    let json_type = "application/json";
    let cases = [
        (world.client.get(url("/api/v1/nothing")), 404),
        (world.client.get(url("/nothing/here")), 404),
        (world.client.delete(url("/api/v1/vitals")), 405),
        (world.client.get(url("/api/v1/vitals")), 405),
        (world.client.request(Method::OPTIONS, url("/api/v1/vitals")), 405),
        (world.client.post(url("/api/v1/vitals")).body("{}"), 415),
        (
            world
                .client
                .post(url("/api/v1/vitals"))
                .header("content-type", "text/plain")
                .body("{}"),
            415,
        ),
        (
            world
                .client
                .post(url("/api/v1/vitals"))
                .header("content-type", json_type)
                .header("content-encoding", "gzip")
                .body("{}"),
            415,
        ),
        (
            world
                .client
                .post(url("/api/v1/vitals"))
                .header("content-type", json_type)
                .body("[1]"),
            400,
        ),
        (
            world
                .client
                .post(url("/api/v1/vitals"))
                .header("content-type", json_type)
                .body(vec![b'['; 100_000]),
            400,
        ),
        (
            world
                .client
                .post(url("/api/v1/vitals"))
                .header("content-type", json_type)
                .body(vec![0xff, 0xfe]),
            400,
        ),
        (
            world
                .client
                .post(url("/api/v1/vitals"))
                .header("content-type", json_type)
                .body(vec![b' '; (1 << 20) + 1]),
            413,
        ),
        (world.client.get(url("/api/agents/%FF")), 400),
        (world.client.get(url("/api/agents/nobody")), 404),
        (world.client.get(url("/api/cases/nothing")), 404),
        (world.client.delete(url("/api/keys/%FF")), 400),
        (world.client.delete(url("/api/notifications/%FF")), 400),
        (world.client.get(url("/assets/some/%FF")), 404),
    ];
    for (request, status) in cases {
        let request = request.build().unwrap();
        let what = format!("{} {}", request.method(), request.url());
        let response = world.client.execute(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{what}");
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .map(|v| v.to_str().unwrap().to_owned())
        };
        assert_eq!(
            header("content-type").as_deref(),
            Some("application/problem+json"),
            "{what}"
        );
        assert_eq!(
            header("x-content-type-options").as_deref(),
            Some("nosniff"),
            "{what}"
        );
        assert_eq!(header("cache-control").as_deref(), Some("no-store"), "{what}");
        assert!(
            header("content-security-policy").is_some() && header("x-request-id").is_some(),
            "{what}"
        );
        assert_eq!(header("access-control-allow-origin"), None, "{what}");
        assert_eq!(header("allow").is_some(), status == 405, "{what}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["status"], status, "{what}");
    }
    let echo = world
        .send(Method::GET, "/api/v1/health", &[("X-Request-Id", "mine-1")], None)
        .await;
    assert_eq!(echo.headers()["x-request-id"], "mine-1");
}
