//! AppDynamics, as its documentation has it.

use crate::receiver::{Receiver, reply};
use crate::world::{approve, change, config, open_case, start, target, until};
use immune_store::memory;
use serde_json::json;

/// Scenario: a case is opened and approved; the Controller forgets the token in between; a machine agent listens.
/// Guarantees: a token by client credentials, fetched anew when it is refused; custom events with their properties in
/// pairs; numbers with whole values.
#[tokio::test]
async fn events_and_numbers() {
    let (stores, controller, agent) = (memory::stores(), Receiver::start().await, Receiver::start().await);
    agent.always(reply(204));
    let mut tokens = 0;
    controller.answers(move |got| {
        if got.uri.path() == "/controller/api/oauth/access_token" {
            assert_eq!(got.header("content-type"), "application/x-www-form-urlencoded");
            let form = "grant_type=client_credentials&client_id=immune%40acme&client_secret=hunter2";
            assert_eq!(std::str::from_utf8(&got.body).unwrap(), form);
            tokens += 1;
            return Some(reply(200).saying(
                json!({ "access_token": format!("token-{tokens}"), "expires_in": 300 }).to_string(),
            ));
        }
        assert_eq!(got.uri.path(), "/controller/rest/applications/AI%20Fleet/events");
        // The first token holds for one event.
        let is_stale = got.header("authorization") == "Bearer token-1"
            && !got.uri.query().unwrap().contains("kind&propertyvalues=opened");
        Some(if is_stale {
            reply(401)
        } else {
            reply(200).saying("Successfully created the event id:1")
        })
    });
    let config = config(json!([{ "name": "appd", "appdynamics": {
        "controller_url": controller.url(""), "application": "AI Fleet", "client_name": "immune", "account": "acme",
        "client_secret": "hunter2", "machine_agent": { "url": agent.url("") } } }]));
    let _running = start(&stores, &config).await;
    let case = open_case(&stores, "a", 8.0).await;
    change(&stores, &case.id, approve()).await;
    until("all told", async || target(&stores, "appd").await.delivered == 3).await;
    let events: Vec<_> = controller
        .got()
        .into_iter()
        .filter(|got| got.uri.path().ends_with("/events"))
        .map(|got| got.query())
        .collect();
    assert_eq!(events.len(), 4, "one came again with a new token");
    let first = &events[0];
    let field = |name: &str| {
        first
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(
        (field("eventtype"), field("customeventtype"), field("severity")),
        (Some("CUSTOM"), Some("AgentInfection"), Some("ERROR"))
    );
    assert!(field("summary").unwrap().starts_with("Agent infected: a"));
    let values = |wanted: &str| {
        first
            .iter()
            .filter(|(n, _)| n == wanted)
            .map(|(_, value)| value.clone())
            .collect::<Vec<_>>()
    };
    let (names, values) = (values("propertynames"), values("propertyvalues"));
    assert_eq!(names.len(), values.len());
    let pairs: Vec<(&str, &str)> = names
        .iter()
        .map(String::as_str)
        .zip(values.iter().map(String::as_str))
        .collect();
    assert!(
        pairs.contains(&("case_id", "case-a")) && pairs.contains(&("event_id", "case-a.1")),
        "{pairs:?}"
    );
    until("numbers", async || !agent.got().is_empty()).await;
    let got = &agent.got()[0];
    assert_eq!(got.uri.path(), "/api/v1/metrics");
    let metrics = got.json();
    for metric in metrics.as_array().unwrap() {
        assert!(
            metric["metricName"]
                .as_str()
                .unwrap()
                .starts_with("Custom Metrics|Agent Immune System|")
        );
        assert_eq!(metric["aggregatorType"], "OBSERVATION");
        assert!(metric["value"].is_u64());
    }
}
