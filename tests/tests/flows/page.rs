//! What the page sees: the fleet in one answer, and everything that changes, also over a restart.

use crate::world::World;
use immune_tests::wait_for;
use immune_tests::wiring::Wiring;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

immune_tests::in_both_wirings!(the_page_misses_nothing);

/// How long any one event may take on a loaded machine.
const EVENT_MAX: Duration = Duration::from_secs(60);

/// A reader of live events.
struct Reader {
    response: Response,
    text: String,
    /// Ids of the events read so far.
    ids: Vec<u64>,
}

impl Reader {
    /// Opens the stream, after an event if one is named; waits for a server that is starting.
    async fn open(base: &str, after: Option<u64>) -> Self {
        let response = wait_for("live events", EVENT_MAX, || async {
            let mut request = Client::new().get(format!("{base}/api/events"));
            if let Some(after) = after {
                request = request.header("Last-Event-ID", after);
            }
            let response = request.send().await.ok()?;
            (response.status() == StatusCode::OK).then_some(response)
        });
        Reader {
            response: response.await,
            text: String::new(),
            ids: Vec::new(),
        }
    }

    /// The next event of a name for which something holds; `None` when the stream ends.
    async fn until(&mut self, wanted: &str, holds: impl Fn(&Value) -> bool) -> Option<Value> {
        let read = async {
            loop {
                while let Some((event, rest)) = self.text.split_once("\n\n") {
                    let field = |name: &str| {
                        let line = event.lines().find_map(|line| line.strip_prefix(name));
                        line.map(|text| text.trim().to_owned())
                    };
                    let (name, id, data) = (field("event:"), field("id:"), field("data:"));
                    self.text = rest.to_owned();
                    self.ids.extend(id.and_then(|id| id.parse::<u64>().ok()));
                    let data: Value = serde_json::from_str(&data.unwrap_or_default()).unwrap_or_default();
                    if name.as_deref() == Some(wanted) && holds(&data) {
                        return Some(data);
                    }
                }
                let chunk = self.response.chunk().await.ok().flatten()?;
                self.text
                    .push_str(std::str::from_utf8(&chunk).expect("events are UTF-8"));
            }
        };
        tokio::time::timeout(EVENT_MAX, read)
            .await
            .unwrap_or_else(|_| panic!("no event {wanted} within {EVENT_MAX:?}"))
    }
}

fn row<'a>(agents: &'a Value, id: &str) -> Option<&'a Value> {
    agents["agents"]
        .as_array()?
        .iter()
        .find(|agent| agent["id"] == id)
}

/// Scenario: a page is open while an agent falls ill; then the servers behind it are killed and come back, and a
/// person decides.
/// Guarantees: the page is told when to fetch the fleet; the agent's illness comes as a change of its row, in the words
/// of the fleet; after the restart the page goes on after the event it saw last, and has every event exactly once.
async fn the_page_misses_nothing(wiring: Wiring) {
    let mut world = World::start(wiring, json!({})).await;
    let agent = world.learned_agent().await;
    let mut page = Reader::open(&world.base(), None).await;
    page.until("reset", |data| data["what"] == "agents")
        .await
        .expect("a reset");
    let fleet = world.api.get("/api/fleet").await.expect("the fleet");
    assert_eq!((&fleet["total"], &fleet["truncated"]), (&json!(6), &json!(false)));
    let well = row(&fleet, &agent).expect("the agent");
    assert_eq!(
        (&well["status"], &well["baseline"]["state"]),
        (&json!("healthy"), &json!("active"))
    );
    let began = page.ids.last().copied().expect("the snapshot has an id");

    world.infect_severely(&agent).await;
    let waits = |data: &Value| row(data, &agent).is_some_and(|row| row["case_state"] == "awaiting_approval");
    let change = page.until("agents", waits).await.expect("a change of the row");
    let ill = row(&change, &agent).expect("the row").clone();
    assert!(ill["severity"].as_f64() >= Some(7.0), "{ill}");
    let case = world.case_in(&agent, "awaiting_approval").await;
    assert_eq!(ill["case_id"], case.as_str());
    let sparks = world
        .api
        .get(&format!("/api/sparks?agents={agent}"))
        .await
        .expect("sparks");
    assert!(
        sparks[&agent]["latency"]
            .as_array()
            .is_some_and(|points| points.len() >= 10),
        "{sparks}"
    );
    assert!(sparks[&agent]["band"].is_array(), "{sparks}");
    let series = world
        .api
        .get(&format!("/api/agents/{agent}/series"))
        .await
        .expect("its vitals");
    assert_eq!(series["cases"][0]["case_id"], case.as_str());
    assert!(
        series["points"]
            .as_array()
            .is_some_and(|points| !points.is_empty()),
        "{series}"
    );
    world.contained(&agent).await;

    world.restart_doors().await;
    // What the first stream still held is read to its end.
    while page.until("none", |_| false).await.is_some() {}
    let mut seen = page.ids.clone();
    let mut page = Reader::open(&world.base(), seen.last().copied()).await;
    let (status, body) = world
        .api
        .decide(&case, "approve")
        .await
        .expect("the server answers");
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        body["plan"],
        Value::Null,
        "an answer to a person waits for nobody"
    );
    page.until("case_healed", |data| data["case_id"] == case.as_str())
        .await
        .expect("the case is healed");
    seen.extend(&page.ids);
    let expected: Vec<u64> = (began..began + seen.len() as u64).collect();
    assert_eq!(seen, expected, "every event once, in order");
    let well = |data: &Value| row(data, &agent).is_some_and(|row| row["status"] == "healthy");
    let last = page.until("agents", well).await;
    assert!(
        last.is_some_and(|data| row(&data, &agent).is_some()),
        "the row is well again"
    );
}
