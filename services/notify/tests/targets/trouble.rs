//! Receivers that fail, hang, are busy, are gone.

use crate::receiver::{Receiver, reply};
use crate::world::{approve, change, config, open_case, start, start_at_once, target, until};
use immune_store::memory;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const SECRET: &str = "a-secret-of-more-than-24-bytes";

fn hook(name: &str, url: String) -> Value {
    json!({ "name": name, "webhook": { "url": url, "secret": SECRET } })
}

/// Scenario: a receiver fails a few times, breaks a connection off in between, then takes everything.
/// Guarantees: everything arrives, in the order of the case, under the same id each time.
#[tokio::test]
async fn what_fails_comes_again() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    receiver.then([reply(503), reply(500).saying("oops"), reply(408)]);
    let config = config(json!([hook("hook", receiver.url("/"))]));
    let _running = start(&stores, &config).await;
    let case = open_case(&stores, "a", 8.0).await;
    change(&stores, &case.id, approve()).await;
    until("all delivered", async || {
        target(&stores, "hook").await.delivered == 3
    })
    .await;
    let ids: Vec<String> = receiver
        .got()
        .iter()
        .map(|got| got.header("webhook-id").to_owned())
        .collect();
    let mut different = ids.clone();
    different.dedup();
    assert_eq!(ids.len(), 6);
    assert_eq!(different, ["case-a.1", "case-a.2", "case-a.3"], "{ids:?}");
    let state = target(&stores, "hook").await;
    assert_eq!(state.failing_since, None);
    assert!(state.last_error.is_some());
}

/// Scenario: a busy receiver asks to wait two seconds.
/// Guarantees: nothing is sent to it before that, then everything.
#[tokio::test]
async fn retry_after_is_honoured() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    receiver.then([reply(429).with("retry-after", "2")]);
    let config = config(json!([hook("hook", receiver.url("/"))]));
    let _running = start(&stores, &config).await;
    open_case(&stores, "a", 3.0).await;
    until("it was asked", async || receiver.got().len() == 1).await;
    let asked = Instant::now();
    open_case(&stores, "b", 3.0).await;
    until("both delivered", async || {
        target(&stores, "hook").await.delivered == 2
    })
    .await;
    assert!(
        asked.elapsed() > Duration::from_millis(1_800),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(receiver.got().len(), 3);
}

/// Scenario: one receiver hangs, another is not there at all, a third is well.
/// Guarantees: the well one is told at once, whatever the others do; writing cases takes no longer.
#[tokio::test]
async fn one_that_hangs_holds_up_nobody() {
    let (stores, hanging, well) = (memory::stores(), Receiver::start().await, Receiver::start().await);
    hanging.always(reply(200).after(Duration::from_secs(600)));
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let config = config(json!([
        hook("hangs", hanging.url("/")),
        hook("gone", format!("http://{gone}/")),
        hook("well", well.url("/")),
    ]));
    let _running = start(&stores, &config).await;
    let began = Instant::now();
    for n in 0..50 {
        open_case(&stores, &format!("a{n}"), 3.0).await;
    }
    assert!(began.elapsed() < Duration::from_secs(2));
    until("thirty at once", async || {
        target(&stores, "well").await.delivered >= 30
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    until("the others say why", async || {
        let (hangs, gone) = (target(&stores, "hangs").await, target(&stores, "gone").await);
        let said = |state: &immune_store::notifications::TargetState, words: &str| {
            state.failing_since.is_some()
                && state
                    .last_error
                    .as_ref()
                    .is_some_and(|(_, text)| text.contains(words))
        };
        said(&hangs, "no answer in time") && said(&gone, "cannot be reached")
    })
    .await;
    assert_eq!(target(&stores, "hangs").await.delivered, 0);
    // Left alone while it does not answer: not one request per notification.
    assert!(hanging.got().len() < 12, "{}", hanging.got().len());
}

/// Scenario: of two cases the first's event always makes the receiver fail.
/// Guarantees: the other case's arrive all the same.
#[tokio::test]
async fn one_bad_message_holds_up_no_other() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    receiver.answers(|got| (got.json()["data"]["agent_id"] == "bad").then(|| reply(500)));
    let config = config(json!([hook("hook", receiver.url("/"))]));
    let _running = start(&stores, &config).await;
    open_case(&stores, "bad", 3.0).await;
    for n in 0..10 {
        open_case(&stores, &format!("good{n}"), 3.0).await;
    }
    until("the good ones arrive", async || {
        target(&stores, "hook").await.delivered == 10
    })
    .await;
    assert_eq!(target(&stores, "hook").await.waiting, 1);
}

/// Scenario: the process stops while a receiver is away, and another one starts when it is back; then one is killed
/// in the middle of a request and another goes on.
/// Guarantees: nothing is lost; what had arrived before the stop does not come again, what was under way does under
/// the same id.
#[tokio::test]
async fn a_restart_loses_nothing() {
    let (stores, receiver) = (memory::stores(), Receiver::start().await);
    let config = config(json!([hook("hook", receiver.url("/"))]));
    let first = start(&stores, &config).await;
    open_case(&stores, "a", 3.0).await;
    until("the first arrives", async || {
        target(&stores, "hook").await.delivered == 1
    })
    .await;
    receiver.always(reply(503));
    open_case(&stores, "b", 3.0).await;
    until("it fails", async || {
        target(&stores, "hook").await.failing_since.is_some()
    })
    .await;
    first.end().await;
    open_case(&stores, "c", 3.0).await;
    receiver.always(reply(200));
    receiver.forget();
    let second = start_at_once(&stores, &config);
    until("the rest arrives", async || {
        target(&stores, "hook").await.delivered == 3
    })
    .await;
    let ids: Vec<String> = receiver
        .got()
        .iter()
        .map(|got| got.header("webhook-id").to_owned())
        .collect();
    assert!(!ids.contains(&"case-a.1".to_owned()) && ids.len() == 2, "{ids:?}");

    receiver.forget();
    receiver.always(reply(200).after(Duration::from_millis(800)));
    open_case(&stores, "d", 3.0).await;
    until("it is under way", async || receiver.got().len() == 1).await;
    second.task.abort();
    let _third = start_at_once(&stores, &config);
    let row = stores.notifications.get("hook.4").await.unwrap().unwrap();
    assert_eq!(row.attempts, 1, "the attempt is known to whoever takes over");
    // Not before the attempt of the one that died must have ended.
    assert!(row.due_at > crate::world::now());
    until("it arrives after all", async || {
        target(&stores, "hook").await.delivered == 4
    })
    .await;
    let ids: Vec<String> = receiver
        .got()
        .iter()
        .map(|got| got.header("webhook-id").to_owned())
        .collect();
    assert_eq!(ids, ["case-d.4"; 2]);
}
