//! Approvals that client-deployed systems post, decided by operators here, and their place beside native cases.

use crate::world::{World, key};
use reqwest::StatusCode;
use serde_json::{Value, json};

async fn ask(world: &World, agent: &str) {
    let approval = json!({
        "agent_id": agent, "decision": "pending", "severity": 8.26, "anomalies": ["token_spike"],
        "diagnosis_type": "prompt_drift", "reasoning": "tokens doubled",
        "infection_payload": { "max_deviation": 9.9, "nested": [1, 2] },
    });
    let (status, body) = world.post("/api/v1/approvals", approval).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
}

async fn latest(world: &World, agent: &str) -> Value {
    world
        .read(&format!("/api/v1/approvals/latest?agent_id={agent}"))
        .await
}

/// Scenario: a client asks for an approval and polls; an operator approves on this server.
/// Guarantees: the client sees its own payload again with the decision and who took it; what is decided is pending no
/// more; the action log has the operator's name.
#[tokio::test]
async fn an_operator_answers_a_posted_approval() {
    let world = World::start().await;
    assert_eq!(latest(&world, "a").await, json!({}));
    ask(&world, "a").await;
    let before = latest(&world, "a").await;
    assert_eq!(
        (&before["decision"], &before["severity"]),
        (&json!("pending"), &json!(8.26))
    );
    let pending = world.read("/api/v1/approvals/pending").await;
    assert_eq!(pending[0]["agent_id"], "a");
    assert_eq!(pending[0]["severity"], 8.3, "one decimal");
    assert!(pending[0]["requested_at"].is_f64(), "{pending}");
    assert_eq!(world.read("/api/pending-approvals").await, pending);

    let (status, answer) = world
        .post(
            "/api/approve-healing",
            json!({ "agent_id": "a", "approved": true }),
        )
        .await;
    assert_eq!(
        (status, answer),
        (StatusCode::OK, json!({ "ok": true, "approved": true }))
    );
    let after = latest(&world, "a").await;
    assert_eq!(after["decision"], "approved");
    assert_eq!(
        after["infection_payload"],
        json!({ "max_deviation": 9.9, "nested": [1, 2] })
    );
    assert_eq!(after["decided_by"], "loopback");
    assert_eq!(world.read("/api/v1/approvals/pending").await, json!([]));
    let row = &world.log().await[0].row;
    assert_eq!(
        (row.kind.as_str(), row.actor.as_str(), row.outcome.as_str()),
        ("user_approved", "loopback", "done")
    );

    let (status, problem) = world
        .post(
            "/api/approve-healing",
            json!({ "agent_id": "a", "approved": false }),
        )
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("approved by loopback"),
        "{problem}"
    );
    let (status, _) = world
        .post(
            "/api/approve-healing",
            json!({ "agent_id": "nobody", "approved": true }),
        )
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

/// Scenario: an operator rejects what a client asked for, then orders to heal it, one by one and all at once.
/// Guarantees: rejected and heal_now are what the client reads, and nothing can be ordered twice.
#[tokio::test]
async fn rejected_then_healed_explicitly() {
    let world = World::start().await;
    for agent in ["a", "b", "c"] {
        ask(&world, agent).await;
    }
    let (status, answer) = world.post("/api/approve-all", json!({ "approved": false })).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&answer["approved_count"], &answer["rejected_count"]),
        (&json!(0), &json!(3))
    );
    let rejected = world.read("/api/v1/approvals/rejected").await;
    assert_eq!(rejected.as_array().unwrap().len(), 3);
    assert!(rejected[0]["rejected_at"].is_f64(), "{rejected}");
    let (status, answer) = world
        .post("/api/heal-explicitly", json!({ "agent_id": "b" }))
        .await;
    assert_eq!((status, answer), (StatusCode::OK, json!({ "ok": true })));
    assert_eq!(latest(&world, "b").await["decision"], "heal_now");
    let (status, _) = world
        .post("/api/heal-explicitly", json!({ "agent_id": "b" }))
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (status, answer) = world.post("/api/heal-all-rejected", json!({})).await;
    assert_eq!((status, &answer["healed_count"]), (StatusCode::OK, &json!(2)));
    assert_eq!(world.read("/api/v1/approvals/rejected").await, json!([]));
    let all = world.read("/api/v1/approvals/latest").await;
    assert_eq!(all.as_object().unwrap().len(), 3);
    assert_eq!(
        (&all["a"]["decision"], &all["c"]["decision"]),
        (&json!("heal_now"), &json!("heal_now"))
    );
}

/// Scenario: eight operators decide a posted approval at once.
/// Guarantees: exactly one wins; the others are refused, and the log has all eight.
#[tokio::test]
async fn of_many_operators_one_wins() {
    let world = World::start().await;
    ask(&world, "a").await;
    let decide = |i: usize| {
        world.post(
            "/api/approve-healing",
            json!({ "agent_id": "a", "approved": i.is_multiple_of(2) }),
        )
    };
    let answers = futures::future::join_all((0..8).map(decide)).await;
    let won = answers
        .iter()
        .filter(|(status, _)| *status == StatusCode::OK)
        .count();
    let lost = answers
        .iter()
        .filter(|(status, _)| *status == StatusCode::CONFLICT)
        .count();
    assert_eq!((won, lost), (1, 7), "{answers:?}");
    let done = world
        .log()
        .await
        .iter()
        .filter(|row| row.row.outcome == "done")
        .count();
    assert_eq!(done, 1);
}

/// Scenario: native cases and posted approvals of one run.
/// Guarantees: existing clients see both as one truth; all at once decides both.
#[tokio::test]
async fn native_cases_and_posted_approvals_are_one_truth() {
    let world = World::start().await;
    ask(&world, "posted").await;
    let severe = world.fleet.open_case(&key("native"), 9.04);
    world.fleet.open_case(&key("mild"), 4.0);
    let pending = world.read("/api/v1/approvals/pending").await;
    let agents: Vec<&str> = pending
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["agent_id"].as_str().unwrap())
        .collect();
    assert_eq!(agents, ["posted", "native"]);
    assert_eq!(pending[1]["severity"], 9.0);
    assert_eq!(pending[1]["case_id"], severe.id.as_str());
    let latest = latest(&world, "native").await;
    assert_eq!(
        (&latest["decision"], &latest["diagnosis_type"]),
        (&json!("pending"), &json!("prompt_drift"))
    );
    assert_eq!(latest["infection_payload"]["max_deviation"], 11.2);
    let (status, answer) = world.post("/api/approve-all", json!({ "approved": true })).await;
    assert_eq!((status, &answer["approved_count"]), (StatusCode::OK, &json!(2)));
    let all = world.read("/api/v1/approvals/latest").await;
    let decisions: Vec<&Value> = ["posted", "native"]
        .iter()
        .map(|agent| &all[*agent]["decision"])
        .collect();
    assert_eq!(decisions, [&json!("approved"), &json!("approved")]);
    assert_eq!(all.get("mild"), None, "what heals by itself asked nobody");
}
