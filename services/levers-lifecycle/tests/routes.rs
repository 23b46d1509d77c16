//! Whom the lever asks, with which credentials, and what it sees of an agent.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod platform;

use immune_domain::healing::Action;
use immune_levers::{Answer as Said, Lever, Order, Outcome};
use immune_levers_lifecycle::{Base, Config, Lifecycle, Secret};
use platform::{Answer, Platform, ask, config};
use serde_json::json;
use std::io::Write;

const HEAL: Order = Order::Heal(Action::ResetMemory);

fn done() -> Answer {
    Answer::Json(200, json!({ "outcome": "done" }))
}

async fn say(config: &Config, order: Order) -> Said {
    Lifecycle::new(config).unwrap().ask(&ask("a", order)).await
}

/// Scenario: tokens given as value, as file that changes, in another header; a refusal that repeats the token.
/// Guarantees: each arrives as configured and none is printed.
#[tokio::test]
async fn credentials_travel_and_are_not_told() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "first-secret").unwrap();
    let platform = Platform::start(|_, _| done()).await;
    let with = |base: Base| Config {
        bases: vec![Base {
            url: platform.url.clone(),
            ..base
        }],
        ..config("")
    };
    let value = Some(Secret::new("s3cret"));
    let said = say(
        &with(Base {
            token: value.clone(),
            ..Base::default()
        }),
        HEAL,
    )
    .await;
    assert!(!format!("{said:?}").contains("s3cret"));
    say(
        &with(Base {
            token: value,
            header: Some("X-Api-Key".to_owned()),
            ..Base::default()
        }),
        HEAL,
    )
    .await;
    let rotating = Lifecycle::new(&with(Base {
        token_file: Some(file.path().into()),
        ..Base::default()
    }))
    .unwrap();
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
        assert_eq!(
            lever.ask(&ask(agent, HEAL)).await.outcome,
            Outcome::Done,
            "{agent}"
        );
    }
    assert_eq!((one.seen().len(), two.seen().len()), (2, 1));
    for agent in ["us/x", "..", ""] {
        assert_eq!(
            lever.ask(&ask(agent, HEAL)).await.outcome,
            Outcome::Unsupported,
            "{agent:?}"
        );
    }
    assert_eq!((one.seen().len(), two.seen().len()), (2, 1));
}

/// Scenario: the platform's view of an agent, good, missing and broken.
/// Guarantees: `observe` tells what is shown, and nothing otherwise.
#[tokio::test]
async fn observing_tells_what_is_shown() {
    let observe = async |answer: fn() -> Answer| {
        let platform = Platform::start(move |_, _| answer()).await;
        Lifecycle::new(&config(&platform.url))
            .unwrap()
            .observe(&ask("a", HEAL).key)
            .await
    };
    let seen = observe(|| Answer::Json(200, json!({ "contained": true, "state": "quarantined" })))
        .await
        .unwrap();
    assert_eq!((seen.contained, seen.state.as_str()), (true, "quarantined"));
    assert_eq!(observe(|| Answer::Raw(404, None, vec![])).await, None);
    assert_eq!(observe(|| Answer::Raw(200, None, b"[]".to_vec())).await, None);
    assert_eq!(observe(|| Answer::Never).await, None);
}
