//! The operators' API.

use crate::world::{World, key};
use immune_domain::Timestamp;
use immune_domain::baseline::{Moments, Profile, State};
use immune_domain::diagnosis::Diagnosis;
use immune_domain::healing::Action;
use immune_domain::memory::Memory;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn execute(world: &World, agent: &str) {
    let vitals = json!({
        "agent_id": agent, "agent_type": "research", "latency_ms": 420.4, "token_count": 900, "tool_calls": 2,
        "retries": 0, "success": true, "model": "model-x",
    });
    let (status, body) = world.post("/api/v1/vitals", vitals).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
}

fn profile(agent: &str) -> Profile {
    let moments = |mean: f64, stddev: f64| Moments {
        count: 20,
        mean,
        stddev,
    };
    Profile {
        key: key(agent),
        version: 2,
        state: State::Active,
        sample_count: 20,
        moments: [moments(400.0, 10.0), moments(900.0, 0.0), moments(1.0, 1.0)],
        updated_at: Timestamp::EPOCH,
        of: Default::default(),
        is_frozen: false,
        known: None,
    }
}

/// Scenario: a healthy agent, an ill one, a contained one, a registered one that never ran.
/// Guarantees: each has the fields that existing scripts read, and the right status.
#[tokio::test]
async fn agents_as_scripts_read_them() {
    let world = World::start().await;
    for agent in ["healthy", "mild", "severe"] {
        execute(&world, agent).await;
    }
    world.fleet.profiles.lock().unwrap().push(profile("healthy"));
    world.fleet.open_case(&key("mild"), 4.24);
    world.fleet.open_case(&key("severe"), 9.0);
    let registered =
        json!({ "agent_id": "new", "agent_type": "data", "model": "m", "mcp_servers": ["files"] });
    assert_eq!(
        world.post("/api/v1/agents/register", registered).await.0,
        StatusCode::OK
    );

    let agents = world.read("/api/agents").await;
    let by_id = |id: &str| {
        agents
            .as_array()
            .unwrap()
            .iter()
            .find(|agent| agent["id"] == id)
            .unwrap()
            .clone()
    };
    let healthy = by_id("healthy");
    let wanted = json!({
        "id": "healthy", "agent_id": "healthy", "type": "research", "model": "model-x", "mcp_servers": [],
        "status": "healthy", "infected": false, "infection_type": null, "executions": 1, "has_baseline": true,
        "healing_rejected": false, "healing_pending": false,
        "latest_metrics": { "latency": 420, "tokens": 900, "tools": 2 }, "severity": 0.0, "case_id": null,
    });
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(healthy[name], *value, "{name}");
    }
    let severe = by_id("severe");
    assert_eq!(
        (&severe["status"], &severe["infected"]),
        (&json!("quarantined"), &json!(true))
    );
    assert_eq!(
        (&severe["infection_type"], &severe["healing_pending"]),
        (&json!("prompt_drift"), &json!(true))
    );
    assert_eq!(
        (&by_id("mild")["status"], &by_id("mild")["severity"]),
        (&json!("quarantined"), &json!(4.2))
    );
    let new = by_id("new");
    assert_eq!(
        (&new["latest_metrics"], &new["executions"], &new["type"]),
        (&Value::Null, &json!(0), &json!("data"))
    );
    assert_eq!(new["mcp_servers"], json!(["files"]));

    let stats = world.read("/api/stats").await;
    for (name, value) in [
        ("total_agents", 4),
        ("total_executions", 3),
        ("baselines_learned", 1),
        ("total_infections", 2),
        ("current_infected", 2),
        ("current_quarantined", 2),
        ("pending_approvals", 1),
        ("total_healed", 0),
    ] {
        assert_eq!(stats[name], value, "{name}: {stats}");
    }
    let status = world.read("/api/status").await;
    assert_eq!(
        (&status["running"], &status["healing_in_progress"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(status["access"], "open_loopback");
    assert!(status["runtime"].is_f64());
}

/// Guarantees: pages follow each other without gaps or repeats, registered agents among them; filters match; totals
/// are told.
#[tokio::test]
async fn agents_are_paged_and_filtered() {
    let world = World::start().await;
    for agent in ["a1", "a2", "a4", "b5"] {
        execute(&world, agent).await;
    }
    for agent in ["a2", "a3", "z9"] {
        world
            .post("/api/v1/agents/register", json!({ "agent_id": agent }))
            .await;
    }
    let (mut found, mut path) = (Vec::new(), "/api/agents?limit=2".to_owned());
    loop {
        let response = world.send(Method::GET, &path, &[], None).await;
        assert_eq!(response.headers()["x-total-count"], "6", "{path}");
        let next = response
            .headers()
            .get("x-next-after")
            .map(|next| next.to_str().unwrap().to_owned());
        let page: Vec<Value> = response.json().await.unwrap();
        found.extend(page.iter().map(|agent| agent["id"].as_str().unwrap().to_owned()));
        match next {
            Some(next) => path = format!("/api/agents?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(found, ["a1", "a2", "a3", "a4", "b5", "z9"]);
    world.fleet.open_case(&key("b5"), 9.0);
    world.fleet.open_case(&key("z9"), 10.0);
    for (query, ids) in [
        ("status=quarantined", vec!["b5"]),
        // Asked for and not confirmed: nothing holds it, and nothing may say so.
        ("status=infected", vec!["z9"]),
        ("status=healthy&q=A", vec!["a1", "a2", "a3", "a4"]),
        ("q=RESEARCH&limit=1", vec!["a1"]),
        ("status=suspect", vec![]),
    ] {
        let agents = world.read(&format!("/api/agents?{query}")).await;
        let found: Vec<&str> = agents
            .as_array()
            .unwrap()
            .iter()
            .map(|a| a["id"].as_str().unwrap())
            .collect();
        assert_eq!(found, ids, "{query}");
    }
}

/// Scenario: of two agents without a case one is not heard any more.
/// Guarantees: it is shown as such in the list, the fleet and alone; who asks for the silent gets it, and who asks for
/// the healthy does not.
#[tokio::test]
async fn one_that_is_not_heard_is_not_healthy() {
    let world = World::start().await;
    execute(&world, "heard").await;
    execute(&world, "unheard").await;
    world.fleet.silent.lock().unwrap().push("unheard".to_owned());
    let fleet = world.read("/api/fleet").await;
    let heard = (
        &fleet["agents"][0]["telemetry"],
        &fleet["agents"][0]["silent_seconds"],
    );
    assert_eq!(heard, (&json!("live"), &json!(null)));
    for agent in [
        &world.read("/api/agents?status=silent").await[0],
        &fleet["agents"][1],
        &world.read("/api/agents/unheard").await,
    ] {
        assert_eq!(
            (&agent["id"], &agent["telemetry"]),
            (&json!("unheard"), &json!("silent"))
        );
        assert_eq!(agent["silent_seconds"], 75.0);
    }
    let healthy = world.read("/api/agents?status=healthy").await;
    assert_eq!(
        (healthy.as_array().unwrap().len(), &healthy[0]["id"]),
        (1, &json!("heard"))
    );
}

/// Guarantees: one agent is shown with its executions, the band of what is normal for it, its cases and its memory;
/// its id may hold slashes.
#[tokio::test]
async fn one_agent_in_full() {
    let world = World::start().await;
    execute(&world, "shop/checkout").await;
    world
        .fleet
        .profiles
        .lock()
        .unwrap()
        .push(profile("shop/checkout"));
    world.fleet.open_case(&key("shop/checkout"), 9.0);
    world.fleet.memories.lock().unwrap().push(Memory {
        key: key("shop/checkout"),
        diagnosis: Diagnosis::PromptDrift,
        action: Action::ResetMemory,
        successes: 0,
        failures: 2,
        last_at: Timestamp::EPOCH,
        pin: None,
    });
    let agent = world.read("/api/agents/shop%2Fcheckout").await;
    assert_eq!(agent["vitals"].as_array().unwrap().len(), 1);
    assert_eq!(
        agent["band"][0],
        json!({ "metric": "latency", "samples": 20, "mean": 400.0, "stddev": 10.0, "low": 375.0, "high": 425.0 })
    );
    assert_eq!(agent["band"][2]["low"], 0.0, "no average is below 0");
    assert_eq!(
        (&agent["cases"][0]["state"], &agent["memory"][0]["failures"]),
        (&json!("awaiting_approval"), &json!(2))
    );
    let failed = world
        .read("/api/v1/healing/failed-actions?agent_id=shop%2Fcheckout&diagnosis_type=prompt_drift")
        .await;
    assert_eq!(
        failed,
        json!({ "actions": ["reset_memory"] }),
        "native healings count, too"
    );
    assert_eq!(world.read("/api/memory").await[0]["action"], "reset_memory");
    let admission = world.read("/api/v1/agents/shop%2Fcheckout/admission").await;
    assert_eq!(
        (&admission["allowed"], &admission["case_id"]),
        (&json!(false), &json!("case-1"))
    );
    assert_eq!(
        world.read("/api/v1/agents/other/admission").await["allowed"],
        true
    );
}

/// Scenario: cases are listed, read and decided.
/// Guarantees: the decision is the verified caller's; who comes second gets 409 with the name of the first; a release
/// needs a reason; the plan is shown while the case is open.
#[tokio::test]
async fn cases_are_decided() {
    let world = World::start().await;
    for agent in ["a", "b", "c"] {
        world.fleet.open_case(&key(agent), 9.0);
    }
    let first = world
        .send(Method::GET, "/api/cases?limit=2&open=true", &[], None)
        .await;
    let next = first.headers()["x-next-before"].to_str().unwrap().to_owned();
    let page: Value = first.json().await.unwrap();
    assert_eq!(
        (&page[0]["agent_id"], &page[1]["agent_id"]),
        (&json!("c"), &json!("b"))
    );
    let rest = world.read(&format!("/api/cases?limit=2&before={next}")).await;
    assert_eq!(
        (rest.as_array().unwrap().len(), &rest[0]["agent_id"]),
        (1, &json!("a"))
    );

    let case = world.read("/api/cases/case-1").await;
    assert_eq!(
        (&case["severity"], &case["quarantine"]["phase"]),
        (&json!(9.0), &json!("confirmed"))
    );
    assert_eq!(case["plan"], json!({ "steps": ["reset_memory"], "skipped": [] }));
    assert!(!case["timeline"].as_array().unwrap().is_empty());

    let (status, body) = world
        .post(
            "/api/cases/case-1/approve",
            json!({ "reason": "looks right", "by": "the boss" }),
        )
        .await;
    assert_eq!(
        (status, &body["state"]),
        (StatusCode::OK, &json!("heal_queued")),
        "{body}"
    );
    assert_eq!(body["last_decision"]["by"], "loopback");
    let (status, problem) = world.post("/api/cases/case-1/reject", json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(
        problem["type"],
        "urn:immune:problem:quarantine.case_already_decided"
    );
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("approved by loopback"),
        "{problem}"
    );
    let without_body = world
        .send(Method::POST, "/api/cases/case-2/reject", &[], None)
        .await;
    assert_eq!(without_body.status(), StatusCode::OK);
    assert_eq!(
        world
            .post("/api/cases/case-2/release", json!({ "reason": " " }))
            .await
            .0,
        StatusCode::BAD_REQUEST
    );
    let (status, body) = world
        .post("/api/cases/case-2/release", json!({ "reason": "test agent" }))
        .await;
    assert_eq!(
        (status, &body["state"], &body["plan"]),
        (StatusCode::OK, &json!("released"), &Value::Null)
    );
    let (status, body) = world
        .post("/api/cases/case-3/heal-now", json!({ "reason": "urgent" }))
        .await;
    assert_eq!((status, &body["state"]), (StatusCode::OK, &json!("heal_queued")));
}

/// Guarantees: the platform's word opens a case in its name; feedback and what it says are in the log; the log shows
/// who and why.
#[tokio::test]
async fn reports_and_feedback() {
    let world = World::start().await;
    let (status, body) = world
        .post(
            "/api/agents/team%2Fa/infected",
            json!({ "reason": "leaks secrets" }),
        )
        .await;
    assert_eq!((status, &body["case_id"]), (StatusCode::OK, &json!("case-1")));
    assert_eq!(world.fleet.cases.lock().unwrap()[0].key, key("team/a"));
    let feedback = json!({ "agent_id": "team/a", "actual_cause": "false_positive", "notes": "a load test" });
    assert_eq!(
        world.post("/api/feedback", feedback).await,
        (StatusCode::OK, json!({ "ok": true }))
    );
    let log = world.read("/api/action-log").await;
    let wanted = json!({ "type": "feedback_given", "agent_id": "team/a", "actor": "loopback", "outcome": "done", "reason": "a load test" });
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(log[0][name], *value, "{name}");
    }
    let older = world
        .read(&format!("/api/action-log?before={}", log[0]["sequence"]))
        .await;
    assert_eq!(older.as_array().unwrap().len(), 1, "{older}");
    assert_eq!(older[0]["type"], "agent_reported_infected");
    assert_eq!(older[0]["payload"]["case_id"], "case-1");
}

/// Guarantees: the system page names every role and says which serves.
#[tokio::test]
async fn system_names_every_role() {
    let world = World::start().await;
    let system = world.read("/api/system").await;
    assert_eq!(system["healthy"], true, "{system}");
    assert_eq!(system["roles"].as_array().unwrap().len(), 6);
    assert_eq!(system["ingestion"]["requests"], 7);
}
