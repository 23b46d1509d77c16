//! Small controllers: what Kubernetes' own do to Deployments, ReplicaSets, StatefulSets and DaemonSets, and
//! agent-sandbox's to a Sandbox, as far as pods and their templates go. They act at once and see everything.
//!
//! Kept from the real ones: a Deployment makes a ReplicaSet per template, told apart by comparing templates without
//! the `pod-template-hash` label; a paused one is only scaled; revisions grow and move when an older template returns,
//! also as ControllerRevisions; pods carry the template's labels, are re-created when they go, and are released when
//! they no longer match; counts of zero are left out of a status.
//! Left out: surge and unavailability (a rollout happens at once), images and probes (every pod is ready unless a test
//! says otherwise in its status), nodes (there is one), volumes.

mod deployment;
mod pods;
mod revisions;
mod sandbox;
mod sets;

use crate::cluster::{Cluster, Key};
use serde_json::{Value, json};

/// Rounds after which controllers that do not come to rest are a mistake.
const ROUNDS_MAX: usize = 50;

/// Lets every controller act until none has anything left to do.
pub(crate) fn settle(cluster: &mut Cluster) {
    for _ in 0..ROUNDS_MAX {
        let before = cluster.revision;
        pods::start(cluster);
        deployment::act(cluster);
        sets::act(cluster);
        sandbox::act(cluster);
        if cluster.revision == before {
            return;
        }
    }
    panic!("controllers do not come to rest");
}

/// Every object of a kind, with its key.
fn all(cluster: &Cluster, group: &str, plural: &str) -> Vec<(Key, Value)> {
    cluster
        .objects
        .iter()
        .filter(|(key, _)| key.group == group && key.plural == plural)
        .map(|(key, object)| (key.clone(), object.clone()))
        .collect()
}

/// Every object of a kind that is not about to go.
fn staying(cluster: &Cluster, group: &str, plural: &str) -> Vec<(Key, Value)> {
    let mut found = all(cluster, group, plural);
    found.retain(|(_, object)| is_staying(object));
    found
}

fn is_staying(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_null()
}

/// Objects of a kind whose controller is `owner`.
fn owned(cluster: &Cluster, group: &str, plural: &str, owner: &Value) -> Vec<(Key, Value)> {
    let uid = &owner["metadata"]["uid"];
    let mut found = all(cluster, group, plural);
    found.retain(|(_, object)| controller_of(object) == uid);
    found
}

fn controller_of(object: &Value) -> &Value {
    object["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|owner| owner["controller"] == true)
        .map_or(&Value::Null, |owner| &owner["uid"])
}

fn reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    })
}

/// Writes only what differs.
fn put(cluster: &mut Cluster, key: &Key, object: Value) {
    if cluster.objects.get(key) != Some(&object) {
        cluster.store(key.clone(), object);
    }
}

/// Sets fields of the status of an object as it is now; zeros are left out, as the real controllers' are.
fn set_status(cluster: &mut Cluster, key: &Key, status: Value) {
    let Some(object) = cluster.objects.get(key) else {
        return;
    };
    let mut object = object.clone();
    if !object["status"].is_object() {
        object["status"] = json!({});
    }
    let fields = object["status"].as_object_mut().expect("it was just made one");
    for (field, value) in status.as_object().into_iter().flatten() {
        if *value == 0 {
            fields.remove(field);
        } else {
            fields.insert(field.clone(), value.clone());
        }
    }
    put(cluster, key, object);
}

/// A short word for a template, stable for equal ones.
fn hash(template: &Value, collisions: i64) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(format!("{template}{collisions}"));
    digest[..5].iter().map(|byte| format!("{byte:02x}")).collect()
}
