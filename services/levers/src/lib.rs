//! Levers: the means to contain or heal an agent. The contract, the dry run, and the conformance suite.
//!
//! A lever acts on the customer's platform, so every ask carries an idempotency key: asking again with the same
//! key has no second effect, and a lever that already did it says so. A lever never claims more than it knows:
//! `Done` means that it saw the effect, not that it sent a request.
//!
//! To add a lever: implement [`Lever`] in a crate of its own, run [`conformance`] on it, name it in
//! `server/wiring.rs`.

pub mod conformance;
pub mod dry_run;

pub use dry_run::DryRun;

use async_trait::async_trait;
use immune_domain::case::Containment;
use immune_domain::healing::Action;
use immune_domain::{AgentKey, CaseId};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is asked of a lever.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// For whom.
    pub key: AgentKey,
    /// For which case.
    pub case: CaseId,
    /// Asking twice with the same key has one effect.
    pub idempotency_key: String,
    /// What to do.
    pub order: Order,
    /// Why, for the platform's own records.
    pub reason: String,
    /// Details for the platform: `severity`, `diagnosis_type`, `probation_executions`, ...
    pub parameters: BTreeMap<String, Value>,
    /// Where the agent runs, as its telemetry says: `k8s.*` attributes without the prefix. A hint and no proof, for an
    /// infected agent may have written it: it may narrow a search, never widen what a lever is allowed to touch.
    pub workload: BTreeMap<String, String>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Heal.
    Heal(Action),
    /// Contain, watch or free.
    Contain(Containment),
}

/// A lever's truthful answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// The lever's words.
    pub detail: String,
    /// The lever's receipt: what it saw; JSON.
    pub evidence: Value,
}

/// How an ask ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The effect was seen.
    Done,
    /// The platform said no or did not manage; asking again with a new key may help.
    Failed,
    /// The platform cannot do this for this agent; asking again cannot help.
    Unsupported,
    /// No answer in time, or the platform is away: the effect is unknown. Ask again with the same key.
    Unknown,
}

/// A means to contain or heal an agent.
#[async_trait]
pub trait Lever: Send + Sync {
    /// Name in policy and in receipts.
    fn name(&self) -> &str;

    /// Does what is asked, within the lever's own deadline, and tells the truth about it.
    async fn ask(&self, ask: &Ask) -> Answer;

    /// What the platform says of the agent now; `None` when it cannot tell.
    async fn observe(&self, key: &AgentKey) -> Option<Observed>;
}

/// A platform's word about an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Whether the agent is kept from executing.
    pub contained: bool,
    /// The platform's own word for the state.
    pub state: String,
}

/// The levers of a process, by name.
#[derive(Clone, Default)]
pub struct Levers {
    by_name: BTreeMap<String, Arc<dyn Lever>>,
}

impl Levers {
    /// Adds a lever under its own name; a later one of the same name replaces the earlier.
    pub fn with(mut self, lever: Arc<dyn Lever>) -> Self {
        self.by_name.insert(lever.name().to_owned(), lever);
        self
    }

    /// The lever of that name.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Lever>> {
        self.by_name.get(name).cloned()
    }

    /// Names of all levers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}
