//! The API server away, and back.

use crate::world::World;
use immune_test_kubernetes::{Failure, When};

/// Scenario: the API server answers nothing while a case is opened, contained and released; then it is back.
/// Guarantees: quarantine works meanwhile, the mirror says what is wrong, asks now and then only, and shows everything
/// afterwards.
#[tokio::test]
async fn what_was_missed_is_shown() {
    let world = World::new().await;
    let mut mirror = world.leading("one").await;
    let before = world.contained("before", 8.0).await;
    world
        .until_shown(&before, "shown", |object| {
            object["status"]["quarantine"] == "confirmed"
        })
        .await;
    world.server.fail_next(When::any().times(1_000_000), Failure::Cut);
    world.server.expire_watches();
    world.server.forget_requests();
    let id = world.contained("a", 8.0).await;
    mirror
        .wait_for("it says so", |state| state.api_error.is_some())
        .await;
    assert_eq!(mirror.metrics.api_down.get(), 1);
    let begun = tokio::time::Instant::now();
    world
        .until("a while", async || begun.elapsed().as_millis() > 1_500)
        .await;
    assert!(world.shown(&id).is_null());
    let asked = world.server.requests().len();
    assert!(asked < 60, "{asked} requests while nobody answers");
    world.server.heal();
    world
        .until_shown(&id, "shown", |object| {
            object["status"]["quarantine"] == "confirmed"
        })
        .await;
    mirror
        .wait_for("it says so", |state| state.api_error.is_none() && state.is_synced)
        .await;
    world.until("told", async || world.events(&id).len() == 3).await;
    assert_eq!(mirror.metrics.api_down.get(), 0);
}

/// Scenario: watches expire; requests are refused now and then; answers get lost after they took effect.
/// Guarantees: everything is shown in the end.
#[tokio::test]
async fn single_failures_are_survived() {
    let world = World::new().await;
    let _mirror = world.leading("one").await;
    let failures = [
        (When::verb("patch").on("agentcases"), Failure::Conflict),
        (When::verb("patch").on("agentcases"), Failure::CutAfter),
        (
            When::verb("patch").on("agentcases/status"),
            Failure::TooManyRequests(1),
        ),
        (When::verb("patch").on("agentcases/status"), Failure::Internal),
        (When::verb("create").on("events"), Failure::CutAfter),
        (When::verb("watch"), Failure::Internal),
    ];
    for (when, failure) in failures {
        world.server.fail_next(when, failure);
    }
    let id = world.contained("a", 8.0).await;
    world.server.expire_watches();
    world
        .until_shown(&id, "shown", |object| {
            object["status"]["quarantine"] == "confirmed"
        })
        .await;
    world
        .until("told once", async || world.events(&id).len() == 3)
        .await;
    world.server.delete("AgentCase", "prod", &id);
    world
        .until_shown(&id, "shown again", |object| object["status"]["state"].is_string())
        .await;
}
