//! Decisions made on objects.

use crate::others::{DECIDED_AT, SEAL, sealed};
use crate::world::World;
use immune_domain::policy::Policy;
use immune_proto::v1;
use immune_resources::cases::seal::{DECIDED_BY, DECISION};
use immune_runtime::clock::Clock;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

async fn waiting(world: &World, agent: &str) -> String {
    let id = world.contained(agent, 8.0).await;
    world
        .until_shown(&id, "shown", |object| {
            object["status"]["quarantine"] == "confirmed"
        })
        .await;
    id
}

fn is_bare(object: &Value) -> bool {
    let annotations = object["metadata"]["annotations"].as_object();
    annotations.is_none_or(|all| all.keys().all(|key| !key.starts_with("immune.io/deci")))
}

async fn until_handled(world: &World, id: &str, outcome: &str) -> Value {
    world
        .until_shown(id, outcome, |object| {
            object["status"]["decision"]["outcome"] == outcome && is_bare(object)
        })
        .await;
    world.shown(id)["status"]["decision"].clone()
}

/// Scenario: somebody decides in the dashboard before the decision on the object is read; a release without a reason.
/// Guarantees: both are refused, the object says why and who was first, and a Kubernetes Event warns.
#[tokio::test]
async fn refusals_say_why() {
    let world = World::new().await;
    let _mirror = world.leading("one").await;
    let id = waiting(&world, "a").await;
    world.decide(&id, v1::Decision::Reject, "bob").await;
    world.annotate(&id, "approve", "", "ada");
    let decision = until_handled(&world, &id, "refused").await;
    assert_eq!(
        decision["detail"],
        "case was already rejected by bob; it is rejected now"
    );
    assert_eq!(
        (&decision["what"], &decision["by"]),
        (&json!("approve"), &json!("ada"))
    );
    world
        .until("a warning", async || {
            world
                .events(&id)
                .contains(&("Warning".into(), "DecisionRefused".into()))
        })
        .await;
    world.annotate(&id, "release", "", "ada");
    world
        .until_shown(&id, "refused", |object| {
            object["status"]["decision"]["what"] == "release" && is_bare(object)
        })
        .await;
    assert_eq!(
        world.shown(&id)["status"]["decision"]["detail"],
        "release needs a reason"
    );
    assert_eq!(world.case(&id).await.state.as_str(), "rejected");
    world.annotate(&id, "heal-now", "trust me", "ada");
    until_handled(&world, &id, "done").await;
    assert_ne!(world.case(&id).await.state.as_str(), "rejected");
}

