use crate::harness::{World, code_of};
use immune_domain::case::State;
use immune_domain::healing::Trigger;
use immune_proto::v1;
use immune_proto::v1::Decision;
use std::time::Duration;
use tonic::Code;

/// Scenario: a severe case is approved; another is rejected and then healed by order.
/// Guarantees: each takes its way; the log tells who did what.
#[tokio::test]
async fn approve_reject_and_heal_now() {
    let world = World::new().await;
    let approved = world.contained("a", 8.0).await;
    let case = world
        .decide(&approved, Decision::Approve, "alice", "go")
        .await
        .unwrap();
    assert!(matches!(
        case.state,
        State::HealQueued {
            trigger: Trigger::AfterApproval,
            ..
        }
    ));
    let rejected = world.contained("b", 8.0).await;
    world
        .decide(&rejected, Decision::Reject, "bob", "")
        .await
        .unwrap();
    assert!(
        !world.admission("b").await.unwrap().allowed,
        "a rejected case stays quarantined"
    );
    let case = world
        .decide(&rejected, Decision::HealNow, "carol", "")
        .await
        .unwrap();
    assert!(matches!(
        case.state,
        State::HealQueued {
            trigger: Trigger::ExplicitAfterReject,
            ..
        }
    ));
    let log = world.log().await;
    let decisions: Vec<&str> = log
        .iter()
        .map(String::as_str)
        .filter(|kind| kind.starts_with("user_") || kind.starts_with("explicit_"))
        .collect();
    assert_eq!(
        decisions,
        ["user_approved", "user_rejected", "explicit_heal_requested"]
    );
}

/// Scenario: a decision without a verified person; a release without a reason; a case that does not exist.
/// Guarantees: each is refused with its own code, and the refused release is on record with its person.
#[tokio::test]
async fn decisions_that_are_refused() {
    let world = World::new().await;
    let id = world.contained("a", 8.0).await;
    let request = v1::DecideRequest {
        case_id: id.clone(),
        decision: Decision::Approve.into(),
        ..Default::default()
    };
    assert_eq!(
        code_of(world.client.clone().decide(request).await).0,
        Code::Unauthenticated
    );
    let silent = world.decide(&id, Decision::Release, "dora", " ").await;
    assert_eq!(
        code_of(silent),
        (Code::InvalidArgument, "quarantine.reason_missing".into())
    );
    let unset = world.decide(&id, Decision::Unspecified, "dora", "").await;
    assert_eq!(code_of(unset).0, Code::InvalidArgument);
    let unknown = world.decide("no-such-case", Decision::Approve, "dora", "").await;
    assert_eq!(
        code_of(unknown),
        (Code::NotFound, "quarantine.case_not_found".into())
    );
    let rows = world
        .stores
        .action_log
        .recent(&"default".into(), None, 1)
        .await
        .unwrap();
    let row = &rows[0].row;
    assert_eq!(
        (row.kind.as_str(), row.outcome.as_str(), row.actor.as_str()),
        ("user_released", "refused", "dora")
    );
}

/// Scenario: a person decides on a page that is out of date.
/// Guarantees: refused with the present version, or with the name of whoever decided meanwhile.
#[tokio::test]
async fn decisions_on_an_old_version_are_refused() {
    let world = World::new().await;
    let id = world.contained("a", 8.0).await;
    let version = world.case(&id).await.version;
    world.report("a", "i-2", 9.5).await;
    let stale = world
        .decide_at(&id, Decision::Approve, "alice", "", version)
        .await;
    assert_eq!(
        code_of(stale),
        (Code::FailedPrecondition, "quarantine.version_changed".into())
    );
    world
        .decide_at(&id, Decision::Approve, "alice", "", version + 1)
        .await
        .unwrap();
    let late = world
        .decide_at(&id, Decision::Reject, "bob", "", version + 1)
        .await
        .unwrap_err();
    assert_eq!(
        late.message(),
        "case was already approved by alice; it is heal_queued now"
    );
}

/// Scenario: nobody decides for a quarter of an hour.
/// Guarantees: the wait escalates once, also when the role was restarted in between; it does not decide.
#[tokio::test]
async fn waits_escalate() {
    let world = World::new().await;
    let id = world.contained("a", 8.0).await;
    let world = world.restarted().await;
    world.clock.advance(Duration::from_secs(900));
    world
        .until("the wait has escalated", async |w| {
            w.log().await.contains(&"approval_escalated".into())
        })
        .await;
    let case = world.case(&id).await;
    assert!(
        matches!(case.state, State::AwaitingApproval { escalations: 1, .. }),
        "{:?}",
        case.state
    );
}

/// Scenario: a decision is asked for on behalf of somebody who may use other runs than the case's.
/// Guarantees: the case does not exist for that request, and is as it was; with its run among them it is decided.
#[tokio::test]
async fn a_case_of_another_run_does_not_exist() {
    let world = World::new().await;
    let id = world.contained("a", 8.0).await;
    let decide = async |runs: &[&str]| {
        let request = v1::DecideRequest {
            case_id: id.clone(),
            decision: Decision::Approve.into(),
            only_runs: runs.iter().map(|run| (*run).to_owned()).collect(),
            ..Default::default()
        };
        let person = immune_domain::case::Person {
            subject: "olga".into(),
            via: "api_key".into(),
        };
        let request = immune_runtime::access::with_person(request, &person);
        world
            .client
            .clone()
            .decide(request)
            .await
            .map(|answer| answer.into_inner())
    };
    assert_eq!(code_of(decide(&["other"]).await).0, Code::NotFound);
    let decided = decide(&["other", "default"]).await.unwrap();
    assert_eq!(
        decided.case.unwrap().last_decision.unwrap().by.unwrap().subject,
        "olga"
    );
}
