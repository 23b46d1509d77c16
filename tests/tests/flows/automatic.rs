//! Mild infections heal by themselves, and memory is used.

use crate::world::World;
use immune_tests::wiring::Wiring;
use serde_json::json;

immune_tests::in_both_wirings!(mild_heals_by_itself, what_failed_is_not_tried_again);

/// Scenario: an agent falls mildly ill and nobody is there.
/// Guarantees: it is contained, healed by the ladder and released without a person, and immune memory knows what
/// helped.
async fn mild_heals_by_itself(wiring: Wiring) {
    let world = World::start(wiring, json!({})).await;
    let agent = world.learned_agent().await;
    // What is mild is evident only where the agent is known a little longer than a baseline takes.
    world.undisturbed(&agent).await;
    world.infect_mildly(&agent).await;
    world.case_in(&agent, "healed").await;
    world.free(&agent).await;
    let rate = world
        .api
        .get("/api/v1/healing/success-rate")
        .await
        .expect("the rate");
    assert!(rate["rate"].as_f64().is_some_and(|rate| rate > 0.0), "{rate}");
}

/// Scenario: the same in six processes without Redis, so that ingestion streams to baseline and sentinel.
/// Guarantees: the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mild_heals_by_itself_over_streams() {
    mild_heals_by_itself(Wiring::Streams).await;
}

/// Scenario: the same agent drifts from its prompt twice; only rollback_prompt cures that, and the ladder tries
/// reset_memory first. A person approves what has become severe on the way.
/// Guarantees: the first healing fails at reset_memory and succeeds at rollback_prompt; the second goes straight to
/// rollback_prompt, since what failed for this agent and diagnosis is not tried again. (The threshold is a little
/// higher than by default: a single execution of a healthy agent at 2.6 standard deviations is a case of its own, and
/// another story.)
async fn what_failed_is_not_tried_again(wiring: Wiring) {
    let world = World::start(
        wiring,
        json!({ "policy": { "defaults": { "threshold_stddev": 3.0, "ladders": {
        "prompt_drift": ["reset_memory", "rollback_prompt"],
        "token_explosion": ["reset_memory", "rollback_prompt"],
    } } } }),
    )
    .await;
    let agent = world.learned_agent().await;
    world.undisturbed(&agent).await;
    world.drift_mildly(&agent).await;
    let first = world.heal(&agent, "").await;
    assert_eq!(
        world.attempts(&first).await,
        [("reset_memory", "failed"), ("rollback_prompt", "succeeded")].map(own)
    );
    world.free(&agent).await;
    world.healthy_again(&agent).await;
    world.undisturbed(&agent).await;

    world.drift_mildly(&agent).await;
    let second = world.heal(&agent, &first).await;
    assert_eq!(
        world.attempts(&second).await,
        [("rollback_prompt", "succeeded")].map(own)
    );
    let failed = world
        .api
        .get(&format!(
            "/api/v1/healing/failed-actions?agent_id={agent}&diagnosis_type={}",
            world.diagnosis(&second).await
        ))
        .await
        .expect("the failed actions");
    assert_eq!(failed["actions"], json!(["reset_memory"]));
}

fn own((action, outcome): (&str, &str)) -> (String, String) {
    (action.to_owned(), outcome.to_owned())
}
