//! Deployments: a ReplicaSet per template, and the right number of pods in the right one.

use super::{hash, owned, put, reference, set_status, staying};
use crate::cluster::{Cluster, Key, now};
use serde_json::{Value, json};

const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Annotations of a Deployment that its ReplicaSets do not get.
const NOT_COPIED: &[&str] = &[REVISION, "kubectl.kubernetes.io/last-applied-configuration"];

pub(super) fn act(cluster: &mut Cluster) {
    for (key, deployment) in staying(cluster, "apps", "deployments") {
        sync(cluster, &key, &deployment);
    }
}

fn sync(cluster: &mut Cluster, key: &Key, deployment: &Value) {
    let sets = owned(cluster, "apps", "replicasets", deployment);
    let replicas = &deployment["spec"]["replicas"];
    let wanted = plain(&deployment["spec"]["template"]);
    let found = sets
        .iter()
        .find(|(_, set)| plain(&set["spec"]["template"]) == wanted);
    let mut current = found.map(|(key, _)| key.clone());
    if deployment["spec"]["paused"] == true {
        // Only scaled: the newest one that has pods gets what is missing.
        let active = sets.iter().filter(|(_, set)| set["spec"]["replicas"] != 0);
        let newest = active.max_by_key(|(_, set)| revision(set));
        let newest = newest.or(sets.iter().max_by_key(|(_, set)| revision(set)));
        if let Some((newest, _)) = newest {
            scale(cluster, newest, replicas);
        }
    } else {
        if current.is_none() {
            current = create(cluster, key, deployment);
        }
        // The name is taken by another template; the next round tries another name.
        let Some(current) = &current else { return };
        number(cluster, key, current, deployment, &sets);
        for (other, _) in sets.iter().filter(|(key, _)| key != current) {
            scale(cluster, other, &json!(0));
        }
        scale(cluster, current, replicas);
        clean(cluster, current, deployment, &sets);
    }
    report(cluster, key, current.as_ref(), deployment);
}

/// Gives the ReplicaSet of the current template the highest revision, and the Deployment the same.
fn number(cluster: &mut Cluster, key: &Key, current: &Key, deployment: &Value, sets: &[(Key, Value)]) {
    let others = sets.iter().filter(|(key, _)| key != current);
    let newest = others.map(|(_, set)| revision(set)).max().unwrap_or(0);
    let mut set = cluster.objects[current].clone();
    let own = revision(&set);
    let number = json!(if own > newest { own } else { newest + 1 }.to_string());
    for (name, value) in deployment["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten()
    {
        if !NOT_COPIED.contains(&name.as_str()) {
            set["metadata"]["annotations"][name.as_str()] = value.clone();
        }
    }
    set["metadata"]["annotations"][REVISION] = number.clone();
    put(cluster, current, set);
    let mut latest = cluster.objects[key].clone();
    latest["metadata"]["annotations"][REVISION] = number;
    put(cluster, key, latest);
}

/// A ReplicaSet for the Deployment's template; `None` when its name is taken, which is counted.
fn create(cluster: &mut Cluster, key: &Key, deployment: &Value) -> Option<Key> {
    let collisions = deployment["status"]["collisionCount"].as_i64().unwrap_or(0);
    let hash = hash(&deployment["spec"]["template"], collisions);
    let name = format!("{}-{hash}", key.name);
    let new = Key::new("apps", "replicasets", &key.namespace, &name);
    if cluster.objects.contains_key(&new) {
        set_status(cluster, key, json!({ "collisionCount": collisions + 1 }));
        return None;
    }
    let mut spec = json!({
        "replicas": 0, "selector": deployment["spec"]["selector"], "template": deployment["spec"]["template"],
    });
    spec["selector"]["matchLabels"][HASH] = json!(hash);
    spec["template"]["metadata"]["labels"][HASH] = json!(hash);
    let labels = spec["template"]["metadata"]["labels"].clone();
    let uid = cluster.uid();
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "spec": spec,
        "metadata": {
            "name": name, "namespace": key.namespace, "uid": uid, "generation": 1, "creationTimestamp": now(),
            "labels": labels, "ownerReferences": [reference(deployment)],
        },
    });
    cluster.store(new.clone(), set);
    Some(new)
}

fn scale(cluster: &mut Cluster, key: &Key, replicas: &Value) {
    let mut set = cluster.objects[key].clone();
    if set["spec"]["replicas"] != *replicas {
        set["spec"]["replicas"] = replicas.clone();
        let generation = set["metadata"]["generation"].as_i64().unwrap_or(1);
        set["metadata"]["generation"] = json!(generation + 1);
        put(cluster, key, set);
    }
}

/// Deletes the oldest ReplicaSets beyond `revisionHistoryLimit` that have no pods.
fn clean(cluster: &mut Cluster, current: &Key, deployment: &Value, sets: &[(Key, Value)]) {
    let limit = deployment["spec"]["revisionHistoryLimit"].as_u64().unwrap_or(10) as usize;
    let mut old: Vec<&(Key, Value)> = sets.iter().filter(|(key, _)| key != current).collect();
    old.sort_by_key(|(_, set)| std::cmp::Reverse(revision(set)));
    for (key, set) in old.into_iter().skip(limit) {
        if set["spec"]["replicas"] == 0 && set["status"]["replicas"].is_null() {
            cluster.end(key, "Background");
        }
    }
}

/// The status, from the ReplicaSets as they are.
fn report(cluster: &mut Cluster, key: &Key, current: Option<&Key>, deployment: &Value) {
    let sets = owned(cluster, "apps", "replicasets", deployment);
    let sum = |field: &str| -> i64 {
        let counts = sets.iter().map(|(_, set)| set["status"][field].as_i64());
        counts.map(|count| count.unwrap_or(0)).sum()
    };
    let updated = current.map_or(0, |key| {
        cluster.objects[key]["status"]["replicas"].as_i64().unwrap_or(0)
    });
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let ready = sum("readyReplicas");
    let mut status = json!({
        "observedGeneration": deployment["metadata"]["generation"], "replicas": sum("replicas"),
        "updatedReplicas": updated, "readyReplicas": ready, "availableReplicas": ready,
        "unavailableReplicas": (wanted - ready).max(0),
    });
    let is_available = ready >= wanted;
    let mut conditions = json!([
        condition(
            "Available",
            is_available,
            "MinimumReplicasAvailable",
            "MinimumReplicasUnavailable"
        ),
        condition(
            "Progressing",
            true,
            if is_available && updated >= wanted {
                "NewReplicaSetAvailable"
            } else {
                "ReplicaSetUpdated"
            },
            "",
        ),
    ]);
    // A condition that says the same as before keeps its time.
    let before = &deployment["status"]["conditions"];
    for (new, old) in conditions
        .as_array_mut()
        .into_iter()
        .flatten()
        .zip(before.as_array().into_iter().flatten())
    {
        if new["status"] == old["status"] && new["reason"] == old["reason"] {
            *new = old.clone();
        }
    }
    status["conditions"] = conditions;
    set_status(cluster, key, status);
}

fn condition(kind: &str, is_so: bool, when_so: &str, when_not: &str) -> Value {
    json!({
        "type": kind, "status": if is_so { "True" } else { "False" },
        "reason": if is_so { when_so } else { when_not },
        "lastUpdateTime": now(), "lastTransitionTime": now(),
    })
}

fn revision(set: &Value) -> i64 {
    let text = set["metadata"]["annotations"][REVISION].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A template without the label that tells ReplicaSets apart.
fn plain(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH);
    }
    template
}
