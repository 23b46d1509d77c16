//! A client that behaves as the original's do: it raises on any 4xx and 5xx, except 404 on the latest vitals and on a
//! baseline, which mean "none".

use crate::world::World;
use immune_domain::Timestamp;
use immune_domain::baseline::{Moments, Profile, State};
use immune_domain::vitals::Metric;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

struct Client<'a> {
    world: &'a World,
    run: Option<&'static str>,
}

impl Client<'_> {
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Option<Value>) {
        let run: Vec<(&str, &str)> = self.run.iter().map(|run| ("X-Run-Id", *run)).collect();
        let response = self
            .world
            .send(method, &format!("/api/v1/{path}"), &run, body)
            .await;
        let status = response.status();
        let is_json = response
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind == "application/json");
        let text = response.text().await.unwrap();
        if status == StatusCode::NO_CONTENT {
            assert_eq!(text, "", "204 has no body");
            return (status, None);
        }
        assert!(is_json || status.as_u16() >= 400, "{path} is JSON: {text}");
        (status, Some(serde_json::from_str(&text).unwrap()))
    }

    /// Posts; nothing comes back.
    async fn write(&self, path: &str, body: Value) {
        let (status, answer) = self.call(Method::POST, path, Some(body)).await;
        assert_eq!((status, answer), (StatusCode::NO_CONTENT, None), "{path}");
    }

    async fn read(&self, path: &str) -> Value {
        let (status, answer) = self.call(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer:?}");
        answer.unwrap()
    }

    /// `None` on 404.
    async fn read_or_none(&self, path: &str) -> Option<Value> {
        match self.call(Method::GET, path, None).await {
            (StatusCode::NOT_FOUND, _) => None,
            (status, answer) => {
                assert_eq!(status, StatusCode::OK, "{path}: {answer:?}");
                answer
            }
        }
    }
}

fn vitals(agent: &str, timestamp: f64, latency: i64) -> Value {
    json!({
        "agent_id": agent, "agent_type": "research", "latency_ms": latency, "token_count": 1_200, "tool_calls": 3,
        "retries": 1, "success": true, "timestamp": timestamp,
    })
}

fn now() -> f64 {
    use immune_runtime::clock::{Clock, System};
    System.now().as_epoch_seconds()
}

/// Scenario: an existing client posts vitals and reads them in every way it knows.
/// Guarantees: the same fields and values come back, integers as integers, oldest first; nothing is 404 for the
/// latest, and runs do not see each other.
#[tokio::test]
async fn vitals_round_trip() {
    let world = World::start().await;
    let client = Client {
        world: &world,
        run: None,
    };
    assert_eq!(client.read_or_none("vitals/latest?agent_id=a").await, None);
    assert_eq!(client.read("vitals/recent?agent_id=a").await, json!([]));
    assert_eq!(
        client.read("vitals/execution-count?agent_id=a").await,
        json!({ "count": 0 })
    );

    let now = (now() * 10.0).round() / 10.0;
    client.write("vitals", vitals("a", now - 1.0, 350)).await;
    client.write("vitals", vitals("a", now - 600.5, 250)).await;
    client.write("vitals", vitals("b", now - 2.0, 150)).await;

    let all = client.read("vitals/all?agent_id=a").await;
    let times: Vec<f64> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["timestamp"].as_f64().unwrap())
        .collect();
    assert_eq!(times, [now - 600.5, now - 1.0]);
    let latest = client.read("vitals/latest?agent_id=a").await;
    let sent = vitals("a", now - 1.0, 350);
    for (name, value) in sent.as_object().unwrap() {
        assert_eq!(latest[name], *value, "{name}");
    }
    for integer in ["latency_ms", "token_count", "tool_calls", "retries"] {
        assert!(latest[integer].is_u64(), "{integer}: {latest}");
    }
    assert!(
        latest["timestamp"].is_f64() && latest["success"].is_boolean(),
        "{latest}"
    );
    let recent = client.read("vitals/recent?agent_id=a&window_seconds=30").await;
    assert_eq!(recent.as_array().unwrap().len(), 1);
    let recent = client.read("vitals/recent?agent_id=a&window_seconds=3600").await;
    assert_eq!(recent.as_array().unwrap().len(), 2);
    assert_eq!(
        client.read("vitals/execution-count?agent_id=a").await,
        json!({ "count": 2 })
    );
    assert_eq!(
        client.read("vitals/total-executions").await,
        json!({ "total": 3 })
    );

    let other = Client {
        world: &world,
        run: Some("other"),
    };
    assert_eq!(other.read("vitals/total-executions").await, json!({ "total": 0 }));
    assert_eq!(
        client.read("vitals/total-executions?run_id=other").await,
        json!({ "total": 0 })
    );
    assert_eq!(other.read_or_none("vitals/latest?agent_id=a").await, None);
}

