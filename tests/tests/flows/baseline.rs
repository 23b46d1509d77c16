//! What people do to an agent's baseline, over REST and the command line, with the real roles.

use crate::world::World;
use immune_tests::wait_for;
use immune_tests::wiring::Wiring;
use serde_json::{Value, json};
use std::time::Duration;

immune_tests::in_both_wirings!(people_look_after_a_baseline);

const STEP_MAX: Duration = Duration::from_secs(60);

/// Scenario: an agent has a baseline. A person exports it, freezes it, gives it to an agent that does not exist yet, pins the
/// first to its last hour, resets it, and accepts what it does then; in between come numbers that no baseline can have, an act
/// without a reason, and too few executions.
/// Guarantees: each act is in force with its answer and in the action log with its reason; what is given comes back as it
/// was; a frozen baseline learns nothing while its agent runs on; what cannot be done says why and leaves no row.
async fn people_look_after_a_baseline(wiring: Wiring) {
    let world = World::start(wiring, json!({})).await;
    let agent = world.learned_agent().await;
    let path = |agent: &str, verb: &str| format!("/api/agents/{}/baseline{verb}", agent.replace('/', "%2F"));
    let get = async |agent: &str| world.api.get(&path(agent, "")).await;
    let act = async |agent: &str, verb: &str, body: Value| {
        let answer = world.api.post(&path(agent, verb), body).await;
        let (status, answer) = answer.expect("the dashboard answers");
        (status.as_u16(), answer)
    };
    let because = |reason: &str| json!({ "reason": reason });

    let exported = get(&agent).await.expect("it has a baseline");
    assert_eq!(exported["state"], "active", "{exported}");
    assert!(exported["reference"].is_string(), "{exported}");
    assert_eq!(
        act(&agent, "/freeze", json!({})).await.0,
        400,
        "a reason is asked for"
    );
    let (status, frozen) = act(&agent, "/freeze", because("a release is under way")).await;
    assert_eq!((status, &frozen["is_frozen"]), (200, &json!(true)), "{frozen}");
    let before = executions(&world, &agent).await;
    wait_for("the agent runs on", STEP_MAX, || async {
        (executions(&world, &agent).await >= before + 5).then_some(())
    })
    .await;
    assert_eq!(
        get(&agent).await.expect("it is there")["samples"],
        frozen["samples"]
    );

    let twin = "nobody/Yet";
    let mut document = frozen.clone();
    document["reason"] = json!("a twin is deployed tomorrow");
    let (status, imported) = act(twin, "/import", document.clone()).await;
    assert_eq!(status, 200, "{imported}");
    assert_eq!(
        (
            &imported["metrics"],
            &imported["reference"],
            &imported["version"]["origin"]
        ),
        (&frozen["metrics"], &frozen["reference"], &json!("imported"))
    );
    document["metrics"]["latency"]["mean"] = json!(-1);
    let (status, refused) = act(twin, "/import", document).await;
    assert_eq!(
        (status, &refused["errors"][0]["field"]),
        (400, &json!("metrics.latency.mean")),
        "{refused}"
    );
    let (status, refused) = act(&agent, "/pin", json!({ "from": 1, "to": 2, "reason": "x" })).await;
    assert_eq!(status, 400, "{refused}");
    assert!(
        refused["detail"]
            .as_str()
            .is_some_and(|why| why.starts_with("0 executions teach")),
        "{refused}"
    );

    let (status, pinned) = act(
        &agent,
        "/pin",
        json!({ "from": 1, "reason": "all of it was good" }),
    )
    .await;
    assert_eq!((status, &pinned["is_frozen"]), (200, &json!(true)), "{pinned}");
    let (status, reset) = act(&agent, "/reset", because("it does other work now")).await;
    assert_eq!((status, &reset["existed"]), (200, &json!(true)), "{reset}");
    wait_for("it is learned anew", STEP_MAX, || async {
        let anew = get(&agent).await?;
        let is_anew = anew["state"] == "active" && anew["version"]["origin"] == "reset";
        (is_anew && anew["is_frozen"] == false).then_some(())
    })
    .await;
    let accepted = wait_for("fifteen executions since", STEP_MAX, || async {
        let (status, accepted) = act(
            &agent,
            "/accept",
            json!({ "from": 1, "reason": "it is right so" }),
        )
        .await;
        (status == 200).then_some(accepted)
    })
    .await;
    assert_eq!(accepted["version"]["origin"], "accepted");
    assert_eq!(
        world.api.get("/api/cases").await,
        Some(json!([])),
        "nobody was accused"
    );

    let log = world
        .api
        .get("/api/action-log?limit=1000")
        .await
        .expect("the log");
    let rows: Vec<(&str, &str)> = log
        .as_array()
        .expect("rows")
        .iter()
        .filter(|row| {
            row["type"]
                .as_str()
                .is_some_and(|kind| kind.starts_with("baseline_"))
        })
        .filter_map(|row| Some((row["type"].as_str()?, row["payload"]["reason"].as_str()?)))
        .rev()
        .collect();
    assert_eq!(
        rows,
        [
            ("baseline_frozen", "a release is under way"),
            ("baseline_imported", "a twin is deployed tomorrow"),
            ("baseline_pinned", "all of it was good"),
            ("baseline_reset", "it does other work now"),
            ("baseline_accepted", "it is right so"),
        ],
        "{log:#}"
    );
}

async fn executions(world: &World, agent: &str) -> u64 {
    let path = format!(
        "/api/v1/vitals/execution-count?agent_id={}",
        agent.replace('/', "%2F")
    );
    world
        .api
        .get(&path)
        .await
        .and_then(|count| count["count"].as_u64())
        .unwrap_or(0)
}
