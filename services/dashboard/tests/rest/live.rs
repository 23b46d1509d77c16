//! What changes in a fleet, as the page hears it.

use crate::reader::Reader;
use crate::world::{DEADLINE, World, key};
use immune_domain::{AgentId, RunId, Timestamp};
use immune_proto::convert::time;
use immune_proto::v1;
use immune_store::conformance::samples;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What the sentinel says of an agent now.
async fn state(world: &World, agent: &str) -> v1::AgentState {
    let found = world
        .stores
        .vitals
        .summaries(&RunId::default(), &[AgentId::from(agent)])
        .await;
    let mut state = world.fleet.state(found.unwrap().remove(0));
    state.live = true;
    state
}

async fn executed(world: &World, agent: &str) {
    let vitals = samples::vitals(&key(agent), "e1", Timestamp::from_micros(1_500_000));
    world.stores.vitals.append(&[vitals]).await.unwrap();
}

fn decided(world: &World, sequence: u64, case: immune_domain::case::Case) {
    let event = v1::CaseEvent {
        sequence,
        kind: "case_opened".to_owned(),
        at: Some(time::to_wire(case.updated_at)),
        text: "it fell ill".to_owned(),
        payload: "{}".to_owned(),
        case: Some(case.into()),
    };
    world.fleet.events.send(event).expect("somebody watches");
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait)
        .await
        .unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

fn is_reset(name: &str, data: &Value) -> bool {
    name == "reset" && data["what"] == "agents"
}

/// Scenario: two readers look at a run; an agent becomes suspect, then a case is opened for another one.
/// Guarantees: one watch at the sentinel serves both; each is told to fetch the fleet first, and then of each change
/// in the words of the fleet, without an id; the watch ends when the last reader has gone.
#[tokio::test]
async fn readers_share_a_watch() {
    let world = World::start().await;
    for agent in ["a", "b"] {
        executed(&world, agent).await;
    }
    assert_eq!(world.fleet.watched.load(Ordering::SeqCst), 0, "nobody looks");
    let mut readers = [Reader::open(&world, &[]).await, Reader::open(&world, &[]).await];
    for reader in &mut readers {
        reader.until(is_reset).await;
    }
    assert_eq!(world.fleet.watched.load(Ordering::SeqCst), 1);
    world.fleet.suspects.lock().unwrap().push("a".to_owned());
    world.fleet.changes.send(vec![state(&world, "a").await]).unwrap();
    for reader in &mut readers {
        let (_, id, data) = reader.until(|name, _| name == "agents").await;
        assert_eq!(id, None);
        let fleet = world.read("/api/fleet").await;
        assert_eq!(data["agents"], json!([fleet["agents"][0]]));
        assert_eq!(data["agents"][0]["suspect"], true);
        assert_eq!(data["agents"][0]["severity"], 4.5);
    }
    let case = world.fleet.open_case(&key("b"), 9.0);
    decided(&world, 5, case);
    for reader in &mut readers {
        let is_ill = |name: &str, data: &Value| name == "agents" && data["agents"][0]["id"] == "b";
        let (_, _, data) = reader.until(is_ill).await;
        let fleet = world.read("/api/fleet").await;
        assert_eq!(data["agents"], json!([fleet["agents"][1]]));
        assert_eq!(data["agents"][0]["case_state"], "awaiting_approval");
        assert_eq!(data["agents"][0]["severity"], 9.0);
    }
    let mut late = Reader::open(&world, &[]).await;
    late.until(is_reset).await;
    assert_eq!(world.fleet.watched.load(Ordering::SeqCst), 1);
    drop((readers, late));
    until("the watch has ended", || {
        world.fleet.watched.load(Ordering::SeqCst) == 0
    })
    .await;
}

/// Scenario: telemetry stops while somebody looks, and comes again.
/// Guarantees: the reader hears how it is when it begins, and of each change once.
#[tokio::test]
async fn blindness_is_told() {
    let world = World::start().await;
    let mut reader = Reader::open(&world, &[]).await;
    let is_system = |name: &str, _: &Value| name == "system";
    let (_, id, data) = reader.until(is_system).await;
    assert_eq!((id, &data["blind"]["is_blind"]), (None, &json!(false)));
    *world.fleet.silent_seconds.lock().unwrap() = Some(90.0);
    let (_, _, data) = reader.until(is_system).await;
    let why = "no telemetry has arrived for 90 s";
    let expected =
        json!({ "is_blind": true, "silent_seconds": 90.0, "cause": "telemetry_stopped", "why": why });
    assert_eq!(data["blind"], expected);
    *world.fleet.silent_seconds.lock().unwrap() = Some(0.5);
    let (_, _, data) = reader.until(is_system).await;
    assert_eq!(data["blind"]["is_blind"], false);
}
