//! One order to a platform, and one answer of it, the same for both forms.

use crate::verb::Verb;
use async_trait::async_trait;
use immune_domain::AgentKey;
use immune_levers::Ask;
use serde_json::{Map, Value};
use std::time::Duration;

/// What whoever asks calls the number of executions that a probation needs to see; the contract's word is
/// `executions`, and only a probation has it.
const PROBATION_EXECUTIONS: &str = "probation_executions";

/// An order as it goes to the platform.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) key: AgentKey,
    pub(crate) verb: Verb,
    pub(crate) case: String,
    pub(crate) idempotency_key: String,
    pub(crate) reason: String,
    pub(crate) parameters: Map<String, Value>,
}

impl Order {
    pub(crate) fn of(ask: &Ask) -> Self {
        let verb = Verb::of(ask.order);
        let mut parameters: Map<String, Value> = ask
            .parameters
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let wanted = parameters.remove(PROBATION_EXECUTIONS);
        match verb {
            Verb::Release { is_probation } => {
                parameters.insert("probation".to_owned(), Value::Bool(is_probation));
                if let Some(wanted) = wanted.filter(|_| is_probation) {
                    parameters.entry("executions").or_insert(wanted);
                }
            }
            Verb::Heal(_) | Verb::Quarantine => {}
        }
        Order {
            key: ask.key.clone(),
            verb,
            case: ask.case.as_str().to_owned(),
            idempotency_key: ask.idempotency_key.clone(),
            reason: ask.reason.clone(),
            parameters,
        }
    }
}

/// The platform's final word on an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Done,
    Failed,
    Unsupported,
}

/// What one answer to an order means.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// The platform's final word.
    Settled {
        word: Word,
        detail: String,
        evidence: Value,
    },
    /// Under way: ask for it there.
    Pending { place: String, wait: Option<Duration> },
    /// No answer, or one that may be better next time. The same key makes asking again safe.
    Again { why: String, wait: Option<Duration> },
    /// An answer that says nothing about the effect, and will not the next time.
    Unclear { why: String },
}

/// What one look at an agent shows.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    /// The platform's view.
    Agent {
        contained: bool,
        state: String,
        details: Value,
    },
    /// The platform does not offer a view of it, or does not know it.
    Nothing { why: String },
    /// No answer this time.
    Again { why: String, wait: Option<Duration> },
}

/// One form of the API: sends one request and says what its answer means.
#[async_trait]
pub(crate) trait Wire: Send + Sync {
    async fn act(&self, order: &Order, timeout: Duration) -> Reply;
    async fn operation(&self, key: &AgentKey, place: &str, timeout: Duration) -> Reply;
    async fn agent(&self, key: &AgentKey, timeout: Duration) -> Seen;
}

/// The most characters of a platform's words that are passed on.
const WORDS_MAX: usize = 500;

/// A platform's words, on one line and bounded; `otherwise` when it has none.
pub(crate) fn words(text: &str, otherwise: &str) -> String {
    let flat: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|s| !s.is_empty())
        .collect();
    let flat = flat.join(" ");
    if flat.is_empty() {
        return otherwise.to_owned();
    }
    match flat.char_indices().nth(WORDS_MAX) {
        Some((at, _)) => format!("{}...", &flat[..at]),
        None => flat,
    }
}
