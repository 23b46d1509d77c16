use crate::harness::{World, code_of};
use immune_proto::v1;
use immune_proto::v1::Decision;
use tonic::Code;

/// Scenario: twenty people decide on one case at the same moment, half of them each way.
/// Guarantees: exactly one wins, everyone else is told that person's name, and all are on record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_decision_wins() {
    let world = World::new().await;
    for round in 0..10 {
        let id = world.contained(&format!("agent-{round}"), 8.0).await;
        let decisions = (0..20).map(|i| {
            let (world, id) = (&world, &id);
            let decision = if i % 2 == 0 {
                Decision::Approve
            } else {
                Decision::Reject
            };
            async move { world.decide(id, decision, &format!("person-{i}"), "").await }
        });
        let answers = futures::future::join_all(decisions).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        let winner = world.case(&id).await.last_decision.unwrap().by.subject;
        for refused in answers.into_iter().filter_map(Result::err) {
            assert!(
                refused.message().contains(&format!("by {winner};")),
                "{}",
                refused.message()
            );
        }
        world
            .decide(&id, Decision::Release, "dora", "makes room")
            .await
            .unwrap();
    }
    let refused = world
        .log()
        .await
        .iter()
        .filter(|kind| kind.ends_with(" refused"))
        .count();
    assert_eq!(refused, 190);
}

/// Scenario: eight healers ask for work at the same moment; there is one case.
/// Guarantees: exactly one gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_healer_gets_the_case() {
    let world = World::new().await;
    world.contained("a", 5.0).await;
    let claims = (0..8).map(|i| {
        let world = &world;
        async move { world.claim(&format!("worker-{i}")).await }
    });
    let answers = futures::future::join_all(claims).await;
    assert_eq!(answers.iter().filter(|answer| answer.case.is_some()).count(), 1);
}

/// Scenario: a severe case waits; healers ask for work, then act without having the case, or with an old token.
/// Guarantees: no work is given, and every step is refused.
#[tokio::test]
async fn healers_cannot_begin_on_their_own() {
    let world = World::new().await;
    let severe = world.contained("a", 8.0).await;
    assert_eq!(world.claim("w1").await, v1::ClaimHealingResponse::default());
    let begin = |id: &str, fence| v1::BeginStepRequest {
        case_id: id.into(),
        fence,
        healing_id: "h-1".into(),
        action: "reset_memory".into(),
    };
    let refused = world.client.clone().begin_step(begin(&severe, 1)).await;
    assert_eq!(
        code_of(refused),
        (Code::FailedPrecondition, "quarantine.wrong_state".into())
    );
    world
        .decide(&severe, Decision::Approve, "alice", "")
        .await
        .unwrap();
    let claimed = world.claim("w1").await;
    let refused = world
        .client
        .clone()
        .begin_step(begin(&severe, claimed.fence - 1))
        .await;
    assert_eq!(
        code_of(refused),
        (Code::FailedPrecondition, "quarantine.stale_fence".into())
    );
    world
        .client
        .clone()
        .begin_step(begin(&severe, claimed.fence))
        .await
        .unwrap();
    let short = v1::ClaimHealingRequest {
        worker: "w1".into(),
        lease_ms: 999,
    };
    let refused = world.client.clone().claim_healing(short).await;
    assert_eq!(
        code_of(refused),
        (Code::InvalidArgument, "quarantine.out_of_range".into())
    );
}
