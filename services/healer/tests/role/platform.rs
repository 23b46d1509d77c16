//! The customer's platform: a lever with effects that can be counted.

use immune_domain::AgentKey;
use immune_domain::healing::Action;
use immune_levers::{Answer, Ask, Lever, Observed, Order, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

/// A platform on which one action cures, and others do what the test says.
#[derive(Default)]
pub struct Platform {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    cures: BTreeSet<Action>,
    answers: BTreeMap<Action, Outcome>,
    asked: Vec<(String, Action)>,
    /// Effects by idempotency key: a repeated ask has none.
    effects: BTreeMap<String, (AgentKey, Action)>,
    cured: BTreeSet<AgentKey>,
    delay: Duration,
    hangs: bool,
}

impl Platform {
    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap())
    }

    pub fn cured_by(&self, action: Action) {
        self.with(|inner| inner.cures = BTreeSet::from([action]));
    }

    pub fn answers(&self, action: Action, outcome: Outcome) {
        self.with(|inner| inner.answers.insert(action, outcome));
    }

    pub fn delays(&self, delay: Duration) {
        self.with(|inner| inner.delay = delay);
    }

    pub fn hangs(&self, hangs: bool) {
        self.with(|inner| inner.hangs = hangs);
    }

    pub fn falls_ill(&self, key: &AgentKey) {
        self.with(|inner| inner.cured.remove(key));
    }

    pub fn is_cured(&self, key: &AgentKey) -> bool {
        self.with(|inner| inner.cured.contains(key))
    }

    /// Asks in order, repetitions included.
    pub fn asked(&self) -> Vec<Action> {
        self.with(|inner| inner.asked.iter().map(|(_, action)| *action).collect())
    }

    pub fn keys(&self) -> Vec<String> {
        self.with(|inner| inner.asked.iter().map(|(key, _)| key.clone()).collect())
    }

    /// Effects on an agent, by action.
    pub fn effects(&self, key: &AgentKey) -> Vec<Action> {
        self.with(|inner| {
            let mut effects: Vec<Action> = inner
                .effects
                .values()
                .filter(|(on, _)| on == key)
                .map(|(_, action)| *action)
                .collect();
            effects.sort();
            effects
        })
    }
}

#[tonic::async_trait]
impl Lever for Platform {
    fn name(&self) -> &str {
        "lifecycle"
    }

    async fn ask(&self, ask: &Ask) -> Answer {
        let Order::Heal(action) = ask.order else {
            panic!("the healer contains nobody: {ask:?}")
        };
        let (delay, hangs) = self.with(|inner| {
            inner.asked.push((ask.idempotency_key.clone(), action));
            (inner.delay, inner.hangs)
        });
        // Half of the delay before the effect and half after it, so that a crash may fall on either side.
        tokio::time::sleep(delay / 2).await;
        let outcome = self.with(|inner| {
            let outcome = inner.answers.get(&action).copied().unwrap_or(Outcome::Done);
            if outcome == Outcome::Done {
                inner
                    .effects
                    .insert(ask.idempotency_key.clone(), (ask.key.clone(), action));
                if inner.cures.contains(&action) {
                    inner.cured.insert(ask.key.clone());
                }
            }
            outcome
        });
        tokio::time::sleep(delay / 2).await;
        if hangs {
            std::future::pending::<()>().await;
        }
        Answer {
            outcome,
            detail: format!("platform: {action}"),
            evidence: serde_json::Value::Null,
        }
    }

    async fn observe(&self, _: &AgentKey) -> Option<Observed> {
        None
    }
}
