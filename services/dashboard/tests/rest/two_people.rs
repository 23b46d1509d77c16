//! Cases that need two people, as the page, scripts and clients see them.

use crate::world::{World, key, ring, said, secret};
use immune_dashboard::{Config, Dependencies};
use immune_domain::policy::{Policies, Policy};
use immune_runtime::access::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

fn policy() -> Policy {
    Policy {
        second_person_from_severity: Some(7.5),
        approvers: vec!["ada".into(), "bob".into()],
        ..Policy::default()
    }
}

async fn world() -> World {
    let keys = ring(&[
        ("ada", Role::Operator, &[]),
        ("bob", Role::Operator, &[]),
        ("mallory", Role::Operator, &[]),
    ]);
    let change = |d: &mut Dependencies| {
        d.policies = Policies {
            defaults: policy(),
            rules: vec![],
        }
        .into();
    };
    let world = World::changed(Config::default(), keys, change).await;
    *world.fleet.policy.lock().unwrap() = policy();
    world
}

async fn post(world: &World, who: &str, path: &str, body: Value) -> (StatusCode, Value) {
    let secret = secret(who);
    said(
        world
            .send(Method::POST, path, &[("X-API-Key", &secret)], Some(body))
            .await,
    )
    .await
}

/// Scenario: ada approves a severe case, then approves it again, mallory tries, then bob approves.
/// Guarantees: the case tells that it needs two and who was first; each answer says where it stands.
#[tokio::test]
async fn a_case_tells_who_is_missing() {
    let world = world().await;
    let id = world.fleet.open_case(&key("a"), 8.0).id;
    let path = format!("/api/cases/{id}/approve");
    let (status, case) = post(&world, "ada", &path, json!({ "reason": "curable" })).await;
    assert_eq!(
        (status, &case["state"]),
        (StatusCode::OK, &json!("awaiting_approval"))
    );
    assert_eq!(case["needs_second_person"], true);
    let first = &case["first_approval"];
    assert_eq!(
        (&first["by"], &first["decision"], &first["reason"]),
        (&json!("ada"), &json!("approve"), &json!("curable"))
    );
    let waits = first["expires_at"].as_f64().unwrap() - first["at"].as_f64().unwrap();
    assert!((waits - 3_600.0).abs() < 0.001, "{waits}");

    let (status, problem) = post(&world, "ada", &path, json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .starts_with("you have approved this already"),
        "{problem}"
    );
    let (status, problem) = post(&world, "mallory", &path, json!({})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("does not name mallory"),
        "{problem}"
    );

    let (status, case) = post(&world, "bob", &path, json!({})).await;
    assert_eq!((status, &case["state"]), (StatusCode::OK, &json!("heal_queued")));
    assert_eq!(
        (&case["first_approval"], &case["last_decision"]["first"]["by"]),
        (&Value::Null, &json!("ada"))
    );
}

/// Scenario: a script decides by agent, alone and on everything that waits, as ada and as bob.
/// Guarantees: the first answer is 200 and says that somebody else is needed; the second is as it always was; of several,
/// those that wait for a second person are counted apart.
#[tokio::test]
async fn scripts_are_told_that_a_second_person_is_needed() {
    let world = world().await;
    world.fleet.open_case(&key("a"), 8.0);
    world.fleet.open_case(&key("b"), 9.0);
    world.fleet.open_case(&key("c"), 7.2);
    let approve = json!({ "agent_id": "a", "approved": true });
    let (status, answer) = post(&world, "ada", "/api/approve-healing", approve.clone()).await;
    assert_eq!(
        (status, &answer["ok"], &answer["approved"]),
        (StatusCode::OK, &json!(true), &json!(true))
    );
    assert!(
        answer["waits_for"]
            .as_str()
            .unwrap()
            .starts_with("a second person"),
        "{answer}"
    );
    let (status, answer) = post(&world, "bob", "/api/approve-healing", approve).await;
    assert_eq!(
        (status, answer),
        (StatusCode::OK, json!({ "ok": true, "approved": true }))
    );

    let all = json!({ "approved": true });
    let (_, answer) = post(&world, "ada", "/api/approve-all", all.clone()).await;
    let wanted = json!({ "ok": true, "approved_count": 1, "rejected_count": 0, "second_person_count": 1, "refused_count": 0 });
    assert_eq!(answer, wanted);
    let (_, answer) = post(&world, "mallory", "/api/approve-all", all.clone()).await;
    assert_eq!(
        (&answer["approved_count"], &answer["refused_count"]),
        (&json!(0), &json!(1))
    );
    let (_, answer) = post(&world, "bob", "/api/approve-all", all).await;
    assert_eq!(
        (&answer["approved_count"], &answer["second_person_count"]),
        (&json!(1), &json!(0))
    );
}

/// Scenario: somebody whom policy does not name decides on what a client-deployed system asked for.
/// Guarantees: refused and on record; the record stays as it was.
#[tokio::test]
async fn posted_approvals_have_approvers_too() {
    let world = world().await;
    let ask = json!({ "agent_id": "a", "decision": "pending", "severity": 9.0 });
    assert_eq!(
        post(&world, "ada", "/api/v1/approvals", ask).await.0,
        StatusCode::NO_CONTENT
    );
    let approve = json!({ "agent_id": "a", "approved": true });
    let (status, _) = post(&world, "mallory", "/api/approve-healing", approve.clone()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let row = &world.log().await[0].row;
    assert_eq!((row.actor.as_str(), row.outcome.as_str()), ("mallory", "refused"));
    assert_eq!(
        post(&world, "bob", "/api/approve-healing", approve).await.0,
        StatusCode::OK
    );
}
