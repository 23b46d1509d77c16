//! Many agents that depart at once are one incident; one is a case.

use crate::world::World;
use immune_tests::wait_for;
use immune_tests::wiring::Wiring;
use serde_json::{Value, json};
use std::time::Duration;

immune_tests::in_both_wirings!(everybody_slow_is_one_incident, one_sick_agent_is_a_case);

const AGENTS: usize = 12;
const STEP_MAX: Duration = Duration::from_secs(60);

/// Scenario: twelve agents get slow at the same moment, as when the provider that they share does.
/// Guarantees: one open incident of the run, with most of them; whoever was contained before it was seen is let go, and
/// nobody is contained or healed for it afterwards, however long it lasts; the action log has the incident once.
async fn everybody_slow_is_one_incident(wiring: Wiring) {
    let world = World::start_with(wiring, json!({}), AGENTS).await;
    let agent = world.learned_agent().await;
    world.undisturbed(&agent).await;
    world.slow_down_everybody().await;
    let incident = wait_for("an incident is open", STEP_MAX, || async {
        incidents(&world)
            .await
            .into_iter()
            .find(|one| one["closed_at"].is_null())
    })
    .await;
    assert_eq!(
        (&incident["shared"], &incident["diagnosis"]),
        (&json!("run"), &json!("external_cause"))
    );
    let is_slow = |what: &Value| {
        what.as_array()
            .is_some_and(|what| what.contains(&json!("latency_up")))
    };
    assert!(is_slow(&incident["what"]), "{incident}");
    wait_for("nobody is contained", STEP_MAX, || async {
        let open = world.api.get("/api/cases?open=true").await?;
        (open == json!([]) && !world.is_any_contained()).then_some(())
    })
    .await;
    let most = |now: &[Value], of: &str| now.iter().filter_map(|one| one[of].as_u64()).max();
    wait_for(
        "nearly all of them depart, and reports are held back",
        2 * STEP_MAX,
        || async {
            let now = incidents(&world).await;
            (most(&now, "departing") >= Some(10) && most(&now, "held_back") > Some(0)).then_some(())
        },
    )
    .await;
    // They go on, slowly, eight seconds an execution; a single one would have been a case long ago.
    for _ in 0..4 {
        world.others_execute(&agent, 8).await;
        assert_eq!(world.api.get("/api/cases?open=true").await, Some(json!([])));
    }
    assert!(!world.is_any_contained());
    let found = incidents(&world).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(world.api.get("/api/healings").await, Some(json!([])));
    let log = world
        .api
        .get("/api/action-log?limit=1000")
        .await
        .expect("the log");
    let opened = log
        .as_array()
        .expect("rows")
        .iter()
        .filter(|row| row["type"] == "fleet_incident_opened");
    assert!(opened.count() >= 1);
}

/// Scenario: one of twelve agents loops in a tool.
/// Guarantees: it has a case and is contained; there is no incident.
async fn one_sick_agent_is_a_case(wiring: Wiring) {
    let world = World::start_with(wiring, json!({}), AGENTS).await;
    let agent = world.learned_agent().await;
    world.undisturbed(&agent).await;
    world.infect_severely(&agent).await;
    world.contained(&agent).await;
    assert_eq!(incidents(&world).await, Vec::<Value>::new());
}

async fn incidents(world: &World) -> Vec<Value> {
    let answer = world.api.get("/api/incidents").await;
    answer
        .and_then(|answer| answer.as_array().cloned())
        .unwrap_or_default()
}
