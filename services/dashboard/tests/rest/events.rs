//! Live events.

use crate::world::{DEADLINE, World, key};
use immune_dashboard::Config;
use immune_domain::Timestamp;
use immune_proto::convert::time;
use immune_proto::v1;
use immune_runtime::access::KeyRing;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

/// A reader of a stream.
struct Reader {
    response: Response,
    text: String,
}

impl Reader {
    async fn open(world: &World, headers: &[(&str, &str)]) -> Self {
        let response = world.send(Method::GET, "/api/events", headers, None).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Reader {
            response,
            text: String::new(),
        }
    }

    /// The next event: name, id, data. `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, Option<String>, Value)> {
        let read = async {
            loop {
                if let Some((event, rest)) = self.text.split_once("\n\n") {
                    let field = |name: &str| {
                        event
                            .lines()
                            .find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
                    };
                    let read = (field("event:"), field("id:"), field("data:"));
                    self.text = rest.to_owned();
                    if let (Some(name), id, Some(data)) = read {
                        return Some((name, id, serde_json::from_str(&data).unwrap()));
                    }
                    continue;
                }
                match self.response.chunk().await.ok().flatten() {
                    Some(chunk) => self.text.push_str(std::str::from_utf8(&chunk).unwrap()),
                    None => return None,
                }
            }
        };
        tokio::time::timeout(DEADLINE, read)
            .await
            .expect("an event, or the end")
    }
}

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
    let (name, _, data) = reader.next().await.unwrap();
    assert_eq!(
        (name.as_str(), &data["case"]["agent_id"]),
        ("case", &Value::from("before"))
    );
    let (name, id, _) = reader.next().await.unwrap();
    assert_eq!((name.as_str(), id.as_deref()), ("snapshot", Some("4")));
    announce(&world, "other", 5);
    announce(&world, "default", 6);
    let (name, id, data) = reader.next().await.unwrap();
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
    assert_eq!(*world.fleet.watches.lock().unwrap(), [(41, false), (0, true)]);
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
                return Reader {
                    response,
                    text: String::new(),
                };
            }
            tokio::task::yield_now().await;
        }
    };
    let mut reader = tokio::time::timeout(DEADLINE, again)
        .await
        .expect("the place is free again");
    assert_eq!(reader.next().await.unwrap().0, "snapshot");
    world.shutdown.cancel();
    assert_eq!(reader.next().await, None);
    let served = world.served.take().unwrap();
    drop(reader);
    tokio::time::timeout(DEADLINE, served)
        .await
        .expect("the server drains")
        .unwrap()
        .unwrap();
}
