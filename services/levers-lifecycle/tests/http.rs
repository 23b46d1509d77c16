//! The HTTP form against a real server that behaves and misbehaves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod platform;

use immune_domain::case::Containment;
use immune_domain::healing::Action;
use immune_levers::{Answer as Said, Lever, Order, Outcome};
use immune_levers_lifecycle::{Config, Lifecycle};
use platform::{Answer, Platform, ask, config};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

const HEAL: Order = Order::Heal(Action::ResetMemory);
const CONTAIN: Order = Order::Contain(Containment::Contained);

type Answers = fn() -> Answer;

fn problem(status: u16) -> Answer {
    Answer::Raw(status, None, br#"{"title":"No","detail":"the reason"}"#.to_vec())
}

fn done() -> Answer {
    Answer::Json(
        200,
        json!({ "outcome": "done", "detail": "did it", "evidence": { "bytes": 7 } }),
    )
}

async fn say(config: &Config, order: Order) -> Said {
    Lifecycle::new(config).unwrap().ask(&ask("a", order)).await
}

/// Runs one order against a script; the answer and how many requests the server saw.
async fn told(order: Order, script: impl Fn(usize) -> Answer + Send + Sync + 'static) -> (Said, usize) {
    let platform = Platform::start(move |n, _| script(n)).await;
    let started = Instant::now();
    let said = say(&config(&platform.url), order).await;
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "took {:?}",
        started.elapsed()
    );
    (said, platform.seen().len())
}

/// Scenario: an agent whose id holds slashes, spaces and more.
/// Guarantees: the request is as the contract says: path, body, run; the receipt is kept.
#[tokio::test]
async fn the_request_is_as_the_contract_says() {
    let platform = Platform::start(|_, _| done()).await;
    let lever = Lifecycle::new(&config(&platform.url)).unwrap();
    let said = lever.ask(&ask("ns/svc/der Agent?#%2F", HEAL)).await;
    assert_eq!(said.outcome, Outcome::Done, "{said:?}");
    assert_eq!(said.detail, "did it");
    assert_eq!(said.evidence["receipt"], json!({ "bytes": 7 }));
    let request = &platform.seen()[0];
    assert_eq!(
        request.path,
        "/api/agents/ns%2Fsvc%2Fder%20Agent%3F%23%252F/actions"
    );
    assert_eq!(request.headers["x-run-id"], "r");
    let body = json!({
        "action": "reset_memory", "case_id": "case-1", "idempotency_key": "key-1", "reason": "because",
        "parameters": { "severity": 7.5 },
    });
    assert_eq!(request.body, body);
}

/// Scenario: contained, watched, free.
/// Guarantees: quarantine, release as probation with its executions, plain release.
#[tokio::test]
async fn containment_maps_to_quarantine_and_release() {
    for (containment, action, probation) in [
        (Containment::Contained, "quarantine", Value::Null),
        (Containment::Probation, "release", json!(true)),
        (Containment::Free, "release", json!(false)),
    ] {
        let contained = containment == Containment::Contained;
        let platform = Platform::start(move |n, _| match n {
            0 => done(),
            _ => Answer::Json(
                200,
                json!({ "agent_id": "a", "contained": contained, "state": "s" }),
            ),
        })
        .await;
        let said = say(&config(&platform.url), Order::Contain(containment)).await;
        assert_eq!(said.outcome, Outcome::Done, "{said:?}");
        assert_eq!(said.evidence["verified"], json!(true));
        let body = &platform.seen()[0].body;
        assert_eq!(
            (&body["action"], &body["parameters"]["probation"]),
            (&json!(action), &probation)
        );
        let executions = if probation == json!(true) {
            json!(5)
        } else {
            Value::Null
        };
        assert_eq!(body["parameters"]["executions"], executions);
    }
}

