//! An API server that says no, is slow, or goes away in the middle.

use crate::world::{NAMESPACE, World, config, done, ended, granted};
use immune_domain::healing::Action;
use immune_levers::Outcome;
use immune_levers_kubernetes::Config;
use immune_levers_kubernetes::access::RULES;
use immune_test_kubernetes::{Failure, When};
use serde_json::json;

/// Scenario: each request of a containment, one after the other, is refused, cut before it is done, cut after it is
/// done, and answered by 500; then it is asked for again.
/// Guarantees: no receipt without a quarantine; asked again, it is contained, and release leaves nothing.
#[tokio::test]
async fn a_containment_survives_a_failure_at_every_request() {
    let failures = [
        Failure::Forbidden,
        Failure::Cut,
        Failure::CutAfter,
        Failure::Internal,
        Failure::Conflict,
    ];
    // As many requests as a containment makes, events aside.
    for place in 0..9 {
        for failure in &failures {
            let world = World::start_with(Config {
                scale_to_zero: true,
                ..config()
            })
            .await;
            let before = world.deploy("research")["spec"].clone();
            world.server.fail_next(When::any().after(place), failure.clone());
            let answer = world.contain("research").await;
            if answer.outcome == Outcome::Done {
                assert!(
                    world.policies().len() == 1 && world.pods().is_empty(),
                    "{place} {failure:?}: {answer:?}"
                );
            }
            world.server.heal();
            done(world.contain("research").await);
            assert!(world.policies().len() == 1 && world.pods().is_empty());
            done(world.free("research").await);
            assert!(world.policies().is_empty(), "{place} {failure:?}");
            assert_eq!(
                world.deployment("research")["spec"],
                before,
                "{place} {failure:?}"
            );
        }
    }
}

/// Scenario: as above, for a release.
/// Guarantees: asked again, nothing of the quarantine is left.
#[tokio::test]
async fn a_release_survives_a_failure_at_every_request() {
    for place in 0..12 {
        for failure in [
            Failure::Forbidden,
            Failure::Cut,
            Failure::CutAfter,
            Failure::Conflict,
        ] {
            let world = World::start_with(Config {
                scale_to_zero: true,
                ..config()
            })
            .await;
            let before = world.deploy("research")["spec"].clone();
            done(world.contain("research").await);
            world.server.fail_next(When::any().after(place), failure.clone());
            let answer = world.free("research").await;
            if answer.outcome == Outcome::Done {
                assert!(world.policies().is_empty(), "{place} {failure:?}: {answer:?}");
            }
            world.server.heal();
            done(world.free("research").await);
            assert!(world.policies().is_empty());
            assert_eq!(
                world.deployment("research")["spec"],
                before,
                "{place} {failure:?}"
            );
        }
    }
}

/// Scenario: as above, for each healing.
/// Guarantees: asked again with the same order, it is done, and once.
#[tokio::test]
async fn a_healing_survives_a_failure_at_every_request() {
    for place in 0..14 {
        for failure in [
            Failure::Forbidden,
            Failure::Cut,
            Failure::CutAfter,
            Failure::Conflict,
        ] {
            let world = World::start().await;
            world.deploy("research");
            let old = world.pods()[0]["metadata"]["uid"].clone();
            for version in ["v2", "v3"] {
                world
                    .server
                    .change("Deployment", NAMESPACE, "research", |object| {
                        object["spec"]["template"] = crate::world::template("research", version);
                    });
            }
            for action in [Action::RollbackPrompt, Action::ResetMemory, Action::CloneAgent] {
                world.server.fail_next(When::any().after(place), failure.clone());
                let _ = world.heal("research", action, action.as_str()).await;
                world.server.heal();
                done(world.heal("research", action, action.as_str()).await);
            }
            let copies: Vec<_> = world
                .server
                .list("Deployment", NAMESPACE)
                .into_iter()
                .filter(|object| object["metadata"]["name"] != "research")
                .collect();
            assert_eq!(copies.len(), 1, "{place} {failure:?}");
            let image = &copies[0]["spec"]["template"]["spec"]["containers"][0]["image"];
            assert_eq!(
                *image, "agent:v2",
                "{place} {failure:?}: one revision back, not two"
            );
            assert!(world.pods().len() == 1 && world.pods()[0]["metadata"]["uid"] != old);
        }
    }
}

/// Scenario: the right to write policies is not granted; an admission webhook refuses the workload.
/// Guarantees: failed, with the server's words.
#[tokio::test]
async fn refusals_are_told_in_the_servers_words() {
    let world = World::start().await;
    world.deploy("research");
    let without: Vec<_> = RULES
        .iter()
        .filter(|rule| rule.resource != "networkpolicies")
        .copied()
        .collect();
    world.server.set_access(granted(&without));
    let words = ended(world.contain("research").await, Outcome::Failed);
    assert!(
        words.contains("applying NetworkPolicy agents/immune-quarantine-") && words.contains("forbidden"),
        "{words}"
    );
    world.server.set_access(granted(RULES));
    let refused = Failure::Admission("labels are frozen on Fridays".to_owned());
    world
        .server
        .fail_next(When::verb("patch").on("deployments").times(9), refused);
    let words = ended(world.contain("research").await, Outcome::Failed);
    assert!(words.contains("labels are frozen on Fridays"), "{words}");
}

/// Scenario: the API server accepts the connection and never answers.
/// Guarantees: unknown within the deadline, for it may have been done.
#[tokio::test]
async fn silence_is_unknown() {
    let world = World::start_with(Config {
        deadline_seconds: 0.3,
        ..config()
    })
    .await;
    world.deploy("research");
    world.server.fail_next(When::any().times(9), Failure::Hang);
    let words = ended(world.contain("research").await, Outcome::Unknown);
    assert!(words.contains("did not answer within 0.3 s"), "{words}");
}

/// Scenario: the workload's selector chooses every pod of the namespace.
/// Guarantees: nobody is contained by it, least of all everybody.
#[tokio::test]
async fn a_selector_of_everything_is_refused() {
    let world = World::start().await;
    world.deploy("research");
    world.server.set_controllers(false);
    world
        .server
        .change("Deployment", NAMESPACE, "research", |object| {
            object["spec"]["selector"] = json!({})
        });
    let words = ended(world.contain("research").await, Outcome::Failed);
    assert!(words.contains("chooses every pod"), "{words}");
    assert!(world.policies().is_empty());
}
