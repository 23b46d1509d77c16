use super::*;
use crate::agent::tests::{at, profile, ran};
use crate::listing;
use crate::metrics::Metrics;
use crate::silence::Presence;
use crate::standing::Standing;
use immune_bus::Partition;
use immune_domain::baseline::Profile;
use immune_domain::policy::LivePolicies;
use immune_proto::v1;
use immune_store::VitalsStore as _;
use immune_store::memory::{Limits, MemoryVitals};
use std::sync::Arc;
use std::time::Duration;

/// A directory of so many agents with profiles, each of which executes every second for a minute.
fn fleet(agents: usize) -> Directory {
    let standing = Arc::new(Standing::new());
    let directory = Directory::new(LivePolicies::default(), 10_000, 0.5, Metrics::default(), standing);
    directory.gain(Partition::WHOLE);
    let generation = directory.begin_profiles();
    for agent in 0..agents {
        let profile = Profile {
            key: key(agent),
            ..(*profile()).clone()
        };
        directory.set_profile(profile, generation);
    }
    (0..60).for_each(|second| (0..agents).for_each(|agent| executes(&directory, agent, second)));
    directory
}

fn key(agent: usize) -> AgentKey {
    AgentKey::new("default", format!("a{agent}").as_str())
}

fn executes(directory: &Directory, agent: usize, second: u32) {
    let mut vitals = ran(&format!("e{second}"), f64::from(second), 1_000.0);
    vitals.key = key(agent);
    directory.heard(vitals.received_at);
    directory.take(&vitals, true, vitals.received_at);
}

fn telemetry(directory: &Directory, agent: usize) -> Option<Telemetry> {
    directory.look(&key(agent), |agent, _| agent.map(Agent::telemetry))
}

fn go_round(directory: &Directory) {
    (0..directory.shards()).for_each(|_| directory.listen());
}

/// Scenario: of 1,000 agents all but one fall silent; then half of them come back, and the partition is lost.
/// Guarantees: a second finds its share of them and no more; all are found in one round, counted and listed; those who
/// come back are live and not counted at once; nothing is left behind.
#[test]
fn silent_agents_are_found_by_going_round() {
    let directory = fleet(1_000);
    let watch = directory
        .changes()
        .watch(RunId::default())
        .expect("there is room");
    (60..180).for_each(|second| executes(&directory, 0, second));
    watch.take();
    for _ in 0..SHARDS_A_SECOND {
        directory.listen();
    }
    let found = directory.count_silent();
    assert!(
        (60..200).contains(&found),
        "{found} of 999 in an eighth of a round"
    );
    assert_eq!(watch.take().len(), found, "who watches is told of each");
    go_round(&directory);
    assert_eq!(directory.count_silent(), 999);
    assert_eq!(directory.silent(&RunId::default(), 5_000).len(), 999);
    assert_eq!(directory.silent(&RunId::default(), 10).len(), 10);
    assert!(directory.silent(&RunId::new("other"), 10).is_empty());
    assert_eq!(telemetry(&directory, 0), Some(Telemetry::Live));
    (1..=500).for_each(|agent| executes(&directory, agent, 181));
    assert_eq!(directory.count_silent(), 499);
    assert_eq!(telemetry(&directory, 7), Some(Telemetry::Live));
    go_round(&directory);
    assert_eq!(directory.count_silent(), 499);
    directory.lose(Partition::WHOLE);
    go_round(&directory);
    assert_eq!(directory.count_silent(), 0);
}

/// Scenario: the process starts anew; of two agents on record one speaks, the other fell silent in between; a third was
/// last seen a day ago.
/// Guarantees: after its time the second is silent; the third is gone, and alarms nobody.
#[test]
fn who_fell_silent_during_a_restart_is_missed() {
    let directory = fleet(3);
    directory.lose(Partition::WHOLE);
    directory.gain(Partition::WHOLE);
    let now = at(200.0);
    directory.begin_hearing(now);
    for (agent, seen) in [
        (0, at(59.0)),
        (1, at(59.0)),
        (2, at(59.0).minus(Duration::from_secs(86_400))),
    ] {
        let mut latest = ran("latest", 59.0, 1_000.0);
        (latest.key, latest.received_at) = (key(agent), seen);
        assert!(!directory.was_heard(&latest.key));
        directory.remember(&latest, Presence::about(60, Duration::from_secs(60)));
        assert!(directory.was_heard(&latest.key));
    }
    (200..250).for_each(|second| executes(&directory, 0, second));
    go_round(&directory);
    assert_eq!(
        telemetry(&directory, 1),
        Some(Telemetry::Live),
        "it is given time to speak"
    );
    assert_eq!(telemetry(&directory, 2), Some(Telemetry::Gone));
    (250..270).for_each(|second| executes(&directory, 0, second));
    go_round(&directory);
    assert_eq!(telemetry(&directory, 1), Some(Telemetry::Silent));
    assert_eq!(directory.count_silent(), 1);
}

/// Scenario: one of two agents falls silent; then a third, which is on record only, is asked for hours after its last
/// execution.
/// Guarantees: the silent one is told with its silence, as one of its run and by itself; the third is gone.
#[tokio::test]
async fn silence_is_told() {
    let directory = fleet(2);
    let store = MemoryVitals::new(Limits::default());
    for agent in [1, 2] {
        let mut vitals = ran("latest", 59.0, 1_000.0);
        vitals.key = key(agent);
        store.append(&[vitals]).await.expect("memory does not fail");
    }
    (60..180).for_each(|second| executes(&directory, 0, second));
    go_round(&directory);
    let now = at(180.0);
    let silent = v1::agent_state::Telemetry::Silent;
    let listed = listing::suspects(&directory, &RunId::default(), now).agents;
    assert_eq!(listed.len(), 1, "{listed:?}");
    let alone = listing::get(&directory, &store, &key(1), now).await;
    let alone = alone.expect("memory does not fail").expect("it is on record");
    for state in [&listed[0], &alone] {
        assert_eq!((state.telemetry(), state.silent_seconds), (silent, Some(121.0)));
        assert_eq!(state.key, Some((&key(1)).into()));
    }
    let later = at(59.0 + 3_600.0 + 61.0);
    let third = listing::get(&directory, &store, &key(2), later).await;
    let third = third.expect("memory does not fail").expect("it is on record");
    assert_eq!(third.telemetry(), v1::agent_state::Telemetry::Gone);
}
