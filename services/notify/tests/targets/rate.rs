//! How often a target is told something.

use crate::receiver::Receiver;
use crate::world::{config, open_case, start, target, until};
use immune_store::memory;
use serde_json::json;

const SECRET: &str = "a-secret-of-more-than-24-bytes";

/// Scenario: 40 cases at once for a chat that takes ten messages a minute.
/// Guarantees: nine come one by one, the rest in digests that count and name them; nothing is silent and nothing comes
/// twice.
#[tokio::test]
async fn a_burst_becomes_a_digest() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    let config = config(
        json!([{ "name": "hook", "webhook": { "url": receiver.url("/"), "secret": SECRET },
        "filter": { "kinds": ["opened"] }, "rate": { "per_minute": 10, "beyond": "digest" } }]),
    );
    let held = start(&stores, &config).await;
    held.end().await;
    for n in 0..40 {
        open_case(&stores, &format!("a{n}"), f64::from(n % 5)).await;
    }
    let _running = start(&stores, &config).await;
    until("everything is told", async || {
        target(&stores, "hook").await.delivered == 40
    })
    .await;
    let got = receiver.got();
    let (single, digests): (Vec<_>, Vec<_>) = got
        .iter()
        .map(|got| got.json())
        .partition(|event| event["type"] == "io.immune.case.opened");
    assert_eq!((single.len(), digests.len()), (9, 1));
    assert_eq!(digests[0]["data"]["text"], "31 more cases");
    assert_eq!(digests[0]["data"]["events"].as_array().unwrap().len(), 31);
}

/// Scenario: the same for a program, which wants every event.
/// Guarantees: no more than the rate at once; the rest waits and is not lost.
#[tokio::test]
async fn programs_are_told_later() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    let config = config(
        json!([{ "name": "hook", "webhook": { "url": receiver.url("/"), "secret": SECRET },
        "filter": { "kinds": ["opened"] }, "rate": { "per_minute": 60 } }]),
    );
    let _running = start(&stores, &config).await;
    for n in 0..62 {
        open_case(&stores, &format!("a{n}"), 3.0).await;
    }
    until("the rate is used up", async || {
        target(&stores, "hook").await.delivered >= 60
    })
    .await;
    assert!(target(&stores, "hook").await.waiting > 0);
    until("the rest comes", async || {
        target(&stores, "hook").await.delivered == 62
    })
    .await;
    let ids: std::collections::BTreeSet<String> = receiver
        .got()
        .iter()
        .map(|got| got.header("webhook-id").to_owned())
        .collect();
    assert_eq!((ids.len(), receiver.got().len()), (62, 62));
}
