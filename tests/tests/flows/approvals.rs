//! Severe infections wait for a person.

use crate::world::World;
use immune_tests::wiring::Wiring;
use reqwest::StatusCode;
use serde_json::json;
use std::time::Duration;

immune_tests::in_both_wirings!(
    severe_waits_and_approve_heals,
    reject_keeps_contained_and_heal_now_heals,
    of_many_decisions_one_wins,
    release_needs_a_reason_and_frees
);

/// Scenario: an agent falls severely ill; an operator approves with a reason.
/// Guarantees: nothing heals before the approval; the agent executes nothing while it is contained; afterwards it is
/// healed, proven by executions within the baseline, and released, and the action log says who approved.
async fn severe_waits_and_approve_heals(wiring: Wiring) {
    let world = World::start(wiring, json!({})).await;
    let agent = world.learned_agent().await;
    world.infect_severely(&agent).await;
    let case = world.case_in(&agent, "awaiting_approval").await;
    world.contained(&agent).await;

    let before = world.executions(&agent).await;
    world.others_execute(&agent, 10).await;
    assert_eq!(
        world.executions(&agent).await,
        before,
        "a contained agent executed"
    );
    assert_eq!(
        world.actions(&agent).await,
        Vec::<String>::new(),
        "an action before the approval"
    );

    let (status, body) = world
        .api
        .decide(&case, "approve")
        .await
        .expect("the server answers");
    assert_eq!(status, StatusCode::OK, "{body}");
    world.case_in(&agent, "healed").await;
    world.free(&agent).await;
    let log = world.api.get("/api/v1/action-log/recent").await.expect("the log");
    let approval = log
        .as_array()
        .expect("a list")
        .iter()
        .find(|row| row["type"] == "user_approved");
    assert_eq!(
        approval.expect("the approval is in the log")["agent_id"],
        agent.as_str()
    );
}

/// Scenario: the operator rejects, and later orders heal-now.
/// Guarantees: a rejected case keeps the agent contained and unhealed; a second decision is refused aloud; heal-now
/// then heals it.
async fn reject_keeps_contained_and_heal_now_heals(wiring: Wiring) {
    let world = World::start(wiring, json!({})).await;
    let agent = world.learned_agent().await;
    world.infect_severely(&agent).await;
    let case = world.case_in(&agent, "awaiting_approval").await;
    world.contained(&agent).await;

    let (status, _) = world
        .api
        .decide(&case, "reject")
        .await
        .expect("the server answers");
    assert_eq!(status, StatusCode::OK);
    world.case_in(&agent, "rejected").await;
    let (status, problem) = world
        .api
        .decide(&case, "approve")
        .await
        .expect("the server answers");
    assert_eq!(status, StatusCode::CONFLICT, "approve after reject: {problem}");
    let before = world.executions(&agent).await;
    world.others_execute(&agent, 10).await;
    assert_eq!(
        world.executions(&agent).await,
        before,
        "a rejected agent executed"
    );
    assert_eq!(
        world.actions(&agent).await,
        Vec::<String>::new(),
        "a rejected agent was healed"
    );

    let (status, problem) = world
        .api
        .decide(&case, "heal-now")
        .await
        .expect("the server answers");
    assert_eq!(status, StatusCode::OK, "{problem}");
    world.case_in(&agent, "healed").await;
    world.free(&agent).await;
}

/// Scenario: eight people decide the same case at once, half approving and half rejecting.
/// Guarantees: exactly one wins; every other one is refused with a conflict.
async fn of_many_decisions_one_wins(wiring: Wiring) {
    let world = World::start(wiring, json!({})).await;
    let agent = world.learned_agent().await;
    world.infect_severely(&agent).await;
    let case = world.case_in(&agent, "awaiting_approval").await;

    let decisions = (0..8).map(|i| {
        let (api, case) = (world.api.clone(), case.clone());
        tokio::spawn(async move {
            api.decide(&case, if i % 2 == 0 { "approve" } else { "reject" })
                .await
        })
    });
    let mut statuses = Vec::new();
    for decision in decisions {
        statuses.push(decision.await.expect("no panic").expect("the server answers").0);
    }
    let won = statuses
        .iter()
        .filter(|status| **status == StatusCode::OK)
        .count();
    let lost = statuses
        .iter()
        .filter(|status| **status == StatusCode::CONFLICT)
        .count();
    assert_eq!((won, lost), (1, 7), "{statuses:?}");
}

/// Scenario: a person releases a contained agent, first without and then with a reason.
/// Guarantees: a release needs a reason; with one the agent executes again and the case is closed.
async fn release_needs_a_reason_and_frees(wiring: Wiring) {
    let world = World::start(wiring, json!({})).await;
    let agent = world.learned_agent().await;
    world.infect_severely(&agent).await;
    let case = world.case_in(&agent, "awaiting_approval").await;
    world.contained(&agent).await;

    let refused = world
        .api
        .post(&format!("/api/cases/{case}/release"), json!({ "reason": " " }))
        .await;
    assert_eq!(refused.expect("the server answers").0, StatusCode::BAD_REQUEST);
    let (status, problem) = world
        .api
        .decide(&case, "release")
        .await
        .expect("the server answers");
    assert_eq!(status, StatusCode::OK, "{problem}");
    world.free(&agent).await;
    let before = world.executions(&agent).await;
    immune_tests::wait_for("the released agent executes", Duration::from_secs(20), || async {
        (world.executions(&agent).await > before).then_some(())
    })
    .await;
}

/// Scenario: in a cluster the only healer has been killed when a person approves.
/// Guarantees: the approval is answered while nobody could heal; the agent is healed once a healer is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_does_not_wait_for_a_healer() {
    let mut world = World::start(Wiring::Cluster, json!({})).await;
    let agent = world.learned_agent().await;
    world.infect_severely(&agent).await;
    let case = world.case_in(&agent, "awaiting_approval").await;
    world.healer(false);
    let (status, body) = world
        .api
        .decide(&case, "approve")
        .await
        .expect("the server answers before the client gives up");
    assert_eq!(status, StatusCode::OK, "{body}");
    world.healer(true);
    world.case_in(&agent, "healed").await;
}
