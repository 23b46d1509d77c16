//! What we write on objects of the cluster, and what people write there for us.

use immune_domain::AgentKey;
use sha2::{Digest, Sha256};

/// Who owns the fields that we write.
pub const FIELD_MANAGER: &str = "immune";

/// Label of a workload: the id of the agent that it runs. It may stand in the annotation of the same name instead, and
/// must where it is no label value, beside the label [`MANAGED`].
pub const AGENT_ID: &str = "immune.io/agent-id";
/// Label of a workload: the run of its agent; without it, the run `default`.
pub const RUN: &str = "immune.io/run";
/// Label `"true"` of a workload or its namespace: the agents in it may be contained and healed though no label names
/// them, on the word of their telemetry.
pub const MANAGED: &str = "immune.io/managed";

/// Label `"true"` of a contained workload, its pods and what contains them.
pub const QUARANTINED: &str = "immune.io/quarantined";
/// Annotation of a contained workload: the case.
pub const CASE: &str = "immune.io/case";
/// Label of what contains an agent: [`mark`] of the agent.
pub const AGENT_MARK: &str = "immune.io/agent-mark";
/// Annotation of what contains an agent: its run and id.
pub const AGENT: &str = "immune.io/agent";
/// Annotation of a workload that was scaled to zero or suspended: what to go back to.
pub const BEFORE: &str = "immune.io/before-quarantine";
/// Annotation: marks of the orders that were carried out on the object, the latest last.
pub const ORDERS: &str = "immune.io/orders";
/// Annotation of a pod template: the mark of the order that replaced the pods.
pub const RESTARTED_BY: &str = "immune.io/restarted-by";
/// Annotation `"off"` of a workload: it may be contained, and nothing of it may be changed or restarted to heal it.
pub const HEALING: &str = "immune.io/healing";
/// Annotation of a workload: which value is the prompt, `configmap/NAME/KEY`.
pub const PROMPT: &str = "immune.io/prompt";
/// Annotation of a workload: which value is the prompt to go back to, `configmap/NAME/KEY`.
pub const PROMPT_PREVIOUS: &str = "immune.io/prompt-previous";
/// Annotation of a workload: which value holds how much the agent may do by itself, and what it is when reduced:
/// `configmap/NAME/KEY=VALUE` or `env/CONTAINER/VARIABLE=VALUE`.
pub const REDUCED_AUTONOMY: &str = "immune.io/reduced-autonomy";
/// Annotation of an object with a value that was changed: the value before.
pub const VALUE_BEFORE: &str = "immune.io/value-before";
/// Label of a clone's pods, by which a Service finds them.
pub const CLONE: &str = "immune.io/clone";
/// Annotation of a workload whose clone has taken over: the clone's name.
pub const REPLACED_BY: &str = "immune.io/replaced-by";

/// Orders that an object remembers; who repeats an older one is not believed to be alive.
const ORDERS_MAX: usize = 16;

/// A short name for something that may be any text: 12 hex digits of its SHA-256.
pub fn short(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..6])
}

/// The mark of an agent on what contains it.
pub fn mark(key: &AgentKey) -> String {
    short(&key.to_string())
}

/// Whether a text can be the value of a label (RFC 1123, at most 63 characters).
pub fn is_label_value(text: &str) -> bool {
    let is_end = |byte: &u8| byte.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(is_end)
        && bytes.last().is_some_and(is_end)
        && bytes
            .iter()
            .all(|byte| is_end(byte) || matches!(byte, b'-' | b'_' | b'.'))
}

/// Whether an order is among those that an object remembers.
pub fn remembers(orders: Option<&str>, order: &str) -> bool {
    orders.is_some_and(|orders| orders.split(',').any(|known| known == order))
}

/// What an object remembers once this order is carried out too.
pub fn remember(orders: Option<&str>, order: &str) -> String {
    let known: Vec<&str> = orders.into_iter().flat_map(|orders| orders.split(',')).collect();
    let from = (known.len() + 1).saturating_sub(ORDERS_MAX);
    let mut kept: Vec<&str> = known[from..].to_vec();
    kept.push(order);
    kept.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: what Kubernetes would refuse as a label is not used as one.
    #[test]
    fn label_values_are_told_apart() {
        for good in ["a", "research-agent.v2_x", &"a".repeat(63)] {
            assert!(is_label_value(good), "{good}");
        }
        for bad in ["", "-a", "a-", "shop/research", "a b", "ä", &"a".repeat(64)] {
            assert!(!is_label_value(bad), "{bad}");
        }
    }

    /// Guarantees: an order is remembered until sixteen others have come after it.
    #[test]
    fn orders_are_remembered_for_a_while() {
        let mut orders: Option<String> = None;
        for n in 0..17 {
            orders = Some(remember(orders.as_deref(), &format!("o{n}")));
        }
        assert!(!remembers(orders.as_deref(), "o0"));
        assert!(remembers(orders.as_deref(), "o1") && remembers(orders.as_deref(), "o16"));
        assert!(!remembers(None, "o1"));
    }
}
