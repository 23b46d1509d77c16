//! The suite that every lever runs, against a real platform that the test controls.
//!
//! ```ignore
//! async fn fresh() -> impl immune_levers::conformance::Platform { /* a platform with agents, and its lever */ }
//! immune_levers::conformance!(fresh);
//! ```
//!
//! To add a property: write it here with its scenario and guarantee, and name it in the macro below; a test compares
//! the two.
#![allow(
    clippy::unwrap_used,
    reason = "a suite fails by panicking, at the line that was not kept"
)]
#![allow(
    missing_docs,
    reason = "each property is documented by its scenario and its guarantee"
)]

use crate::{Answer, Ask, Lever, Order, Outcome};
use async_trait::async_trait;
use immune_domain::AgentKey;
use immune_domain::case::Containment;
use immune_domain::healing::Action;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A platform under the test's control, and the lever that acts on it.
#[async_trait]
pub trait Platform: Send + Sync {
    /// The lever under test.
    fn lever(&self) -> Arc<dyn Lever>;

    /// The lever's own deadline.
    fn deadline(&self) -> Duration;

    /// An agent that exists, runs freely, and for which [`Action::ResetMemory`] can be done.
    async fn agent(&self) -> AgentKey;

    /// How many orders have had an effect on the agent so far, as the platform itself counts.
    async fn effects(&self, key: &AgentKey) -> u64;

    /// Whether the agent is truly kept from executing, whatever the platform says.
    async fn is_contained(&self, key: &AgentKey) -> bool;

    /// How the platform behaves from now on.
    async fn behave(&self, manner: Manner);
}

/// How a platform behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It does what it is asked.
    Well,
    /// It says that it did not manage, with these words.
    Refuses(&'static str),
    /// It says that it cannot do this at all.
    CannotDo,
    /// It takes an order and never answers.
    Hangs,
    /// It says done and does nothing; asked for the agent's state it tells the truth.
    LiesAboutActions,
}

/// Turns the properties into tests. `$fresh` names an `async fn() -> impl Platform`; the calling crate needs tokio.
#[macro_export]
macro_rules! conformance {
    ($fresh:expr) => {
        $crate::conformance!(@tests $fresh, [
            a_repeated_key_has_one_effect,
            a_repetition_at_the_same_time_has_one_effect,
            a_new_key_is_a_new_order,
            receipts_agree_with_the_platform,
            a_refusal_is_told,
            what_cannot_be_done_is_told,
            an_unknown_agent_is_told,
            silence_is_unknown_within_the_deadline,
            a_lie_is_not_believed,
        ]);
    };
    (@tests $fresh:expr, [$($name:ident),+ $(,)?]) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::conformance::$name(&$fresh().await).await;
            }
        )+
    };
}

fn ask(key: &AgentKey, idempotency_key: &str, order: Order) -> Ask {
    Ask {
        key: key.clone(),
        case: "case-1".into(),
        idempotency_key: format!("{key}:{idempotency_key}"),
        order,
        reason: "conformance".to_owned(),
        parameters: BTreeMap::new(),
        workload: BTreeMap::new(),
    }
}

const HEAL: Order = Order::Heal(Action::ResetMemory);

async fn asked(platform: &impl Platform, ask: &Ask, wanted: Outcome) -> Answer {
    let started = Instant::now();
    let answer = platform.lever().ask(ask).await;
    let took = started.elapsed();
    assert_eq!(answer.outcome, wanted, "{answer:?}");
    assert!(!answer.detail.is_empty(), "an answer without words: {answer:?}");
    // A second of grace for a busy machine.
    assert!(
        took <= platform.deadline() + Duration::from_secs(1),
        "took {took:?}"
    );
    answer
}

/// Scenario: the same order is asked for three times with one key.
/// Guarantees: one effect, and the same good answer each time.
pub async fn a_repeated_key_has_one_effect(platform: &impl Platform) {
    let agent = platform.agent().await;
    for _ in 0..3 {
        asked(platform, &ask(&agent, "once", HEAL), Outcome::Done).await;
    }
    assert_eq!(platform.effects(&agent).await, 1);
}

/// Scenario: the same order is asked for at the same time by two who do not know of each other.
/// Guarantees: one effect, and both learn that it is done.
pub async fn a_repetition_at_the_same_time_has_one_effect(platform: &impl Platform) {
    let agent = platform.agent().await;
    let order = ask(&agent, "twice", HEAL);
    let (lever, other) = (platform.lever(), platform.lever());
    let (one, two) = tokio::join!(lever.ask(&order), other.ask(&order));
    assert_eq!(
        (one.outcome, two.outcome),
        (Outcome::Done, Outcome::Done),
        "{one:?} {two:?}"
    );
    assert_eq!(platform.effects(&agent).await, 1);
}

