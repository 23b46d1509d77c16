//! One case from its beginning to its end; bursts.

use crate::world::{World, condition, config};
use immune_proto::v1;
use immune_resources::cases::Config;
use std::time::Duration;

/// Scenario: a severe case is opened, contained, approved on its object, healed, proven, and forgotten.
/// Guarantees: at each step the object shows what an operator must know, Kubernetes Events tell the same story in
/// order, and the object is removed once it has been shown long enough.
#[tokio::test]
async fn the_story_of_a_case() {
    let world = World::new().await;
    let _mirror = world.leading("one").await;
    let id = world.contained("billing", 8.4).await;
    world
        .until_shown(&id, "contained and waiting", |object| {
            object["status"]["state"] == "awaiting_approval" && object["status"]["quarantine"] == "confirmed"
        })
        .await;
    let object = world.shown(&id);
    assert_eq!(object["spec"]["agent"], "billing");
    assert_eq!(object["spec"]["caseId"], id);
    assert_eq!(object["status"]["severity"], 8.4);
    assert_eq!(object["status"]["diagnosis"], "prompt_drift");
    assert_eq!(object["status"]["levers"][0]["status"], "confirmed");
    assert_eq!(
        object["status"]["summary"],
        "prompt drift (severity 8.4); the agent is quarantined; so severe that a person must decide"
    );
    assert_eq!(
        (
            condition(&object, "Contained"),
            condition(&object, "ApprovalRequired")
        ),
        ("True".into(), "True".into())
    );

    world.annotate(&id, "approve", "looks right", "ada@example.com");
    world
        .until_shown(&id, "decided", |object| {
            object["status"]["decision"]["outcome"] == "done"
        })
        .await;
    world
        .until_shown(&id, "annotations removed", |object| {
            object["metadata"]["annotations"]
                .as_object()
                .is_none_or(|all| all.is_empty())
        })
        .await;
    assert_eq!(world.shown(&id)["status"]["decision"]["by"], "ada@example.com");
    let decided = world.case(&id).await.last_decision.unwrap();
    assert_eq!(
        (decided.by.via.as_str(), decided.reason.as_str()),
        ("kubernetes", "looks right")
    );

    heal(&world, &id, || {}).await;
    world
        .until_shown(&id, "healed and free", |object| {
            condition(object, "Released") == "True"
        })
        .await;
    let object = world.shown(&id);
    assert_eq!(object["status"]["state"], "healed");
    assert!(object["status"]["closedAt"].is_string());
    assert!(object["status"]["next"].is_null());
    let expected = [
        "CaseOpened",
        "ApprovalRequired",
        "Contained",
        "Decided",
        "Healed",
        "Released",
    ];
    world
        .until("all is told", async || world.events(&id).len() >= expected.len())
        .await;
    let told: Vec<String> = world.events(&id).into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(told, expected);

    world.clock.advance(Duration::from_secs(3_601));
    world
        .until("the object is gone", async || world.shown(&id).is_null())
        .await;
}

/// Heals a case as the healer does.
async fn heal(world: &World, id: &str, after_step: impl FnOnce()) {
    let mut quarantine = world.quarantine.clone();
    let claim = v1::ClaimHealingRequest {
        worker: "healer".into(),
        lease_ms: 30_000,
    };
    let claimed = quarantine.claim_healing(claim).await.unwrap().into_inner();
    assert_eq!(claimed.case.unwrap().case_id, id);
    let begin = v1::BeginStepRequest {
        case_id: id.into(),
        fence: claimed.fence,
        healing_id: "healing-1".into(),
        action: "rollback_prompt".into(),
    };
    quarantine.begin_step(begin).await.unwrap();
    world
        .until_shown(id, "healing", |object| {
            object["status"]["next"] == "rollback_prompt" && condition(object, "Healing") == "True"
        })
        .await;
    let end = v1::EndStepRequest {
        case_id: id.into(),
        fence: claimed.fence,
        healing_id: "healing-1".into(),
        outcome: v1::end_step_request::Outcome::Done.into(),
        detail: "rolled back".into(),
    };
    quarantine.end_step(end).await.unwrap();
    after_step();
    world
        .until_shown(id, "probation", |object| object["status"]["state"] == "probation")
        .await;
    let verify = v1::VerifyHealingRequest {
        case_id: id.into(),
        fence: claimed.fence,
        healing_id: "healing-1".into(),
        verdict: v1::verify_healing_request::Verdict::Passed.into(),
        detail: "5 of 5".into(),
    };
    quarantine.verify_healing(verify).await.unwrap();
}

/// Scenario: thirty cases at once, at twenty requests per second.
/// Guarantees: all are shown in the end, with about three requests each and no more per second than allowed.
#[tokio::test]
async fn a_burst_is_written_at_its_pace() {
    let world = World::new().await;
    let mut mirror = world.mirror_as(
        "one",
        Config {
            requests_per_second: 20,
            ..config()
        },
    );
    mirror.synced().await;
    let begun = tokio::time::Instant::now();
    for n in 0..30 {
        world.report(&format!("agent-{n}"), 5.0).await;
    }
    world
        .until("all are shown", async || {
            let all = world.server.list("AgentCase", "");
            all.len() == 30 && all.iter().all(|object| object["status"]["state"].is_string())
        })
        .await;
    let seconds = begun.elapsed().as_secs_f64();
    let writes = world
        .server
        .requests()
        .iter()
        .filter(|request| request.is_write())
        .count();
    assert!(
        writes as f64 <= 20.0 * (seconds + 1.5),
        "{writes} writes in {seconds} s"
    );
}