/// Scenario: a newer client sends what newer clients send, and one that sends the least.
/// Guarantees: token_count 0 with input and output is their sum; empty texts stay empty; the defaults hold.
#[tokio::test]
async fn newer_and_smallest_vitals() {
    let world = World::start().await;
    let client = Client {
        world: &world,
        run: None,
    };
    let newer = json!({
        "agent_id": "n", "latency_ms": 10.6, "token_count": 0, "tool_calls": 0, "retries": 0, "success": false,
        "input_tokens": 700, "output_tokens": 50, "cost": 0.25, "model": "", "error_type": "Timeout",
        "prompt_hash": "abc", "something_new": { "kept": false },
    });
    client.write("vitals", newer).await;
    let back = client.read("vitals/latest?agent_id=n").await;
    assert_eq!(back["token_count"], 750);
    assert_eq!(
        (&back["input_tokens"], &back["output_tokens"]),
        (&json!(700), &json!(50))
    );
    assert_eq!(
        (&back["model"], &back["error_type"], &back["prompt_hash"]),
        (&json!(""), &json!("Timeout"), &json!("abc"))
    );
    assert_eq!(
        (&back["latency_ms"], &back["cost"], &back["success"]),
        (&json!(11), &json!(0.25), &json!(false))
    );
    assert_eq!(back["agent_type"], "unknown");
    assert!(
        (back["timestamp"].as_f64().unwrap() - now()).abs() < 10.0,
        "{back}"
    );
    assert_eq!(
        world.vitals("n").await[0].source,
        immune_domain::vitals::Source::Posted
    );
}

/// Scenario: baselines are posted with fields that we do not know; another agent has only a learned profile.
/// Guarantees: the latest posted one comes back whole; a learned one has the same shape, but only once it may judge;
/// no baseline is 404; the count counts each agent once.
#[tokio::test]
async fn baselines_round_trip() {
    let world = World::start().await;
    let client = Client {
        world: &world,
        run: None,
    };
    assert_eq!(client.read_or_none("baselines/a").await, None);
    let mut sent = json!({
        "agent_id": "team/a b", "latency_mean": 100.5, "latency_stddev": 0.0, "latency_p95": null, "tokens_mean": 1200,
        "tokens_stddev": 30.25, "tools_mean": 3, "tools_stddev": 1, "sample_size": 20, "prompt_hash": "",
        "input_tokens_mean": 900.0, "custom": [1, { "two": "3" }],
    });
    client.write("baselines", sent.clone()).await;
    sent["latency_mean"] = json!(101.125);
    client.write("baselines", sent.clone()).await;
    let back = client.read("baselines/team%2Fa%20b").await;
    for (name, value) in sent.as_object().unwrap() {
        assert_eq!(back[name], *value, "{name}");
    }
    assert_eq!(back["sample_count"], 20);

    let moments = |mean: f64| Moments {
        count: 16,
        mean,
        stddev: 2.0,
    };
    let mut profile = Profile {
        key: crate::world::key("learned"),
        version: 4,
        state: State::Learning,
        sample_count: 16,
        moments: [moments(400.0), moments(900.0), moments(3.0)],
        updated_at: Timestamp::EPOCH,
        of: Default::default(),
        is_frozen: false,
        known: None,
    };
    world.fleet.profiles.lock().unwrap().push(profile.clone());
    assert_eq!(
        client.read_or_none("baselines/learned").await,
        None,
        "a profile that learns is none yet"
    );
    assert_eq!(client.read("baselines/count").await, json!({ "count": 1 }));
    profile.state = State::Active;
    *world.fleet.profiles.lock().unwrap() = vec![profile.clone()];
    let learned = client.read("baselines/learned").await;
    for metric in Metric::ALL {
        assert_eq!(
            learned[format!("{}_mean", metric.as_str())],
            json!(profile.moments(metric).mean)
        );
        assert_eq!(learned[format!("{}_stddev", metric.as_str())], json!(2.0));
    }
    assert_eq!(
        (&learned["agent_id"], &learned["sample_size"]),
        (&json!("learned"), &json!(16))
    );
    assert_eq!(client.read("baselines/count").await, json!({ "count": 2 }));
    sent["agent_id"] = json!("learned");
    client.write("baselines", sent).await;
    assert_eq!(
        client.read("baselines/count").await,
        json!({ "count": 2 }),
        "who has both is counted once"
    );
    assert_eq!(client.read("baselines/learned").await["latency_mean"], 101.125);
}

