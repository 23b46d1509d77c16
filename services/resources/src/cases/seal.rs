//! Decisions on an `AgentCase`: annotations, and the seal that says who wrote them.
//!
//! Whoever may change annotations can write anything into them. So a decision counts only under the seal of the
//! admission webhook, which alone knows from the API server who asks, and has asked it whether they may decide.

use immune_domain::Timestamp;
use immune_domain::case::Decision;
use std::collections::BTreeMap;

/// Annotation: `approve`, `reject`, `heal-now`, `release`.
pub const DECISION: &str = "immune.io/decision";
/// Annotation: why, in the person's words.
pub const REASON: &str = "immune.io/reason";
/// Annotation: who decided; written by the webhook.
pub const DECIDED_BY: &str = "immune.io/decided-by";
/// What all annotations of a decision but the reason begin with; the webhook may write more than are named here.
const PREFIXES: [&str; 2] = ["immune.io/decision", "immune.io/decided"];

/// An object whose annotations may hold a decision.
#[derive(Debug, Clone, Copy)]
pub struct Marked<'a> {
    /// Its uid: a seal is good for this object and no other.
    pub uid: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// The case that it shows.
    pub case: &'a str,
    /// Its annotations.
    pub annotations: &'a BTreeMap<String, String>,
}

/// A decision under a seal that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What was decided.
    pub decision: Decision,
    /// Why; may be empty.
    pub reason: String,
    /// The user whom the API server has verified.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A decision that nobody is known to have made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Forged(
    /// What is wrong with it.
    pub String,
);

/// Whoever can tell a sealed decision from a forged one.
pub trait Seal: Send + Sync {
    /// The decision that the annotations hold.
    ///
    /// # Errors
    /// When there is no seal, or not of this decision on this object by this user.
    fn open(&self, object: &Marked<'_>) -> Result<Sealed, Forged>;
}

/// Where there is no webhook, no decision is sealed.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSeal;

impl Seal for NoSeal {
    fn open(&self, _: &Marked<'_>) -> Result<Sealed, Forged> {
        Err(Forged(
            "decisions on AgentCases need the admission webhook, which is not set up".to_owned(),
        ))
    }
}

/// The annotations that make up a decision, as far as they are there.
pub(crate) fn asked(annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_part = |key: &str| key == REASON || PREFIXES.iter().any(|prefix| key.starts_with(prefix));
    let parts: BTreeMap<String, String> = annotations
        .iter()
        .filter(|(key, _)| is_part(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    // A reason alone asks for nothing: people may write it first.
    match parts.keys().any(|key| key != REASON) {
        true => parts,
        false => BTreeMap::new(),
    }
}

/// The word of a decision in annotations and on the command line.
pub const fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approve",
        Decision::Reject => "reject",
        Decision::HealNow => "heal-now",
        Decision::Release => "release",
    }
}

/// The decision that a word stands for.
pub fn decision_of(text: &str) -> Option<Decision> {
    let all = [
        Decision::Approve,
        Decision::Reject,
        Decision::HealNow,
        Decision::Release,
    ];
    all.into_iter().find(|decision| word(*decision) == text)
}
