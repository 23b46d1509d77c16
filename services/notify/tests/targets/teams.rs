//! Microsoft Teams.

use crate::receiver::{Receiver, reply};
use crate::world::{config, open_case, start, target, until};
use immune_store::memory;
use serde_json::{Value, json};

/// Scenario: a severe case of an agent whose name looks like a link.
/// Guarantees: an Adaptive Card in the form that Workflows takes, with what moved, why, what would be done and the
/// link; the agent's name formats nothing.
#[tokio::test]
async fn a_card_says_it_all() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    receiver.always(reply(202));
    let config = config(
        json!([{ "name": "teams", "teams": { "url": receiver.url("/workflows?sig=hunter2") },
        "filter": { "kinds": ["waiting"] } }]),
    );
    let _running = start(&stores, &config).await;
    open_case(&stores, "[click](https://evil.example)", 8.0).await;
    until("a card", async || target(&stores, "teams").await.delivered == 1).await;
    let message = receiver.got()[0].json();
    assert_eq!(message["type"], "message");
    let attachment = &message["attachments"][0];
    assert_eq!(
        attachment["contentType"],
        "application/vnd.microsoft.card.adaptive"
    );
    let card = &attachment["content"];
    assert_eq!(
        (&card["type"], &card["version"]),
        (&json!("AdaptiveCard"), &json!("1.4"))
    );
    let text = card["body"].to_string();
    assert!(
        !text.contains("[click](https://evil.example)") && text.contains("\\\\[click\\\\]"),
        "{text}"
    );
    for part in [
        "5.1 standard deviations",
        "tokens are 5",
        "What would be done",
        "A person must decide",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let url = card["actions"][0]["url"].as_str().unwrap();
    assert!(
        url.starts_with("https://immune.example.com/cases/case%2D"),
        "{url}"
    );
}

/// Scenario: more than the rate allows.
/// Guarantees: people get a digest without being asked.
#[tokio::test]
async fn people_get_digests() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    let config = config(json!([{ "name": "teams", "teams": { "url": receiver.url("/") },
        "filter": { "kinds": ["opened"] }, "rate": { "per_minute": 2 } }]));
    start(&stores, &config).await.end().await;
    for n in 0..18 {
        open_case(&stores, &format!("a{n}"), 3.0).await;
    }
    let _running = start(&stores, &config).await;
    until("all told", async || {
        target(&stores, "teams").await.delivered == 18
    })
    .await;
    let cards: Vec<Value> = receiver.got().iter().map(|got| got.json()).collect();
    assert_eq!(cards.len(), 2);
    let digest = cards[1]["attachments"][0]["content"]["body"].to_string();
    assert!(
        digest.contains("17 more cases") && digest.contains("and 7 more"),
        "{digest}"
    );
}