/// Scenario: decisions without a seal, with another's, with one of another object; and a word that is none.
/// Guarantees: none reaches quarantine; each is removed, with a warning.
#[tokio::test]
async fn forged_decisions_go_nowhere() {
    let world = World::new().await;
    let mirror = world.leading("one").await;
    let (id, other) = (waiting(&world, "a").await, waiting(&world, "b").await);
    let other_uid = world.shown(&other)["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    let uid = world.shown(&id)["metadata"]["uid"].as_str().unwrap().to_owned();
    let forged = [
        json!({ DECISION: "approve" }),
        json!({ DECISION: "approve", DECIDED_BY: "ada", SEAL: "" }),
        json!({ DECISION: "approve", DECIDED_BY: "ada", SEAL: sealed(&other_uid, "approve", "", "ada") }),
        json!({ DECISION: "release", DECIDED_BY: "ada", SEAL: sealed(&uid, "approve", "", "ada") }),
        json!({ DECISION: "approve", DECIDED_BY: "eve", SEAL: sealed(&uid, "approve", "", "ada") }),
        json!({ DECISION: "destroy", DECIDED_BY: "ada", SEAL: sealed(&uid, "destroy", "", "ada") }),
        json!({ SEAL: sealed(&uid, "", "", "") }),
    ];
    let count = forged.len();
    for annotations in forged {
        world.server.change("AgentCase", "prod", &id, |object| {
            object["metadata"]["annotations"] = annotations.clone();
        });
        world
            .until_shown(&id, &format!("{annotations} is removed"), is_bare)
            .await;
    }
    world
        .until("each with a warning", async || {
            let all = world.events(&id);
            all.iter()
                .filter(|(_, reason)| reason == "DecisionNotSealed")
                .count()
                == count
        })
        .await;
    assert_eq!(world.case(&id).await.last_decision, None);
    assert_eq!(world.logged("user_approved", "refused").await, 0);
    assert!(world.shown(&id)["status"]["decision"].is_null());
    drop(mirror);
}

/// Scenario: quarantine carries a decision out, and its answer gets lost, three times.
/// Guarantees: it is carried out once, and the object says so.
#[tokio::test]
async fn a_lost_answer_is_no_second_decision() {
    let world = World::new().await;
    let _mirror = world.leading("one").await;
    let id = waiting(&world, "a").await;
    world.answers_lost.store(3, Ordering::SeqCst);
    world.annotate(&id, "approve", "go", "ada");
    let decision = until_handled(&world, &id, "done").await;
    assert_eq!(decision["by"], "ada");
    assert_eq!(
        (
            world.logged("user_approved", "done").await,
            world.logged("user_approved", "refused").await
        ),
        (1, 0)
    );
}

/// Scenario: the process dies after quarantine has carried out a decision and before the object says so.
/// Guarantees: its successor finds it carried out.
#[tokio::test]
async fn a_successor_finds_it_carried_out() {
    let world = World::new().await;
    let mirror = world.leading("one").await;
    let id = waiting(&world, "a").await;
    world.answers_lost.store(1_000, Ordering::SeqCst);
    world.annotate(&id, "reject", "no", "ada");
    world
        .until("carried out", async || {
            world.case(&id).await.state.as_str() == "rejected"
        })
        .await;
    drop(mirror);
    world.answers_lost.store(0, Ordering::SeqCst);
    let _mirror = world.leading("two").await;
    until_handled(&world, &id, "done").await;
    assert_eq!(
        (
            world.logged("user_rejected", "done").await,
            world.logged("user_rejected", "refused").await
        ),
        (1, 0)
    );
}

/// Scenario: a decision that nobody could hand over for an hour.
/// Guarantees: it is no longer carried out, and the object says so.
#[tokio::test]
async fn old_decisions_expire() {
    let world = World::new().await;
    let _mirror = world.leading("one").await;
    let id = waiting(&world, "a").await;
    let uid = world.shown(&id)["metadata"]["uid"].as_str().unwrap().to_owned();
    let then = world.clock.now().minus(std::time::Duration::from_secs(3_600));
    world.server.change("AgentCase", "prod", &id, |object| {
        object["metadata"]["annotations"] = json!({
            DECISION: "approve", DECIDED_BY: "ada", SEAL: sealed(&uid, "approve", "", "ada"),
            DECIDED_AT: then.as_micros().to_string(),
        });
    });
    until_handled(&world, &id, "expired").await;
    assert_eq!(world.case(&id).await.last_decision, None);
}

/// Scenario: policy asks for two people; the same one decides twice, then another one.
/// Guarantees: the object says what is waited for; the same person does not count twice.
#[tokio::test]
async fn two_people() {
    let policy = Policy {
        second_person_from_severity: Some(7.0),
        ..Policy::default()
    };
    let world = World::with_policy(policy).await;
    let _mirror = world.leading("one").await;
    let id = waiting(&world, "a").await;
    world.annotate(&id, "approve", "go", "ada");
    let decision = until_handled(&world, &id, "first_of_two").await;
    assert!(
        decision["detail"]
            .as_str()
            .unwrap()
            .starts_with("somebody else must say so, too")
    );
    world.annotate(&id, "heal-now", "go on", "ada");
    let decision = until_handled(&world, &id, "refused").await;
    assert!(decision["detail"].as_str().unwrap().contains("somebody else"));
    world.annotate(&id, "approve", "fine", "bob");
    until_handled(&world, &id, "done").await;
    assert_ne!(world.case(&id).await.state.as_str(), "awaiting_approval");
}

/// Scenario: the object cannot be written while its decision is handed over; then somebody writes another decision
/// before the first is removed.
/// Guarantees: the first is carried out once; the second is not lost.
#[tokio::test]
async fn a_second_decision_is_not_lost() {
    let world = World::new().await;
    let _mirror = world.leading("one").await;
    let id = waiting(&world, "a").await;
    let when = immune_test_kubernetes::When::verb("patch")
        .on("agentcases/status")
        .times(3);
    world
        .server
        .fail_next(when, immune_test_kubernetes::Failure::Internal);
    world.annotate(&id, "reject", "no", "ada");
    world
        .until("carried out", async || {
            world.case(&id).await.state.as_str() == "rejected"
        })
        .await;
    world.annotate(&id, "release", "let it go", "bob");
    world
        .until("released", async || {
            world.case(&id).await.state.as_str() == "released"
        })
        .await;
    world
        .until_shown(&id, "both are handled", |object| {
            object["status"]["decision"]["what"] == "release" && is_bare(object)
        })
        .await;
    assert_eq!(
        (
            world.logged("user_rejected", "done").await,
            world.logged("user_released", "done").await
        ),
        (1, 1)
    );
}
