use crate::harness::{World, code_of};
use immune_domain::case::{State, WaitReason};
use immune_domain::policy::{BlastRadius, Mode, Policy};
use immune_proto::v1::Decision;
use std::collections::BTreeSet;
use tonic::Code;

/// Scenario: the same report arrives twice, then a worse one of the same agent.
/// Guarantees: one case, opened once and recorded once; the worse report is merged into it.
#[tokio::test]
async fn one_open_case_per_agent() {
    let world = World::new().await;
    let first = world.report("a", "i-1", 7.5).await;
    let again = world.report("a", "i-1", 7.5).await;
    let worse = world.report("a", "i-2", 9.0).await;
    assert_eq!((first.opened, again.opened, worse.opened), (true, false, false));
    assert_eq!(
        BTreeSet::from([first.case_id.clone(), again.case_id, worse.case_id]).len(),
        1
    );
    assert_eq!(world.case(&first.case_id).await.infection.severity, 9.0);
    let log = world.log().await;
    assert_eq!(
        log.iter().filter(|kind| *kind == "case_opened").count(),
        1,
        "{log:?}"
    );
}

/// Scenario: forty reports of one agent at the same moment, each with an id of its own.
/// Guarantees: exactly one opens a case; all name it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_reports_open_one_case() {
    let world = World::new().await;
    let reports = (0..40).map(|i| {
        let world = &world;
        async move { world.report("a", &format!("i-{i}"), 5.0).await }
    });
    let answers = futures::future::join_all(reports).await;
    assert_eq!(answers.iter().filter(|answer| answer.opened).count(), 1);
    assert_eq!(
        answers
            .iter()
            .map(|answer| &answer.case_id)
            .collect::<BTreeSet<_>>()
            .len(),
        1
    );
}

/// Scenario: an agent whose case was closed falls ill again; an old report of the first case arrives late.
/// Guarantees: a new case for a new report; the old report opens nothing.
#[tokio::test]
async fn a_new_illness_is_a_new_case() {
    let world = World::new().await;
    let first = world.contained("a", 8.0).await;
    world
        .decide(&first, Decision::Release, "dora", "known experiment")
        .await
        .unwrap();
    let second = world.report("a", "i-2", 8.0).await;
    assert!(second.opened);
    assert_ne!(second.case_id, first);
    let late = world.report("a", "infection of a", 8.0).await;
    assert_eq!((late.opened, late.case_id), (false, first));
}

/// Scenario: eight agents of one run fall ill at the same moment; the cap is five.
/// Guarantees: exactly five are quarantined; the others wait for a person, run free, and one alert says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_blast_radius_is_capped() {
    let world = World::new().await;
    let agents: Vec<String> = (0..8).map(|i| format!("agent-{i}")).collect();
    let reports = agents.iter().map(|agent| world.report(agent, agent, 5.0));
    let opened = futures::future::join_all(reports).await;
    let (mut contained, mut waiting) = (0, 0);
    for (agent, answer) in agents.iter().zip(&opened) {
        let case = world.case(&answer.case_id).await;
        match &case.state {
            State::AwaitingApproval {
                reason: WaitReason::BlastRadius { cap: 5 },
                ..
            } => {
                waiting += 1;
                assert!(world.admission(agent).await.unwrap().allowed);
            }
            State::HealQueued { .. } => {
                contained += 1;
                assert!(!world.admission(agent).await.unwrap().allowed);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((contained, waiting), (5, 3));
    let log = world.log().await;
    assert_eq!(
        log.iter().filter(|kind| *kind == "blast_radius_reached").count(),
        1,
        "{log:?}"
    );
}

/// Scenario: with a cap of one, the quarantined agent is released; another falls ill.
/// Guarantees: its place is free again, also after a restart.
#[tokio::test]
async fn a_release_makes_room() {
    let blast_radius = BlastRadius {
        agents: 1,
        share: 0.0,
    };
    let world = World::with_policy(Policy {
        blast_radius,
        ..Policy::default()
    })
    .await;
    let first = world.contained("a", 8.0).await;
    let world = world.restarted().await;
    let beyond = world.report("b", "i-b", 8.0).await;
    assert_eq!(
        world.case(&beyond.case_id).await.quarantine.phase.as_str(),
        "not_wanted"
    );
    world
        .decide(&first, Decision::Release, "dora", "known experiment")
        .await
        .unwrap();
    world.contained("c", 8.0).await;
}

/// Scenario: the policy only observes; then a person approves.
/// Guarantees: the lever is not asked before the person's word, and is after it.
#[tokio::test]
async fn observing_pulls_no_lever() {
    let world = World::with_policy(Policy {
        mode: Mode::Observe,
        ..Policy::default()
    })
    .await;
    let id = world.report("a", "i-1", 9.0).await.case_id;
    assert_eq!(world.case(&id).await.quarantine.phase.as_str(), "not_wanted");
    assert!(world.lever.asks().is_empty() && world.admission("a").await.unwrap().allowed);
    world.decide(&id, Decision::Approve, "alice", "").await.unwrap();
    world.until_phase(&id, "confirmed").await;
}

/// Scenario: reports that cannot be read.
/// Guarantees: refused by the path of the field, and nothing is opened.
#[tokio::test]
async fn malformed_reports_are_refused() {
    let world = World::new().await;
    for severity in [-0.1, 10.1, f64::NAN] {
        let result = world.try_report("a", "i", severity).await;
        assert!(
            result
                .as_ref()
                .unwrap_err()
                .message()
                .starts_with("infection.severity: ")
        );
        assert_eq!(
            code_of(result),
            (Code::InvalidArgument, "quarantine.malformed".into())
        );
    }
    assert!(world.log().await.is_empty());
}