/// Scenario: final words of every kind.
/// Guarantees: each becomes the outcome that is true, with the platform's words, after a single request.
#[tokio::test]
async fn final_words_are_passed_on() {
    let cases: [(Answers, Outcome, &str); 9] = [
        (
            || Answer::Json(200, json!({"outcome": "failed", "detail": "x y"})),
            Outcome::Failed,
            "x y",
        ),
        (
            || Answer::Json(200, json!({"outcome": "unsupported"})),
            Outcome::Unsupported,
            "unsupported",
        ),
        (
            || Answer::Json(422, json!({"outcome": "unsupported"})),
            Outcome::Unsupported,
            "unsupported",
        ),
        (|| problem(400), Outcome::Failed, "the reason"),
        (|| problem(403), Outcome::Failed, "the reason"),
        (
            || problem(404),
            Outcome::Failed,
            "the platform does not know agent a",
        ),
        (|| problem(409), Outcome::Failed, "the reason"),
        (|| problem(501), Outcome::Unsupported, "the reason"),
        (
            || Answer::Raw(302, Some(("location", "/x".into())), vec![]),
            Outcome::Failed,
            "redirect",
        ),
    ];
    for (answer, outcome, words) in cases {
        let (said, requests) = told(HEAL, move |_| answer()).await;
        assert_eq!(said.outcome, outcome, "{said:?}");
        assert!(said.detail.contains(words), "{said:?}");
        assert_eq!(requests, 1, "{said:?}");
    }
}

/// Scenario: errors that may pass, and then an answer.
/// Guarantees: asked again with the same key until it is done.
#[tokio::test]
async fn what_may_pass_is_asked_again() {
    for status in [500, 502, 503, 429, 408] {
        let platform = Platform::start(move |n, _| match n {
            0..2 => Answer::Raw(status, Some(("retry-after", "0".into())), b"not now".to_vec()),
            _ => done(),
        })
        .await;
        let said = say(&config(&platform.url), HEAL).await;
        assert_eq!(said.outcome, Outcome::Done, "{status}: {said:?}");
        let seen = platform.seen();
        assert_eq!(seen.len(), 3);
        assert!(
            seen.iter()
                .all(|request| request.body["idempotency_key"] == "key-1")
        );
    }
}

/// Scenario: answers that tell nothing, for ever: errors, silence, garbage, an endless body, a wrong word.
/// Guarantees: unknown, with a reason, after a bounded number of requests and within the deadline.
#[tokio::test]
async fn no_answer_is_unknown() {
    let cases: [(Answers, &str); 7] = [
        (|| Answer::Raw(500, None, b"boom".to_vec()), "boom"),
        (|| Answer::Never, "no answer in time"),
        (
            || Answer::Raw(200, None, b"<html>hello</html>".to_vec()),
            "no outcome",
        ),
        (|| Answer::Raw(200, None, vec![]), "no outcome"),
        (|| Answer::Raw(204, None, vec![]), "no outcome"),
        (
            || Answer::Json(200, json!({ "outcome": "perhaps" })),
            "no outcome",
        ),
        (|| Answer::Endless, "larger than"),
    ];
    for (answer, words) in cases {
        let (said, requests) = told(HEAL, move |_| answer()).await;
        assert_eq!(said.outcome, Outcome::Unknown, "{said:?}");
        assert!(said.detail.contains(words), "{words}: {said:?}");
        assert!((1..=4).contains(&requests), "{requests} requests: {said:?}");
    }
}

/// Scenario: nobody listens; somebody listens and hangs up.
/// Guarantees: unknown, since the order may have arrived.
#[tokio::test]
async fn a_broken_connection_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let hangs_up = tokio::spawn(async move {
        loop {
            drop(listener.accept().await.unwrap());
        }
    });
    let said = say(&config(&url), HEAL).await;
    assert_eq!(said.outcome, Outcome::Unknown, "{said:?}");
    hangs_up.abort();
    let _ = hangs_up.await;
    let said = say(&config(&url), HEAL).await;
    assert_eq!(said.outcome, Outcome::Unknown, "{said:?}");
    assert!(said.detail.contains("cannot be reached"), "{said:?}");
}

