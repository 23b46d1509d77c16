//! `kill -9` of the whole server, again and again, while agents fall ill, are contained, approved and healed.

use immune_domain::diagnosis::Diagnosis;
use immune_simulator::{Infection, SimEvent, Simulator, Strength};
use immune_tests::api::Api;
use immune_tests::process::Process;
use immune_tests::wait_for;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const KILLS: usize = 50;
const AGENTS: usize = 6;
const LEARN_MAX: Duration = Duration::from_secs(90);
const SETTLE_MAX: Duration = Duration::from_secs(180);

/// What the outside world has seen, which no crash may undo.
#[derive(Default)]
struct Witness {
    /// Cases ever shown.
    cases: BTreeSet<String>,
    /// Cases whose approval was answered with success.
    approved: BTreeSet<String>,
    /// Healing actions that the platform carried out, per agent and action.
    acted: BTreeMap<(String, String), usize>,
}

type Shared = Arc<Mutex<Witness>>;

fn lock(witness: &Shared) -> std::sync::MutexGuard<'_, Witness> {
    witness.lock().expect("no test panics while it holds this")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Looks at every case, and approves those that wait.
async fn look_and_approve(api: &Api, witness: &Shared) {
    let Some(cases) = api.cases().await else { return };
    for case in cases {
        let id = text(&case["case_id"]);
        lock(witness).cases.insert(id.clone());
        if case["state"] == "awaiting_approval"
            && let Some((StatusCode::OK, _)) = api.decide(&id, "approve").await
        {
            lock(witness).approved.insert(id);
        }
    }
}