/// Scenario: the same order again with a new key.
/// Guarantees: it is done again: a key, not an order, is what is remembered.
pub async fn a_new_key_is_a_new_order(platform: &impl Platform) {
    let agent = platform.agent().await;
    asked(platform, &ask(&agent, "first", HEAL), Outcome::Done).await;
    asked(platform, &ask(&agent, "second", HEAL), Outcome::Done).await;
    assert_eq!(platform.effects(&agent).await, 2);
}

/// Scenario: contain, probation, contain again, free.
/// Guarantees: after each receipt the platform is as the receipt says, and `observe` sees the same.
pub async fn receipts_agree_with_the_platform(platform: &impl Platform) {
    let agent = platform.agent().await;
    let lever = platform.lever();
    let story = [
        Containment::Contained,
        Containment::Probation,
        Containment::Contained,
        Containment::Free,
    ];
    for (n, containment) in story.into_iter().enumerate() {
        asked(
            platform,
            &ask(&agent, &format!("step-{n}"), Order::Contain(containment)),
            Outcome::Done,
        )
        .await;
        let wanted = containment == Containment::Contained;
        assert_eq!(
            platform.is_contained(&agent).await,
            wanted,
            "after {containment:?}"
        );
        let observed = lever
            .observe(&agent)
            .await
            .expect("a platform that has the agent tells of it");
        assert_eq!(observed.contained, wanted, "after {containment:?}: {observed:?}");
    }
}

/// Scenario: the platform did not manage.
/// Guarantees: the answer is failed and carries the platform's words; nothing happened.
pub async fn a_refusal_is_told(platform: &impl Platform) {
    let agent = platform.agent().await;
    platform.behave(Manner::Refuses("the operator is asleep")).await;
    let answer = asked(platform, &ask(&agent, "no", HEAL), Outcome::Failed).await;
    assert!(
        answer.detail.contains("the operator is asleep"),
        "{}",
        answer.detail
    );
    assert_eq!(platform.effects(&agent).await, 0);
}

/// Scenario: the platform has no such ability.
/// Guarantees: the answer is unsupported, which ends the asking; nothing happened.
pub async fn what_cannot_be_done_is_told(platform: &impl Platform) {
    let agent = platform.agent().await;
    platform.behave(Manner::CannotDo).await;
    asked(platform, &ask(&agent, "never", HEAL), Outcome::Unsupported).await;
    assert_eq!(platform.effects(&agent).await, 0);
}

/// Scenario: an agent that the platform has never heard of.
/// Guarantees: neither a containment nor a healing is claimed, and nothing is observed.
pub async fn an_unknown_agent_is_told(platform: &impl Platform) {
    let mut agent = platform.agent().await;
    agent.agent = "nobody/of this name?".into();
    asked(platform, &ask(&agent, "heal", HEAL), Outcome::Failed).await;
    asked(
        platform,
        &ask(&agent, "contain", Order::Contain(Containment::Contained)),
        Outcome::Failed,
    )
    .await;
    assert_eq!(platform.lever().observe(&agent).await, None);
}

/// Scenario: the platform takes the order and says nothing; later it is well, and the order is repeated.
/// Guarantees: unknown within the deadline, and the repetition ends well with one effect.
pub async fn silence_is_unknown_within_the_deadline(platform: &impl Platform) {
    let agent = platform.agent().await;
    platform.behave(Manner::Hangs).await;
    let order = ask(&agent, "silence", HEAL);
    asked(platform, &order, Outcome::Unknown).await;
    platform.behave(Manner::Well).await;
    asked(platform, &order, Outcome::Done).await;
    assert_eq!(platform.effects(&agent).await, 1);
}

/// Scenario: the platform says that the agent is contained, and it runs.
/// Guarantees: the lie is not passed on as a receipt.
pub async fn a_lie_is_not_believed(platform: &impl Platform) {
    let agent = platform.agent().await;
    platform.behave(Manner::LiesAboutActions).await;
    asked(
        platform,
        &ask(&agent, "lie", Order::Contain(Containment::Contained)),
        Outcome::Failed,
    )
    .await;
    assert!(!platform.is_contained(&agent).await);
}

#[cfg(test)]
mod tests {
    /// Guarantees: every property of this file is run by the macro.
    #[test]
    fn no_property_is_forgotten() {
        let text = include_str!("conformance.rs");
        let properties = text.matches("\npub async fn ").count();
        let named = text
            .split("[\n")
            .nth(1)
            .and_then(|rest| rest.split("]);").next())
            .unwrap()
            .lines()
            .count()
            - 1;
        assert_eq!(properties, named);
    }
}
