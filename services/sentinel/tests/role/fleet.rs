//! Fleet incidents over the wire: quarantine is told of them, and whoever asks.

use crate::fixtures::{execution_of, key, profile_of};
use crate::world::World;
use immune_domain::AgentKey;
use immune_domain::baseline::Profile;
use immune_proto::v1;
use immune_sentinel::Config;
use immune_sentinel::fleet;

fn agent(n: usize) -> AgentKey {
    AgentKey::new("default", format!("agent-{n}"))
}

fn quick() -> Config {
    Config {
        tick_interval_ms: 20,
        fleet: fleet::Config {
            close_after_seconds: 1,
            settle_ms: 500,
            ..fleet::Config::default()
        },
        ..Config::default()
    }
}

async fn incidents(world: &World, run: &str) -> Vec<v1::FleetIncident> {
    let request = v1::ListFleetIncidentsRequest { run_id: run.into() };
    let answer = world.client.clone().list_fleet_incidents(request).await;
    answer.unwrap().into_inner().incidents
}

/// Scenario: eight agents with a baseline get slow at once; then all of them are well again, far more often.
/// Guarantees: one incident, told to quarantine when it opens and when it closes, with those who have a case first;
/// only the first two may have been reported; whoever asks for the run sees it, closed in the end, and whoever asks for
/// another run does not.
#[tokio::test]
async fn an_incident_is_told_and_ends() {
    let profiles: Vec<Profile> = (0..8).map(|n| profile_of(&agent(n))).collect();
    let world = World::start_with(quick(), profiles).await;
    for n in 0..8 {
        world
            .run(&execution_of(&agent(n), &format!("slow-{n}"), 5_000.0))
            .await;
    }
    world
        .until("the incident is told", async |world| {
            !world.quarantine.incidents.lock().unwrap().is_empty()
        })
        .await;
    let told = world.quarantine.incidents.lock().unwrap()[0].clone();
    let opened = told.incident.unwrap();
    assert_eq!(
        (opened.what, opened.shared.as_str()),
        (vec!["latency_up".to_owned()], "run")
    );
    assert_eq!((opened.departing, told.look_back_seconds), (8, 30));
    let reported = world.reports();
    assert!(reported.len() <= 2, "{} were reported", reported.len());
    let first: Vec<&str> = reported
        .iter()
        .map(|infection| infection.key.agent.as_str())
        .collect();
    assert!(
        first
            .iter()
            .all(|agent| told.agent_ids.iter().any(|named| named == agent))
    );
    for round in 0..30 {
        for n in 0..8 {
            world
                .run(&execution_of(&agent(n), &format!("well-{n}-{round}"), 1_000.0))
                .await;
        }
    }
    world
        .until("the incident has ended", async |world| {
            incidents(world, "default")
                .await
                .iter()
                .any(|one| one.closed_at.is_some())
        })
        .await;
    world
        .until("its end is told", async |world| {
            let told = world.quarantine.incidents.lock().unwrap();
            told.iter()
                .filter_map(|told| told.incident.as_ref())
                .any(|one| one.closed_at.is_some())
        })
        .await;
    let all = incidents(&world, "default").await;
    assert_eq!((all.len(), &all[0].incident_id), (1, &opened.incident_id));
    assert!(incidents(&world, "other").await.is_empty());
    assert_eq!(
        world.reports().len(),
        reported.len(),
        "nobody is accused of it afterwards"
    );
}

/// Scenario: one agent of eight gets slow.
/// Guarantees: it is reported, and quarantine hears of no incident.
#[tokio::test]
async fn one_agent_is_reported() {
    let profiles: Vec<Profile> = (0..8).map(|n| profile_of(&agent(n))).collect();
    let world = World::start_with(quick(), profiles).await;
    for n in 1..8 {
        world
            .run(&execution_of(&agent(n), &format!("well-{n}"), 1_000.0))
            .await;
    }
    world.run(&execution_of(&agent(0), "slow", 5_000.0)).await;
    world
        .until("it is reported", async |world| !world.reports().is_empty())
        .await;
    assert_eq!(world.reports()[0].key, agent(0));
    assert_ne!(key(), agent(0));
    assert!(
        world.quarantine.incidents.lock().unwrap().is_empty()
            && incidents(&world, "default").await.is_empty()
    );
}