/// Scenario: agents fall ill, mildly and severely, a person approves what waits, and the server is killed fifty
/// times at moments that a seed chooses.
/// Guarantees: no case and no acknowledged decision is lost; at most one case per agent is open; no healing is
/// doubled: what the platform carried out is what the cases and healings say, and no case repeats a step of a round;
/// in the end every agent is free or has an open case.
#[tokio::test(flavor = "multi_thread")]
async fn killed_fifty_times_nothing_is_lost_or_doubled() {
    let seed = std::env::var("IMMUNE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20_261_123u64);
    println!("seed {seed}; replay with IMMUNE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Process::prepare();
    let agents = Simulator::start(immune_simulator::Config {
        otlp_endpoint: format!("http://127.0.0.1:{}", server.otlp_grpc),
        agents: AGENTS,
        seed,
        ..immune_simulator::Config::default()
    })
    .await
    .expect("the simulator starts");
    // Every ladder has every action, so that each infection can be cured whatever it is taken for: this test is about
    // crashes, not about diagnoses.
    let ladder = [
        "reduce_autonomy",
        "reset_memory",
        "rollback_prompt",
        "revoke_tools",
        "clone_agent",
        "reset_agent",
    ];
    let ladders: Value = Diagnosis::ALL
        .iter()
        .map(|diagnosis| (diagnosis.to_string(), json!(ladder)))
        .collect();
    server.configure(json!({
        "levers": { "lifecycle": { "base_url": agents.lifecycle_base_url() } },
        // The rule whose baseline outlives a crash: what is mild takes the guarded detector more executions in a row than
        // a process that dies every second lives, and this test is about crashes.
        "policy": { "defaults": { "detector": "specified", "ladders": ladders } },
        // Many are ill at once here, each by itself.
        "sentinel": { "fleet": { "enabled": false } },
    }));
    server.restart().await;
    let api = server.api();
    wait_for("every agent has a baseline", LEARN_MAX, || async {
        let all = api.get("/api/agents").await?;
        let all = all.as_array()?;
        (all.len() == AGENTS && all.iter().all(|agent| agent["has_baseline"] == true)).then_some(())
    })
    .await;

    let witness = Shared::default();
    let (mut events, seen) = (agents.events(), witness.clone());
    tokio::spawn(async move {
        while let Ok(event) = events.recv().await {
            if let SimEvent::Acted { agent, action, .. } = event {
                *lock(&seen).acted.entry((agent, action)).or_default() += 1;
            }
        }
    });

    let infections = [
        Infection::ToolLoop,
        Infection::LatencySpike,
        Infection::PromptDrift,
        Infection::FullMeltdown,
    ];
    let ids: Vec<String> = agents.snapshot().into_iter().map(|agent| agent.id).collect();
    for kill in 1..=KILLS {
        let agent = &ids[random.random_range(0..ids.len())];
        if agents
            .agent(agent)
            .is_some_and(|agent| agent.ailments.is_empty() && !agent.is_contained())
        {
            let strength = if random.random_bool(0.5) {
                Strength::Mild
            } else {
                Strength::Severe
            };
            agents.infect(
                agent,
                infections[random.random_range(0..infections.len())],
                strength,
            );
        }
        let until = Instant::now() + Duration::from_millis(random.random_range(50..1_500));
        while Instant::now() < until {
            look_and_approve(&api, &witness).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.kill();
        server.restart().await;
        if kill % 10 == 0 {
            println!("killed {kill} times; {} cases so far", lock(&witness).cases.len());
        }
    }

    let started = Instant::now();
    let settled = wait_for("every case is closed", 2 * SETTLE_MAX, || async {
        look_and_approve(&api, &witness).await;
        let cases = api.cases().await?;
        let is_late = started.elapsed() > SETTLE_MAX;
        assert!(
            !is_late,
            "cases are still open: {cases:#?}\n{:#?}",
            agents.snapshot()
        );
        let is_over = cases
            .iter()
            .all(|case| ["healed", "released"].contains(&text(&case["state"]).as_str()));
        let is_well = agents
            .snapshot()
            .iter()
            .all(|agent| agent.ailments.is_empty() && !agent.is_contained());
        (is_over && is_well).then_some(cases)
    })
    .await;
    check(&api, &settled, &witness).await;
    let witness = lock(&witness);
    println!(
        "{KILLS} kills, {} cases, {} approvals, {} healing actions",
        witness.cases.len(),
        witness.approved.len(),
        witness.acted.values().sum::<usize>()
    );
    assert!(
        witness.cases.len() >= 3,
        "too few cases to prove anything: {}",
        witness.cases.len()
    );
}

async fn check(api: &Api, cases: &[Value], witness: &Shared) {
    let kept: BTreeSet<String> = cases.iter().map(|case| text(&case["case_id"])).collect();
    let (seen, approved, acted) = {
        let witness = lock(witness);
        (
            witness.cases.clone(),
            witness.approved.clone(),
            witness.acted.clone(),
        )
    };
    let lost: Vec<_> = seen.difference(&kept).collect();
    assert!(lost.is_empty(), "lost cases: {lost:?}");

    let mut steps: BTreeMap<(String, String), usize> = BTreeMap::new();
    for id in &kept {
        let case = api.case(id).await.expect("every case can be read");
        let timeline = case["timeline"].as_array().cloned().unwrap_or_default();
        if approved.contains(id) {
            let is_there = timeline
                .iter()
                .any(|entry| text(&entry["kind"]).contains("approved"));
            assert!(is_there, "case {id} lost its approval: {timeline:#?}");
        }
        let rounds = 1 + timeline
            .iter()
            .filter(|entry| text(&entry["kind"]).contains("approved"))
            .count();
        let mut of_case: BTreeMap<String, usize> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for attempt in case["attempts"].as_array().cloned().unwrap_or_default() {
            *of_case.entry(text(&attempt["action"])).or_default() += 1;
            assert!(
                ids.insert(text(&attempt["healing_id"])),
                "case {id} has an attempt twice: {case:#}"
            );
            *steps
                .entry((text(&case["agent_id"]), text(&attempt["action"])))
                .or_default() += 1;
        }
        for (action, times) in of_case {
            assert!(
                times <= rounds,
                "case {id} did {action} {times} times in {rounds} rounds: {case:#}"
            );
        }
    }
    for (what, times) in acted {
        let told = steps.get(&what).copied().unwrap_or_default();
        assert!(
            times <= told,
            "{what:?}: the platform acted {times} times, the cases tell of {told}"
        );
    }
}