/// Scenario: a client-deployed system reports infections and quarantines, in the old and the new form.
/// Guarantees: they are taken, counted under its run and in no other, and open no case here.
#[tokio::test]
async fn events_are_kept_and_drive_nothing() {
    let world = World::start().await;
    let client = Client {
        world: &world,
        run: Some("customer-1"),
    };
    let event = json!({
        "agent_id": "a", "severity": 7.5, "anomalies": ["latency_spike"], "deviations": { "latency": 12.2, "tokens": null },
        "diagnosis_type": "tool_instability",
    });
    client.write("events/infection", event).await;
    let newer = json!({
        "agent_id": "b", "max_deviation": 4.0, "anomalies": [], "deviations": {}, "diagnosis_type": "some_new_one",
    });
    client.write("events/infection", newer).await;
    client
        .write(
            "events/quarantine",
            json!({ "agent_id": "a", "action": "enter", "duration_s": null }),
        )
        .await;
    client
        .write("events/quarantine", json!({ "agent_id": "b", "action": "enter" }))
        .await;
    client
        .write(
            "events/quarantine",
            json!({ "agent_id": "b", "action": "release", "duration_s": 12.5 }),
        )
        .await;

    let stats = world.read("/api/stats?run_id=customer-1").await;
    assert_eq!(stats["total_infections"], 2);
    assert_eq!(stats["total_quarantines"], 2);
    assert_eq!(stats["current_quarantined"], 1);
    assert_eq!(stats["posted"]["infections"], 2);
    assert_eq!(world.read("/api/stats").await["total_infections"], 0);
    assert!(world.fleet.cases.lock().unwrap().is_empty());
    let infections = world.read("/api/infections?run_id=customer-1").await;
    assert_eq!(
        (&infections["total"], &infections["current_quarantined"]),
        (&json!(2), &json!(["a"]))
    );
}

/// Scenario: healings are posted.
/// Guarantees: totals, rate, failed actions and patterns are as the original counts them.
#[tokio::test]
async fn healings_are_counted() {
    let world = World::start().await;
    let client = Client {
        world: &world,
        run: None,
    };
    assert_eq!(client.read("healing/total").await, json!({ "total": 0 }));
    assert_eq!(client.read("healing/success-rate").await, json!({ "rate": 0.0 }));
    assert_eq!(client.read("healing/pattern-summary").await, json!({}));
    let failed = "healing/failed-actions?agent_id=a&diagnosis_type=prompt_drift";
    assert_eq!(client.read(failed).await, json!({ "actions": [] }));
    let healings = [
        ("a", "prompt_drift", "reset_memory", false),
        ("a", "prompt_drift", "rollback_prompt", false),
        ("a", "prompt_drift", "rollback_prompt", true),
        ("b", "prompt_drift", "rollback_prompt", true),
        ("b", "customers_own", "special", true),
    ];
    for (agent, diagnosis, action, success) in healings {
        let event = json!({
            "agent_id": agent, "diagnosis_type": diagnosis, "healing_action": action, "success": success,
            "validation_passed": success, "trigger": null, "message": null,
        });
        client.write("healing/events", event).await;
    }
    assert_eq!(client.read("healing/total").await, json!({ "total": 5 }));
    assert_eq!(client.read("healing/success-rate").await, json!({ "rate": 0.6 }));
    assert_eq!(client.read(failed).await, json!({ "actions": ["reset_memory"] }));
    assert_eq!(
        client.read("healing/pattern-summary").await,
        json!({
            "prompt_drift": { "best_action": "rollback_prompt", "success_count": 2 },
            "customers_own": { "best_action": "special", "success_count": 1 },
        })
    );
}

/// Scenario: rows are written to the action log and read back.
/// Guarantees: newest first, the original's fields, null where absent, 50 by default.
#[tokio::test]
async fn action_log_round_trip() {
    let world = World::start().await;
    let client = Client {
        world: &world,
        run: None,
    };
    assert_eq!(client.read("action-log/recent").await, json!([]));
    for i in 0..60 {
        let payload = json!({ "severity": 7.5, "diagnosis_type": "unknown", "action": format!("step-{i}"), "success": true });
        let row = json!({ "action_type": "healing_attempt", "agent_id": "a", "payload": payload });
        client.write("action-log", row).await;
    }
    let rows = client.read("action-log/recent").await;
    assert_eq!(rows.as_array().unwrap().len(), 50);
    let mut first = rows[0].clone();
    assert!(first["timestamp"].is_f64());
    first.as_object_mut().unwrap().remove("timestamp");
    let wanted = json!({
        "type": "healing_attempt", "agent_id": "a", "severity": 7.5, "diagnosis_type": "unknown", "action": "step-59",
        "success": true, "trigger": null,
    });
    assert_eq!(first, wanted);
    assert_eq!(
        client
            .read("action-log/recent?limit=3")
            .await
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

/// Guarantees: health says healthy; a run is named and separate from the others.
#[tokio::test]
async fn health_and_run() {
    let world = World::start().await;
    let client = Client {
        world: &world,
        run: None,
    };
    assert_eq!(client.read("health").await["status"], "healthy");
    for body in [None, Some(json!({}))] {
        let (status, answer) = client.call(Method::POST, "run", body).await;
        assert_eq!(status, StatusCode::OK);
        let run = answer.unwrap()["run_id"].as_str().unwrap().to_owned();
        assert!(run.starts_with("run-") && run.len() > 10, "{run}");
        assert_eq!(
            world
                .read(&format!("/api/v1/vitals/total-executions?run_id={run}"))
                .await["total"],
            0
        );
    }
}
