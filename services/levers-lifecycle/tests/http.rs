//! The HTTP form against a real server that behaves and misbehaves.

mod platform;

use immune_domain::case::Containment;
use immune_domain::healing::Action;
use immune_levers::{Answer as Said, Lever, Order, Outcome};
use immune_levers_lifecycle::{Base, Config, Lifecycle, Secret};
use platform::{Answer, Platform, ask, config};
use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

const HEAL: Order = Order::Heal(Action::ResetMemory);
const CONTAIN: Order = Order::Contain(Containment::Contained);

fn done() -> Answer {
    Answer::Json(200, json!({ "outcome": "done", "detail": "did it", "evidence": { "bytes": 7 } }))
}

async fn say(config: &Config, order: Order) -> Said {
    Lifecycle::new(config).unwrap().ask(&ask("a", order)).await
}

/// Runs one order against a script; the answer and how many requests the server saw.
async fn told(order: Order, script: impl Fn(usize) -> Answer + Send + Sync + 'static) -> (Said, usize) {
    let platform = Platform::start(move |n, _| script(n)).await;
    let started = Instant::now();
    let said = say(&config(&platform.url), order).await;
    assert!(started.elapsed() < Duration::from_secs(4), "took {:?}", started.elapsed());
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
    assert_eq!(request.path, "/api/agents/ns%2Fsvc%2Fder%20Agent%3F%23%252F/actions");
    assert_eq!(request.headers["x-run-id"], "r");
    let body = json!({
        "action": "reset_memory", "case_id": "case-1", "idempotency_key": "key-1", "reason": "because",
        "parameters": { "executions": 5 },
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
            _ => Answer::Json(200, json!({ "agent_id": "a", "contained": contained, "state": "s" })),
        })
        .await;
        let said = say(&config(&platform.url), Order::Contain(containment)).await;
        assert_eq!(said.outcome, Outcome::Done, "{said:?}");
        assert_eq!(said.evidence["verified"], json!(true));
        let body = &platform.seen()[0].body;
        assert_eq!((&body["action"], &body["parameters"]["probation"]), (&json!(action), &probation));
        assert_eq!(body["parameters"]["executions"], json!(5));
    }
}

/// Scenario: final words of every kind.
/// Guarantees: each becomes the outcome that is true, with the platform's words, after a single request.
#[tokio::test]
async fn final_words_are_passed_on() {
    let problem = |status: u16| Answer::Raw(status, None, br#"{"title":"No","detail":"the reason"}"#.to_vec());
    let cases: Vec<(Box<dyn Fn() -> Answer + Send + Sync>, Outcome, &str)> = vec![
        (Box::new(|| Answer::Json(200, json!({"outcome": "failed", "detail": "x y"}))), Outcome::Failed, "x y"),
        (Box::new(|| Answer::Json(200, json!({"outcome": "unsupported"}))), Outcome::Unsupported, "unsupported"),
        (Box::new(|| Answer::Json(422, json!({"outcome": "unsupported"}))), Outcome::Unsupported, "unsupported"),
        (Box::new(move || problem(400)), Outcome::Failed, "the reason"),
        (Box::new(move || problem(403)), Outcome::Failed, "the reason"),
        (Box::new(move || problem(404)), Outcome::Failed, "the platform does not know agent a"),
        (Box::new(move || problem(409)), Outcome::Failed, "the reason"),
        (Box::new(move || problem(501)), Outcome::Unsupported, "the reason"),
        (Box::new(|| Answer::Raw(302, Some(("location", "/x".into())), vec![])), Outcome::Failed, "redirect"),
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
        assert!(seen.iter().all(|request| request.body["idempotency_key"] == "key-1"));
    }
}

/// Scenario: answers that tell nothing, for ever: errors, silence, garbage, an endless body, a wrong word.
/// Guarantees: unknown, with a reason, after a bounded number of requests and within the deadline.
#[tokio::test]
async fn no_answer_is_unknown() {
    let cases: [(fn() -> Answer, &str); 7] = [
        (|| Answer::Raw(500, None, b"boom".to_vec()), "boom"),
        (|| Answer::Never, "no answer in time"),
        (|| Answer::Raw(200, None, b"<html>hello</html>".to_vec()), "no outcome"),
        (|| Answer::Raw(200, None, vec![]), "no outcome"),
        (|| Answer::Raw(204, None, vec![]), "no outcome"),
        (|| Answer::Json(200, json!({ "outcome": "perhaps" })), "no outcome"),
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
            (3, "/api/operations/7") => Answer::Json(200, json!({ "outcome": "failed", "detail": "no luck" })),
            (_, path) => panic!("unexpected request of {path}"),
        })
        .await;
        let said = say(&config(&platform.url), HEAL).await;
        assert_eq!((said.outcome, said.detail.as_str()), (Outcome::Failed, "no luck"), "{said:?}");
        assert_eq!(said.evidence["polls"], json!(3));
    }
}

