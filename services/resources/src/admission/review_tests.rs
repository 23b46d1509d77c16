use super::*;
use crate::cases::{Marked, Seal};

const OWN: &str = "system:serviceaccount:immune:quarantine";

fn object(annotations: &Value) -> Value {
    json!({
        "apiVersion": "immune.io/v1alpha1", "kind": "AgentCase",
        "metadata": { "name": "c1", "namespace": "agents", "uid": "u1", "annotations": annotations },
        "spec": { "run": "default", "agent": "a", "caseId": "c1" },
    })
}

fn request(user: &str, operation: &str, old: Value, new: Value) -> AdmissionRequest<DynamicObject> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "r1", "operation": operation, "name": "c1", "namespace": "agents",
            "kind": { "group": "immune.io", "version": "v1alpha1", "kind": "AgentCase" },
            "resource": { "group": "immune.io", "version": "v1alpha1", "resource": "agentcases" },
            "userInfo": { "username": user, "groups": ["sre"] },
            "object": new, "oldObject": old,
        },
    });
    let review: kube::core::admission::AdmissionReview<DynamicObject> =
        serde_json::from_value(review).expect("a review");
    review.try_into().expect("a request")
}

fn updated(user: &str, before: Value, after: Value) -> Finding {
    look(&request(user, "UPDATE", object(&before), object(&after)), OWN)
}

#[track_caller]
fn denied(finding: Finding, words: &str) {
    match finding {
        Finding::Deny(why) => assert!(why.contains(words), "{why}"),
        Finding::Allow | Finding::Decides => panic!("{finding:?}, not denied for {words:?}"),
    }
}

