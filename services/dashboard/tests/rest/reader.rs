//! A reader of live events.

use crate::world::{DEADLINE, World};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

/// Name, id and data.
pub type Event = (String, Option<String>, Value);

/// A reader of a stream.
pub struct Reader {
    response: Response,
    text: String,
}

impl Reader {
    pub async fn open(world: &World, headers: &[(&str, &str)]) -> Self {
        let response = world.send(Method::GET, "/api/events", headers, None).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Reader::of(response)
    }

    pub fn of(response: Response) -> Self {
        Reader {
            response,
            text: String::new(),
        }
    }

    /// The next event about cases.
    pub async fn of_cases(&mut self) -> Option<Event> {
        loop {
            let event = self.next().await?;
            if !["agents", "reset", "system"].contains(&event.0.as_str()) {
                return Some(event);
            }
        }
    }

    /// The next event for which something holds.
    pub async fn until(&mut self, holds: impl Fn(&str, &Value) -> bool) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if holds(&event.0, &event.2) {
                return event;
            }
        }
    }

    /// The next event: name, id, data. `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
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
