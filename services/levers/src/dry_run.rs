//! The dry run: says what would be asked and asks nobody.

use crate::{Answer, Ask, Lever, Observed, Order, Outcome};
use async_trait::async_trait;
use immune_domain::AgentKey;
use serde_json::json;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// The most asks that a dry run remembers; the oldest are forgotten first.
pub const RECORDED_MAX: usize = 1_024;

/// A lever without a platform behind it.
///
/// Its answer is always [`Outcome::Unsupported`], never `Done`: nothing happened, and a case that believed
/// otherwise would call an agent contained that runs on. `Unsupported` also says that asking again cannot help,
/// so a healing goes through its ladder once and then to a person.
#[derive(Debug)]
pub struct DryRun {
    name: String,
    recorded: Mutex<VecDeque<Ask>>,
}

impl DryRun {
    /// A dry run that stands in for the lever of that name.
    pub fn new(name: impl Into<String>) -> Self {
        DryRun {
            name: name.into(),
            recorded: Mutex::default(),
        }
    }

    /// What was asked so far, the last [`RECORDED_MAX`], oldest first. A repeated key is recorded once.
    pub fn recorded(&self) -> Vec<Ask> {
        self.recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    fn record(&self, ask: &Ask) {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded
            .iter()
            .any(|known| known.idempotency_key == ask.idempotency_key)
        {
            return;
        }
        if recorded.len() == RECORDED_MAX {
            recorded.pop_front();
        }
        recorded.push_back(ask.clone());
    }
}

#[async_trait]
impl Lever for DryRun {
    fn name(&self) -> &str {
        &self.name
    }

    async fn ask(&self, ask: &Ask) -> Answer {
        self.record(ask);
        let what = match ask.order {
            Order::Heal(action) => action.as_str(),
            Order::Contain(containment) => containment.as_str(),
        };
        Answer {
            outcome: Outcome::Unsupported,
            detail: format!(
                "dry run: {} would have been asked for {what} of {}, nothing was done",
                self.name, ask.key
            ),
            evidence: json!({ "dry_run": true, "order": what, "idempotency_key": ask.idempotency_key }),
        }
    }

    async fn observe(&self, _: &AgentKey) -> Option<Observed> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use immune_domain::case::Containment;
    use immune_domain::healing::Action;
    use std::collections::BTreeMap;

    fn ask(key: &str, order: Order) -> Ask {
        Ask {
            key: AgentKey::new("r", "a"),
            case: "case-1".into(),
            idempotency_key: key.to_owned(),
            order,
            reason: "why".to_owned(),
            parameters: BTreeMap::new(),
            workload: BTreeMap::new(),
        }
    }

    /// Scenario: every order there is.
    /// Guarantees: a dry run never claims that something was done, and does not pretend to see the agent.
    #[tokio::test]
    async fn never_claims_done() {
        let lever = DryRun::new("lifecycle");
        let orders = Action::ALL
            .map(Order::Heal)
            .into_iter()
            .chain([Containment::Contained, Containment::Probation, Containment::Free].map(Order::Contain));
        for (n, order) in orders.enumerate() {
            let answer = lever.ask(&ask(&format!("key-{n}"), order)).await;
            assert_eq!(answer.outcome, Outcome::Unsupported);
            assert!(answer.detail.starts_with("dry run: "), "{}", answer.detail);
        }
        assert_eq!(lever.recorded().len(), 9);
        assert_eq!(lever.observe(&AgentKey::new("r", "a")).await, None);
    }

    /// Scenario: more asks than it remembers, one of them repeated.
    /// Guarantees: the memory is bounded and a repetition is recorded once.
    #[tokio::test]
    async fn memory_is_bounded() {
        let lever = DryRun::new("lifecycle");
        for n in 0..RECORDED_MAX + 10 {
            let ask = ask(&format!("key-{n}"), Order::Heal(Action::ResetMemory));
            lever.ask(&ask).await;
            lever.ask(&ask).await;
        }
        let recorded = lever.recorded();
        assert_eq!(recorded.len(), RECORDED_MAX);
        assert_eq!(recorded[0].idempotency_key, "key-10");
    }
}