/// Scenario: 202 with a place in the body or in a header, pending twice, an error in between, then the outcome.
/// Guarantees: polled until it ends, and the order is sent once.
#[tokio::test]
async fn accepted_orders_are_polled() {
    for in_header in [true, false] {
        let platform = Platform::start(move |n, request| match (n, request.path.as_str()) {
            (0, _) if in_header => Answer::Raw(202, Some(("location", "/api/operations/7".into())), vec![]),
            (0, _) => Answer::Json(202, json!({ "poll": "../../operations/7" })),
            (1, "/api/operations/7") => Answer::Raw(202, None, vec![]),
            (2, "/api/operations/7") => Answer::Raw(503, None, vec![]),
            (3, "/api/operations/7") => {
                Answer::Json(200, json!({ "outcome": "failed", "detail": "no luck" }))
            }
            (_, path) => panic!("unexpected request of {path}"),
        })
        .await;
        let said = say(&config(&platform.url), HEAL).await;
        assert_eq!(
            (said.outcome, said.detail.as_str()),
            (Outcome::Failed, "no luck"),
            "{said:?}"
        );
        assert_eq!(said.evidence["polls"], json!(3));
    }
}

/// Scenario: an operation that never ends, one that is forgotten, one on another origin, one without a place.
/// Guarantees: unknown each time; another origin is not asked.
#[tokio::test]
async fn operations_that_lead_nowhere_are_unknown() {
    let (said, requests) = told(HEAL, |_| {
        Answer::Raw(202, Some(("location", "/api/operations/7".into())), vec![])
    })
    .await;
    assert_eq!(said.outcome, Outcome::Unknown, "{said:?}");
    assert!(
        requests > 3 && said.detail.contains("not finished"),
        "{requests}: {said:?}"
    );

    let (said, _) = told(HEAL, |n| match n {
        0 => Answer::Raw(202, Some(("location", "/gone".into())), vec![]),
        _ => Answer::Raw(404, None, b"never heard of it".to_vec()),
    })
    .await;
    assert_eq!(said.outcome, Outcome::Unknown, "{said:?}");

    let elsewhere = Platform::start(|_, _| done()).await;
    let there = elsewhere.url.clone();
    let (said, _) = told(HEAL, move |_| Answer::Json(202, json!({ "poll": there }))).await;
    assert_eq!(said.outcome, Outcome::Unknown, "{said:?}");
    assert!(said.detail.contains("another origin"), "{said:?}");
    assert_eq!(elsewhere.seen().len(), 0);

    let (said, _) = told(HEAL, |_| Answer::Raw(202, None, vec![])).await;
    assert_eq!(said.outcome, Outcome::Unknown, "{said:?}");
}

/// Scenario: done, but the platform shows the opposite: for ever, or only at first; or shows nothing; or breaks.
/// Guarantees: a lie is failed, a moment's delay is forgiven, a missing view leaves the receipt unverified, a broken
/// one leaves it unknown.
#[tokio::test]
async fn receipts_for_containment_are_checked() {
    let shows = |contained: bool| Answer::Json(200, json!({ "contained": contained, "state": "running" }));
    let (said, _) = told(CONTAIN, move |n| if n == 0 { done() } else { shows(false) }).await;
    assert_eq!(said.outcome, Outcome::Failed, "{said:?}");
    assert!(
        said.detail
            .contains("says done but shows the agent not contained (running)"),
        "{said:?}"
    );

    let (said, _) = told(CONTAIN, move |n| if n == 0 { done() } else { shows(n > 2) }).await;
    assert_eq!(said.outcome, Outcome::Done, "{said:?}");

    for status in [404, 405, 501] {
        let (said, _) = told(CONTAIN, move |n| {
            if n == 0 {
                done()
            } else {
                Answer::Raw(status, None, vec![])
            }
        })
        .await;
        assert_eq!(
            (said.outcome, &said.evidence["verified"]),
            (Outcome::Done, &Value::Null),
            "{said:?}"
        );
    }

    let (said, _) = told(CONTAIN, |n| {
        if n == 0 {
            done()
        } else {
            Answer::Raw(500, None, vec![])
        }
    })
    .await;
    assert_eq!(said.outcome, Outcome::Unknown, "{said:?}");
}
