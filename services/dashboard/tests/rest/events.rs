//! Live events.

use crate::fleet::quarantine::FORGOTTEN;
use crate::reader::Reader;
use crate::world::{DEADLINE, World, key};
use immune_dashboard::Config;
use immune_domain::Timestamp;
use immune_proto::convert::time;
use immune_proto::v1;
use immune_runtime::access::KeyRing;
use reqwest::{Method, StatusCode};
use serde_json::Value;

fn announce(world: &World, run: &str, sequence: u64) {
    let mut agent = key("a");
    agent.run = run.into();
    let case = world.fleet.open_case(&agent, 9.0);
    let event = v1::CaseEvent {
        sequence,
        kind: "case_opened".to_owned(),
        at: Some(time::to_wire(Timestamp::from_micros(1_500_000))),
        text: "a fell ill".to_owned(),
        payload: r#"{"reason":"severe"}"#.to_owned(),
        case: Some(case.into()),
    };
    world.fleet.events.send(event).expect("somebody watches");
}

/// Scenario: a reader opens the stream with a case open, and events of its run and of another follow.
/// Guarantees: the open case, the snapshot's end, then its run's events with their ids, and nothing of the other run.
#[tokio::test]
async fn a_reader_sees_its_run() {
    let world = World::start().await;
    world.fleet.open_case(&key("before"), 9.0);
    let mut reader = Reader::open(&world, &[]).await;
    let (name, _, data) = reader.of_cases().await.unwrap();
    assert_eq!(
        (name.as_str(), &data["case"]["agent_id"]),
        ("case", &Value::from("before"))
    );
    let (name, id, _) = reader.of_cases().await.unwrap();
    assert_eq!((name.as_str(), id.as_deref()), ("snapshot", Some("4")));
    announce(&world, "other", 5);
    announce(&world, "default", 6);
    let (name, id, data) = reader.of_cases().await.unwrap();
    assert_eq!((name.as_str(), id.as_deref()), ("case_opened", Some("6")));
    assert_eq!(
        (&data["run_id"], &data["at"]),
        (&Value::from("default"), &Value::from(1.5))
    );
    assert_eq!(
        (&data["payload"]["reason"], &data["case"]["severity"]),
        (&Value::from("severe"), &Value::from(9.0))
    );
}

/// Guarantees: a reader that comes back goes on after the event it saw last; a bad id is refused.
#[tokio::test]
async fn a_reader_comes_back() {
    let world = World::start().await;
    let _reader = Reader::open(&world, &[("Last-Event-ID", "41")]).await;
    let _other = Reader::open(&world, &[]).await;
    let watches = world.fleet.watches.lock().unwrap().clone();
    assert!(watches.contains(&(41, false)), "{watches:?}");
    let bad = world
        .send(Method::GET, "/api/events", &[("Last-Event-ID", "x")], None)
        .await;
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
}

/// Guarantees: readers are bounded; a place is free again when its reader goes; streams end when the server drains.
#[tokio::test]
async fn readers_are_bounded_and_end() {
    let config = Config {
        event_streams_max: 1,
        ..Config::default()
    };
    let mut world = World::with(config, KeyRing::default()).await;
    let reader = Reader::open(&world, &[]).await;
    let busy = world.send(Method::GET, "/api/events", &[], None).await;
    assert_eq!(busy.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(reader);
    let again = async {
        loop {
            let response = world.send(Method::GET, "/api/events", &[], None).await;
            if response.status() == StatusCode::OK {
                return Reader::of(response);
            }
            tokio::task::yield_now().await;
        }
    };
    let mut reader = tokio::time::timeout(DEADLINE, again)
        .await
        .expect("the place is free again");
    assert_eq!(reader.of_cases().await.unwrap().0, "snapshot");
    world.shutdown.cancel();
    assert_eq!(reader.of_cases().await, None);
    let served = world.served.take().unwrap();
    drop(reader);
    tokio::time::timeout(DEADLINE, served)
        .await
        .expect("the server drains")
        .unwrap()
        .unwrap();
}

/// Scenario: a reader comes back whose next events are not kept any more.
/// Guarantees: it is told to forget what it knows, and gets the open cases as one who begins.
#[tokio::test]
async fn a_reader_is_told_what_it_missed() {
    let world = World::start().await;
    world.fleet.open_case(&key("a"), 9.0);
    let last = FORGOTTEN.to_string();
    let mut reader = Reader::open(&world, &[("Last-Event-ID", &last)]).await;
    let (name, id, data) = reader
        .until(|name, data| name == "reset" && data["what"] == "cases")
        .await;
    assert_eq!((name.as_str(), id), ("reset", None));
    assert!(data["why"].as_str().unwrap().contains("not kept"), "{data}");
    assert_eq!(reader.of_cases().await.unwrap().0, "case");
    assert_eq!(reader.of_cases().await.unwrap().0, "snapshot");
}
