//! What may be changed of an `AgentCase`, by whom; and the stamp on a decision. Pure: whether somebody may decide was
//! asked before.

use super::seal::{Contents, DECIDED_AT, Key, SEAL, stamps};
use crate::cases::seal::{DECIDED_BY, DECISION, REASON, decision_of};
use immune_domain::case::Decision;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use kube::api::DynamicObject;
use kube::core::admission::{AdmissionRequest, Operation};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The longest reason, characters.
pub const REASON_MAX: usize = 2_000;
/// What begins with this is ours.
const OURS: &str = "immune.io/";

/// What is to be answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Finding {
    /// Nothing speaks against it.
    Allow,
    /// Not this; why, and what would be.
    Deny(String),
    /// A decision is made; it counts if the user may decide.
    Decides,
}

/// Looks at a request.
pub(super) fn look(request: &AdmissionRequest<DynamicObject>, own_account: &str) -> Finding {
    let user = request.user_info.username.as_deref().unwrap_or_default();
    let is_own = !user.is_empty() && user == own_account;
    match (&request.operation, &request.object, &request.old_object) {
        (Operation::Create, Some(new), _) => match (is_own, decision(new)) {
            (true, None) => Finding::Allow,
            (true, Some(_)) => Finding::Deny("a case is not created with a decision".to_owned()),
            (false, _) => Finding::Deny("AgentCases are created by the immune system alone".to_owned()),
        },
        (Operation::Update, Some(new), Some(old)) => update(old, new, is_own),
        (Operation::Create | Operation::Update, _, _) => {
            Finding::Deny("the API server does not show what is to change".to_owned())
        }
        // Nobody decides by taking a case away; the mirror shows it again.
        (Operation::Delete | Operation::Connect, _, _) => Finding::Allow,
    }
}

fn update(old: &DynamicObject, new: &DynamicObject, is_own: bool) -> Finding {
    let (before, after) = (annotations(old), annotations(new));
    if is_own {
        // The mirror takes decisions away; it never makes one.
        let makes_one = after
            .get(DECISION)
            .is_some_and(|now| before.get(DECISION) != Some(now));
        return match makes_one {
            true => Finding::Deny("the immune system does not decide for people".to_owned()),
            false => Finding::Allow,
        };
    }
    if old.data.get("spec") != new.data.get("spec") {
        return Finding::Deny("spec is written by the immune system alone; decide by annotation".to_owned());
    }
    let (was, is) = (&old.metadata, &new.metadata);
    // Taking them away is the garbage collector's part, where somebody deletes in the foreground.
    if is_added(&was.owner_references, &is.owner_references) || is_added(&was.finalizers, &is.finalizers) {
        return Finding::Deny("owners and finalizers of an AgentCase are not for others to set".to_owned());
    }
    let labels = |object: &DynamicObject| ours(object.metadata.labels.clone().unwrap_or_default());
    if labels(old) != labels(new) {
        return Finding::Deny(format!(
            "labels that begin with {OURS} are written by the immune system alone"
        ));
    }
    let others = |all: &BTreeMap<String, String>| {
        let mut all = ours(all.clone());
        all.remove(DECISION);
        all.remove(REASON);
        all
    };
    if others(&before) != others(&after) {
        return Finding::Deny(format!(
            "of the annotations that begin with {OURS} you may write {DECISION} and {REASON} alone"
        ));
    }
    let is_same = before.get(DECISION) == after.get(DECISION) && before.get(REASON) == after.get(REASON);
    if is_same {
        return Finding::Allow;
    }
    let reason = after.get(REASON).map_or("", String::as_str);
    let characters = reason.chars().count();
    if characters > REASON_MAX {
        return Finding::Deny(format!(
            "{REASON} has {characters} characters, the most is {REASON_MAX}"
        ));
    }
    if let (Some(decision), Some(_)) = (before.get(DECISION), before.get(SEAL)) {
        let by = before.get(DECIDED_BY).map_or("somebody", String::as_str);
        return Finding::Deny(format!(
            "{by} has decided ({decision}), which is being carried out; wait for status.decision"
        ));
    }
    match after.get(DECISION) {
        // A reason alone decides nothing, nor does taking an unsealed word away.
        None => Finding::Allow,
        Some(word) => checked(word, reason),
    }
}

fn is_added<T: PartialEq>(before: &Option<Vec<T>>, after: &Option<Vec<T>>) -> bool {
    let before = before.as_deref().unwrap_or_default();
    let after = after.as_deref().unwrap_or_default();
    after.iter().any(|one| !before.contains(one))
}

fn checked(word: &str, reason: &str) -> Finding {
    let Some(decision) = decision_of(word) else {
        return Finding::Deny(format!(
            "{DECISION} is {word:?}: it takes approve, reject, heal-now or release"
        ));
    };
    let needs_reason = match decision {
        Decision::Release | Decision::Reject => true,
        Decision::Approve | Decision::HealNow => false,
    };
    if needs_reason && reason.trim().is_empty() {
        return Finding::Deny(format!(
            "to {word} takes a reason: set {REASON} in the same change"
        ));
    }
    Finding::Decides
}

/// The steps that stamp a decision of this user. Which object and case it is, is taken from what is stored: who replaces
/// an object need not name its uid.
pub(super) fn stamp(key: &Key, old: &DynamicObject, new: &DynamicObject, by: &str, at: &str) -> Patch {
    let annotations = annotations(new);
    let part = |key: &str| annotations.get(key).map(String::as_str).unwrap_or_default();
    let contents = Contents {
        uid: old.metadata.uid.as_deref().unwrap_or_default(),
        case: old
            .data
            .pointer("/spec/caseId")
            .and_then(Value::as_str)
            .unwrap_or_default(),
        decision: part(DECISION),
        reason: part(REASON),
        by,
        at,
    };
    let steps = stamps(key, &contents).into_iter().map(|(name, value)| {
        PatchOperation::Add(AddOperation {
            path: PointerBuf::from_tokens(["metadata", "annotations", name]),
            value: json!(value),
        })
    });
    Patch(steps.collect())
}

fn decision(object: &DynamicObject) -> Option<String> {
    let annotations = annotations(object);
    [DECISION, SEAL, DECIDED_BY, DECIDED_AT]
        .iter()
        .find_map(|key| annotations.get(*key).cloned())
}

fn annotations(object: &DynamicObject) -> BTreeMap<String, String> {
    object.metadata.annotations.clone().unwrap_or_default()
}

fn ours(mut all: BTreeMap<String, String>) -> BTreeMap<String, String> {
    all.retain(|key, _| key.starts_with(OURS));
    all
}

#[cfg(test)]
#[path = "review_tests.rs"]
mod tests;
