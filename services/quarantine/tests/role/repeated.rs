//! Calls that are made once more, because their first answer was lost.

use crate::harness::{World, code_of};
use immune_domain::case::Case;
use immune_proto::v1;
use immune_proto::v1::Decision;
use immune_proto::v1::end_step_request::Outcome;
use immune_proto::v1::verify_healing_request::Verdict;
use std::time::Duration;
use tonic::Code;

/// Scenario: a person's decision on a version is sent again: at once, after a healer took the case, with another
/// reason, by somebody else, and a minute later.
/// Guarantees: the first two are answered with the case, and only one decision is on record; the others are refused.
#[tokio::test]
async fn a_decision_sent_again() {
    let world = World::new().await;
    let id = world.contained("a", 8.0).await;
    let seen = world.case(&id).await.version;
    let approve = async |who: &str, reason: &str| {
        world
            .decide_at(&id, Decision::Approve, who, reason, seen)
            .await
            .map(|case| case.version)
    };
    assert_eq!(approve("alice", " go ").await.unwrap(), seen + 1);
    assert_eq!(approve("alice", "go").await.unwrap(), seen + 1);
    world.claim("w").await;
    assert_eq!(approve("alice", "go").await.unwrap(), seen + 2);
    let decided = "quarantine.case_already_decided".to_owned();
    for (who, reason) in [("alice", "on second thoughts"), ("bob", "go")] {
        assert_eq!(
            code_of(approve(who, reason).await),
            (Code::FailedPrecondition, decided.clone())
        );
    }
    let rejected = world.decide_at(&id, Decision::Reject, "alice", "go", seen).await;
    assert_eq!(code_of(rejected).1, decided);
    world.clock.advance(Duration::from_secs(31));
    assert_eq!(code_of(approve("alice", "go").await).1, decided);
    let rows = world.log().await;
    assert_eq!(rows.iter().filter(|kind| *kind == "user_approved").count(), 1);
}

/// Scenario: somebody else's change comes between the person's look and the decision, at the very moment of saving.
/// Guarantees: a decision on a version is applied to that version or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_is_on_the_version_that_was_seen() {
    let world = World::new().await;
    for round in 0..20 {
        let agent = format!("agent-{round}");
        let id = world.contained(&agent, 8.0).await;
        let seen = world.case(&id).await.version;
        let worse = format!("worse-{round}");
        let (decided, _) = tokio::join!(
            world.decide_at(&id, Decision::Approve, "alice", "", seen),
            world.report(&agent, &worse, 9.0)
        );
        match decided {
            Ok(case) => assert_eq!(case.version, seen + 1),
            Err(status) => assert_eq!(
                code_of(Err::<(), _>(status)),
                (Code::FailedPrecondition, "quarantine.version_changed".into())
            ),
        }
        let case = world.case(&id).await;
        assert_eq!(
            case.version,
            seen + if case.last_decision.is_some() { 2 } else { 1 }
        );
        world
            .decide(&id, Decision::Release, "dora", "makes room")
            .await
            .unwrap();
    }
}

fn case(message: Option<v1::Case>) -> Case {
    Case::try_from(message.unwrap()).unwrap()
}

/// Scenario: a healer makes every one of its calls twice, on the way to a failed step and to a proven one.
/// Guarantees: the second is answered like the first, with the case where it was.
#[tokio::test]
async fn every_call_of_a_healer_sent_again() {
    let world = World::new().await;
    let id = world.contained("a", 5.0).await;
    let mut client = world.client.clone();
    for (healing, action, outcome) in [
        ("h-1", "reset_memory", Outcome::Failed),
        ("h-2", "rollback_prompt", Outcome::Done),
    ] {
        world.clock.advance(Duration::from_secs(600));
        let fence = world.claim("w").await.fence;
        let begin = v1::BeginStepRequest {
            case_id: id.clone(),
            fence,
            healing_id: healing.into(),
            action: action.into(),
        };
        let once = case(client.begin_step(begin.clone()).await.unwrap().into_inner().case);
        let again = case(client.begin_step(begin).await.unwrap().into_inner().case);
        assert_eq!(once, again);
        let renew = v1::RenewHealingRequest {
            case_id: id.clone(),
            fence,
            lease_ms: 30_000,
        };
        client.renew_healing(renew.clone()).await.unwrap();
        client.renew_healing(renew).await.unwrap();
        let end = v1::EndStepRequest {
            case_id: id.clone(),
            fence,
            healing_id: healing.into(),
            outcome: outcome.into(),
            detail: "the platform's word".into(),
        };
        let once = case(client.end_step(end.clone()).await.unwrap().into_inner().case);
        let again = case(client.end_step(end).await.unwrap().into_inner().case);
        // A lever may have answered in between, which is another change.
        assert_eq!((once.state, once.attempts), (again.state, again.attempts));
        let verify = v1::VerifyHealingRequest {
            case_id: id.clone(),
            fence,
            healing_id: healing.into(),
            verdict: Verdict::Passed.into(),
            detail: "five executions".into(),
        };
        if outcome == Outcome::Done {
            // The release under watch may be confirmed in between, and the release after it.
            world
                .until("the lever has let the agent run", async |w| {
                    w.case(&id)
                        .await
                        .quarantine
                        .levers
                        .iter()
                        .all(|lever| !lever.is_pending())
                })
                .await;
            let once = case(
                client
                    .verify_healing(verify.clone())
                    .await
                    .unwrap()
                    .into_inner()
                    .case,
            );
            let again = case(client.verify_healing(verify).await.unwrap().into_inner().case);
            assert_eq!(once.state, again.state);
        }
    }
    let closed = world.case(&id).await;
    assert_eq!((closed.state.as_str(), closed.attempts.len()), ("healed", 2));
    let log = world.log().await;
    assert_eq!(log.iter().filter(|kind| *kind == "healing_attempt").count(), 2);
}

/// Scenario: the answer to a claim is lost; the same healer asks again.
/// Guarantees: the case is not given while the lost lease holds, and is given with a higher token afterwards.
#[tokio::test]
async fn a_claim_sent_again() {
    let world = World::new().await;
    world.contained("a", 5.0).await;
    let lost = world.claim("w").await;
    assert!(lost.case.is_some());
    assert_eq!(world.claim("w").await, v1::ClaimHealingResponse::default());
    world.clock.advance(Duration::from_secs(31));
    let found = world.claim("w").await;
    assert!(found.fence > lost.fence && found.case.is_some());
}