/// Scenario: an operation that never ends, one that is forgotten, one on another origin, one without a place.
/// Guarantees: unknown each time; another origin is not asked.
#[tokio::test]
async fn operations_that_lead_nowhere_are_unknown() {
    let (said, requests) =
        told(HEAL, |_| Answer::Raw(202, Some(("location", "/api/operations/7".into())), vec![])).await;
    assert_eq!(said.outcome, Outcome::Unknown, "{said:?}");
    assert!(requests > 3 && said.detail.contains("not finished"), "{requests}: {said:?}");

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
    assert!(said.detail.contains("says done but shows the agent not contained (running)"), "{said:?}");

    let (said, _) = told(CONTAIN, move |n| if n == 0 { done() } else { shows(n > 2) }).await;
    assert_eq!(said.outcome, Outcome::Done, "{said:?}");

    for status in [404, 405, 501] {
        let (said, _) =
            told(CONTAIN, move |n| if n == 0 { done() } else { Answer::Raw(status, None, vec![]) }).await;
        assert_eq!((said.outcome, &said.evidence["verified"]), (Outcome::Done, &Value::Null), "{said:?}");
    }

    let (said, _) = told(CONTAIN, |n| if n == 0 { done() } else { Answer::Raw(500, None, vec![]) }).await;
    assert_eq!(said.outcome, Outcome::Unknown, "{said:?}");
}

/// Scenario: tokens given as value, as file that changes, in another header; a refusal that repeats the token.
/// Guarantees: each arrives as configured and none is printed.
#[tokio::test]
async fn credentials_travel_and_are_not_told() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "first-secret").unwrap();
    let platform = Platform::start(|_, _| done()).await;
    let with = |base: Base| Config { bases: vec![Base { url: platform.url.clone(), ..base }], ..config("") };
    let value = Some(Secret::new("s3cret"));
    let said = say(&with(Base { token: value.clone(), ..Base::default() }), HEAL).await;
    assert!(!format!("{said:?}").contains("s3cret"));
    say(&with(Base { token: value, header: Some("X-Api-Key".to_owned()), ..Base::default() }), HEAL).await;
    let rotating = Lifecycle::new(&with(Base { token_file: Some(file.path().into()), ..Base::default() })).unwrap();
    rotating.ask(&ask("a", HEAL)).await;
    std::fs::write(file.path(), "second-secret\n").unwrap();
    rotating.ask(&ask("a", HEAL)).await;

    let seen = platform.seen();
    assert_eq!(seen[0].headers["authorization"], "Bearer s3cret");
    assert_eq!(seen[1].headers["x-api-key"], "s3cret");
    assert!(!seen[1].headers.contains_key("authorization"));
    assert_eq!(seen[2].headers["authorization"], "Bearer first-secret");
    assert_eq!(seen[3].headers["authorization"], "Bearer second-secret");

    drop(file);
    let said = rotating.ask(&ask("a", HEAL)).await;
    assert_eq!(said.outcome, Outcome::Unknown, "{said:?}");
    assert_eq!(platform.seen().len(), 4, "nothing is sent without the credential");
}

/// Scenario: two platforms, chosen by run and agent; an agent that none of them has; an id that no url can carry.
/// Guarantees: the first match is asked and nobody else; without one the answer is unsupported.
#[tokio::test]
async fn the_first_matching_platform_is_asked() {
    let one = Platform::start(|_, _| done()).await;
    let two = Platform::start(|_, _| done()).await;
    let base = |run: &str, agent: &str, platform: &Platform| Base {
        run: run.to_owned(),
        agent: agent.to_owned(),
        url: platform.url.clone(),
        ..Base::default()
    };
    let bases = vec![base("r", "eu/*", &one), base("r", "*-bot", &two)];
    let lever = Lifecycle::new(&Config { bases, ..config("") }).unwrap();
    for agent in ["eu/sales-bot", "eu/x", "us/sales-bot"] {
        assert_eq!(lever.ask(&ask(agent, HEAL)).await.outcome, Outcome::Done, "{agent}");
    }
    assert_eq!((one.seen().len(), two.seen().len()), (2, 1));
    for agent in ["us/x", "..", ""] {
        assert_eq!(lever.ask(&ask(agent, HEAL)).await.outcome, Outcome::Unsupported, "{agent:?}");
    }
    assert_eq!((one.seen().len(), two.seen().len()), (2, 1));
}

/// Scenario: the platform's view of an agent, good, missing and broken.
/// Guarantees: `observe` tells what is shown, and nothing otherwise.
#[tokio::test]
async fn observing_tells_what_is_shown() {
    let observe = async |answer: fn() -> Answer| {
        let platform = Platform::start(move |_, _| answer()).await;
        Lifecycle::new(&config(&platform.url)).unwrap().observe(&ask("a", HEAL).key).await
    };
    let seen = observe(|| Answer::Json(200, json!({ "contained": true, "state": "quarantined" }))).await.unwrap();
    assert_eq!((seen.contained, seen.state.as_str()), (true, "quarantined"));
    assert_eq!(observe(|| Answer::Raw(404, None, vec![])).await, None);
    assert_eq!(observe(|| Answer::Raw(200, None, b"[]".to_vec())).await, None);
    assert_eq!(observe(|| Answer::Never).await, None);
}