/// Scenario: everything that somebody with the right to change the object might write, but a decision.
/// Guarantees: what is ours cannot be written; what is harmless can.
#[test]
fn others_write_nothing_of_ours() {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut new = object(&json!({}));
        change(&mut new);
        look(&request("ada", "UPDATE", object(&json!({})), new), OWN)
    };
    denied(
        changed(&|new| new["spec"]["agent"] = json!("b")),
        "spec is written",
    );
    denied(
        changed(&|new| new["metadata"]["finalizers"] = json!(["x/y"])),
        "finalizers",
    );
    let owner = json!([{ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p" }]);
    denied(
        changed(&|new| new["metadata"]["ownerReferences"] = owner.clone()),
        "owners",
    );
    denied(
        changed(&|new| new["metadata"]["labels"] = json!({ "immune.io/x": "y" })),
        "labels that begin",
    );
    for stamp in [DECIDED_BY, DECIDED_AT, SEAL, "immune.io/other"] {
        denied(updated("ada", json!({}), json!({ stamp: "x" })), "you may write");
        denied(
            updated("ada", json!({}), json!({ stamp: "x", DECISION: "approve" })),
            "you may write",
        );
        denied(updated("ada", json!({ stamp: "x" }), json!({})), "you may write");
    }
    assert_eq!(
        changed(&|new| new["metadata"]["labels"] = json!({ "team": "a" })),
        Finding::Allow
    );
    assert_eq!(
        updated("ada", json!({}), json!({ "note": "looking" })),
        Finding::Allow
    );
    assert_eq!(
        updated("ada", json!({}), json!({ REASON: "looking" })),
        Finding::Allow
    );
    let create = request("ada", "CREATE", Value::Null, object(&json!({})));
    denied(look(&create, OWN), "created by the immune system alone");
    // Nobody is our account by having no name.
    denied(
        look(&request("", "CREATE", Value::Null, object(&json!({}))), ""),
        "alone",
    );
}

/// Scenario: decisions, good and bad.
/// Guarantees: each good one is told apart from what needs no right to decide; each bad one is refused with what would
/// do.
#[test]
fn decisions_are_checked() {
    for (word, reason) in [
        ("approve", ""),
        ("heal-now", ""),
        ("reject", "no"),
        ("release", "known"),
    ] {
        let finding = updated("ada", json!({}), json!({ DECISION: word, REASON: reason }));
        assert_eq!(finding, Finding::Decides, "{word}");
    }
    denied(
        updated("ada", json!({}), json!({ DECISION: "yes" })),
        "approve, reject, heal-now or release",
    );
    for word in ["release", "reject"] {
        denied(
            updated("ada", json!({}), json!({ DECISION: word, REASON: " " })),
            "takes a reason",
        );
        denied(
            updated("ada", json!({}), json!({ DECISION: word })),
            "takes a reason",
        );
    }
    let long = "x".repeat(REASON_MAX + 1);
    denied(
        updated(
            "ada",
            json!({}),
            json!({ DECISION: "approve", REASON: long.clone() }),
        ),
        "has 2001 characters, the most is 2000",
    );
    // Nor is it left there to be decided with later.
    denied(updated("ada", json!({}), json!({ REASON: long })), "the most is");
}

/// Scenario: a case is deleted in the foreground, so that the garbage collector takes a finalizer away.
/// Guarantees: it may, or the object would never go.
#[test]
fn what_was_added_by_the_cluster_may_go() {
    let mut held = object(&json!({}));
    held["metadata"]["finalizers"] = json!(["foregroundDeletion", "x/y"]);
    let mut less = held.clone();
    less["metadata"]["finalizers"] = json!(["x/y"]);
    let collector = "system:serviceaccount:kube-system:generic-garbage-collector";
    assert_eq!(
        look(&request(collector, "UPDATE", held.clone(), less.clone()), OWN),
        Finding::Allow
    );
    denied(look(&request("ada", "UPDATE", less, held), OWN), "finalizers");
}

/// Scenario: a change without the object that it changes, or without what it makes of it; a removal.
/// Guarantees: nothing goes through unseen; who may delete, deletes.
#[test]
fn what_is_not_shown_is_not_allowed() {
    let decided = object(&json!({ DECISION: "approve" }));
    for (operation, old, new) in [
        ("UPDATE", Value::Null, decided.clone()),
        ("UPDATE", decided.clone(), Value::Null),
        ("CREATE", Value::Null, Value::Null),
    ] {
        denied(look(&request(OWN, operation, old, new), OWN), "does not show");
    }
    let deleted = request("ada", "DELETE", decided, Value::Null);
    assert_eq!(look(&deleted, OWN), Finding::Allow);
}

/// Scenario: a decision is under way; others decide otherwise, take it away, or touch something else.
/// Guarantees: it stands, and they are told whose it is. An unsealed word that stands there can be replaced.
#[test]
fn who_decided_first_stands() {
    let standing = json!({ DECISION: "approve", REASON: "", DECIDED_BY: "ada", DECIDED_AT: "t", SEAL: "s" });
    let mut other = standing.clone();
    other[DECISION] = json!("heal-now");
    denied(
        updated("bob", standing.clone(), other),
        "ada has decided (approve)",
    );
    let mut gone = standing.clone();
    gone.as_object_mut().expect("an object").remove(DECISION);
    denied(updated("bob", standing.clone(), gone), "ada has decided");
    let mut noted = standing.clone();
    noted["note"] = json!("me too");
    assert_eq!(updated("bob", standing, noted), Finding::Allow);
    let unsealed = json!({ DECISION: "approve" });
    assert_eq!(
        updated("bob", unsealed.clone(), json!({ DECISION: "heal-now" })),
        Finding::Decides
    );
    assert_eq!(updated("bob", unsealed, json!({})), Finding::Allow);
}

/// Guarantees: our own account writes what it likes but decisions; what it takes away, it may.
#[test]
fn our_account_decides_nothing() {
    let sealed = json!({ DECISION: "approve", DECIDED_BY: "ada", DECIDED_AT: "t", SEAL: "s" });
    assert_eq!(updated(OWN, sealed.clone(), json!({})), Finding::Allow);
    denied(
        updated(OWN, json!({}), sealed.clone()),
        "does not decide for people",
    );
    let create = |annotations: &Value| look(&request(OWN, "CREATE", Value::Null, object(annotations)), OWN);
    assert_eq!(create(&json!({})), Finding::Allow);
    denied(create(&sealed), "not created with a decision");
}

/// Scenario: a decision in an object that was replaced as a whole, without its uid.
/// Guarantees: the stamp is what the mirror opens, with the user whom the API server named.
#[test]
fn a_stamp_is_opened() {
    let key = Key::new(&[b'k'; 32]).expect("long enough");
    let mut decided = object(&json!({ DECISION: "reject", REASON: "not now" }));
    let typed =
        |object: &Value| -> DynamicObject { serde_json::from_value(object.clone()).expect("an object") };
    let stored = typed(&object(&json!({})));
    decided["metadata"]
        .as_object_mut()
        .expect("metadata")
        .remove("uid");
    let steps = stamp(&key, &stored, &typed(&decided), "ada", "2026-01-01T00:00:00Z");
    json_patch::patch(&mut decided, &steps).expect("it applies");
    let annotations = serde_json::from_value(decided["metadata"]["annotations"].clone()).expect("texts");
    let marked = Marked {
        uid: "u1",
        name: "c1",
        namespace: "agents",
        case: "c1",
        annotations: &annotations,
    };
    let sealed = key.open(&marked).expect("it holds");
    assert_eq!((sealed.by.as_str(), sealed.reason.as_str()), ("ada", "not now"));
}
