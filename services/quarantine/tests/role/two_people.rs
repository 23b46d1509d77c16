//! Cases that need two people, and policies that name who may decide.

use crate::harness::{World, code_of};
use immune_domain::case::State;
use immune_domain::policy::{BlastRadius, Policy};
use immune_proto::v1::Decision;
use std::time::Duration;
use tonic::Code;

async fn world() -> World {
    World::with_policy(Policy {
        second_person_from_severity: Some(7.5),
        approvers: vec!["alice".into(), "bob".into(), "c*".into()],
        blast_radius: BlastRadius {
            agents: 100,
            ..BlastRadius::default()
        },
        ..Policy::default()
    })
    .await
}

/// Scenario: alice approves, her client repeats the call, she tries again as if she were the second, somebody who is
/// not named tries; then bob approves.
/// Guarantees: the state waits for bob; the repeated call is answered with the case; the rest is refused with its code;
/// every step is in the log with its name.
#[tokio::test]
async fn two_people_approve() {
    let world = world().await;
    let id = world.contained("a", 8.0).await;
    let seen = world.case(&id).await.version;
    let first = world
        .decide_at(&id, Decision::Approve, "alice", "go", seen)
        .await
        .unwrap();
    assert!(
        matches!(first.state, State::AwaitingApproval { .. }),
        "{:?}",
        first.state
    );
    assert_eq!(first.first_approval.as_ref().unwrap().by.subject, "alice");
    let again = world
        .decide_at(&id, Decision::Approve, "alice", "go", seen)
        .await
        .unwrap();
    assert_eq!(again.version, first.version);
    let twice = world.decide(&id, Decision::HealNow, "alice", "").await;
    assert_eq!(
        code_of(twice),
        (Code::FailedPrecondition, "quarantine.second_person_needed".into())
    );
    let mallory = world.decide(&id, Decision::Approve, "mallory", "").await;
    assert_eq!(
        code_of(mallory),
        (Code::PermissionDenied, "quarantine.not_an_approver".into())
    );
    let done = world.decide(&id, Decision::Approve, "bob", "").await.unwrap();
    assert!(matches!(done.state, State::HealQueued { .. }), "{:?}", done.state);
    let decisions: Vec<String> = world
        .log()
        .await
        .into_iter()
        .filter(|kind| {
            ["user_", "explicit_", "second_"]
                .iter()
                .any(|word| kind.starts_with(word))
        })
        .collect();
    assert_eq!(
        decisions,
        [
            "second_person_wanted",
            "explicit_heal_requested refused",
            "user_approved refused",
            "user_approved"
        ]
    );
}

/// Scenario: alice approves, and nobody comes; the role is started again in between.
/// Guarantees: after an hour her word has lapsed by itself, and it says so.
#[tokio::test]
async fn a_first_word_lapses_by_itself() {
    let world = world().await;
    let id = world.contained("a", 8.0).await;
    world.decide(&id, Decision::Approve, "alice", "").await.unwrap();
    let world = world.restarted().await;
    world.clock.advance(Duration::from_secs(3_600));
    world
        .until("her word has lapsed", async |w| {
            w.log().await.contains(&"first_approval_lapsed".into())
        })
        .await;
    assert_eq!(world.case(&id).await.first_approval, None);
}

/// Scenario: two people approve at the same moment, again and again.
/// Guarantees: each time one is first and the other second, whichever it was, and the case goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_at_once_are_two() {
    let world = world().await;
    for round in 0..20 {
        let id = world.contained(&format!("agent-{round}"), 8.0).await;
        let (a, b) = tokio::join!(
            world.decide(&id, Decision::Approve, "alice", ""),
            world.decide(&id, Decision::Approve, "bob", "")
        );
        a.unwrap();
        b.unwrap();
        let case = world.case(&id).await;
        assert!(matches!(case.state, State::HealQueued { .. }), "{:?}", case.state);
        let last = case.last_decision.unwrap();
        assert_ne!(last.by.subject, last.first.unwrap().by.subject);
    }
}
