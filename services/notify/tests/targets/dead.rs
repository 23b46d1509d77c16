//! Dead letters.

use crate::receiver::{Receiver, reply};
use crate::world::{config, open_case, start, target, until};
use immune_store::memory;
use serde_json::json;

const SECRET: &str = "hunter2-hunter2-hunter2-hunter2";

/// Scenario: a receiver that is gone for good; it echoes the secrets that it was sent.
/// Guarantees: the notification is a dead letter at once, with the reason and without a secret; retried by a person
/// it arrives.
#[tokio::test]
async fn gone_is_dead_and_can_be_retried() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    receiver.then([reply(400).saying(format!("you sent {SECRET}\r\nand hunter3"))]);
    let config = config(json!([{ "name": "hook", "webhook": {
        "url": receiver.url("/x"), "secret": SECRET, "authorization": "hunter3" } }]));
    let _running = start(&stores, &config).await;
    open_case(&stores, "a", 3.0).await;
    until("a dead letter", async || target(&stores, "hook").await.dead == 1).await;
    let letter = &stores.notifications.dead(None, 10).await.unwrap()[0];
    let said = format!("{letter:?} {:?}", target(&stores, "hook").await);
    assert!(said.contains("400 Bad Request: you sent ***  and ***"), "{said}");
    assert!(!said.contains("hunter"), "{said}");
    receiver.then([reply(410)]);
    assert!(
        stores
            .notifications
            .retry(&letter.id, crate::world::now())
            .await
            .unwrap()
    );
    until("dead again", async || {
        receiver.got().len() == 2 && target(&stores, "hook").await.dead == 1
    })
    .await;
    assert!(
        stores
            .notifications
            .retry(&letter.id, crate::world::now())
            .await
            .unwrap()
    );
    until("it arrives", async || {
        target(&stores, "hook").await.delivered == 1
    })
    .await;
    assert_eq!(target(&stores, "hook").await.dead, 0);
    let ids: Vec<String> = receiver
        .got()
        .iter()
        .map(|got| got.header("webhook-id").to_owned())
        .collect();
    assert_eq!(ids, ["case-a.1"; 3]);
}

/// Scenario: a receiver is away for longer than a target waits.
/// Guarantees: everything that is too old becomes a dead letter that says for how long it was tried, also what was
/// never tried because the first one failed; what comes later arrives.
#[tokio::test]
async fn what_is_too_old_is_given_up() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    receiver.always(reply(502));
    let config = config(
        json!([{ "name": "hook", "webhook": { "url": receiver.url("/"), "secret": SECRET },
        "retry": { "first_ms": 20, "wait_seconds_max": 1, "give_up_seconds": 1, "request_seconds": 1 } }]),
    );
    let _running = start(&stores, &config).await;
    for n in 0..20 {
        open_case(&stores, &format!("a{n}"), 3.0).await;
    }
    until("all are dead", async || target(&stores, "hook").await.dead == 20).await;
    let letter = &stores.notifications.dead(Some("hook"), 1).await.unwrap()[0];
    assert!(
        letter.last_error.as_ref().unwrap().starts_with("given up after "),
        "{letter:?}"
    );
    receiver.always(reply(204));
    open_case(&stores, "later", 3.0).await;
    until("the later one arrives", async || {
        target(&stores, "hook").await.delivered == 1
    })
    .await;
}
