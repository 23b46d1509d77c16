//! What was decided live is decided the same way again, from what is on record.

use crate::command_line::immune;
use crate::world::World;
use immune_tests::wiring::Wiring;
use serde_json::{Value, json};

immune_tests::in_both_wirings!(a_live_period_is_repeated_bit_for_bit);

/// Scenario: two of six agents fall ill, one severely and one mildly; the cases stay open, since nobody approves the one
/// and policy heals nothing of the other. Then the period is replayed from the stored executions, once by itself and once
/// under a policy that lets the specified rule decide with a threshold that nothing reaches.
/// Guarantees: both decisions come out again to the last bit of severity, deviations, evidence, window, diagnosis and what
/// was ruled out; each began as an alarm no later than its case; the healthy agents have none; under the proposed policy
/// nobody has one. The command line says the same; a policy with a mistake is refused with its place.
async fn a_live_period_is_repeated_bit_for_bit(wiring: Wiring) {
    let world = World::start(wiring, json!({ "policy": { "defaults": { "mode": "observe" } } })).await;
    let severe = world.learned_agent().await;
    let mild = world.another(&severe);
    world.undisturbed(&severe).await;
    world.undisturbed(&mild).await;
    world.infect_severely(&severe).await;
    world.infect_mildly(&mild).await;
    world.case_in(&severe, "awaiting_approval").await;
    world.case_in(&mild, "awaiting_approval").await;

    let proposed = json!({ "defaults": { "detector": "specified", "threshold_stddev": 1000.0, "high_retry_rate": false } });
    let agents = replay(&world, json!({ "policy": proposed })).await;
    assert_eq!(agents.len(), 6);
    for agent in &agents {
        let id = agent["agent_id"].as_str().expect("an id is text");
        let list = |name: &str| agent[name].as_array().expect("a list").clone();
        assert!(list("proposed").is_empty(), "{agent:#}");
        let decisions = list("decisions");
        if id != severe && id != mild {
            assert!(
                list("current").is_empty() && decisions.is_empty(),
                "{id} is well: {agent:#}"
            );
            continue;
        }
        assert_eq!(decisions.len(), 1, "{agent:#}");
        assert_eq!(decisions[0]["is_repeated"], true, "{agent:#}");
        let began = list("current")[0]["at"].as_f64().expect("a time");
        let detected = decisions[0]["detected_at"].as_f64().expect("a time");
        assert!(began <= detected, "{agent:#}");
    }

    let table = immune(&world, &["backtest", "--from", "1h"]).await;
    let said = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.status.success(), "{table:?}");
    assert!(
        said.contains("2 of 2 decisions on record repeated bit for bit"),
        "{said}"
    );
    let wrong = json!({ "policy": { "defaults": { "threshold_stddev": -1.0 } } });
    let (status, problem) = world.api.post("/api/backtest", wrong).await.expect("an answer");
    assert_eq!(status.as_u16(), 400, "{problem}");
    assert!(problem.to_string().contains("threshold_stddev"), "{problem}");
}

/// Every agent, page by page.
async fn replay(world: &World, mut body: Value) -> Vec<Value> {
    let mut agents = Vec::new();
    body["limit"] = json!(4);
    loop {
        let (status, page) = world
            .api
            .post("/api/backtest", body.clone())
            .await
            .expect("an answer");
        assert_eq!(status.as_u16(), 200, "{page}");
        agents.extend(page["agents"].as_array().expect("a list").clone());
        match page["next_after"].as_str() {
            Some(next) => body["after"] = json!(next),
            None => return agents,
        }
    }
}
