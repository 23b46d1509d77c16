//! Pods from templates, and the kubelet that starts them.

use super::{all, controller_of, is_staying, owned, reference};
use crate::cluster::{Cluster, Key, now};
use crate::selector;
use serde_json::{Value, json};

/// Pods of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) pods: usize,
    pub(super) ready: usize,
}

/// Makes every pod that nobody has started run.
pub(super) fn start(cluster: &mut Cluster) {
    for (key, mut pod) in all(cluster, "", "pods") {
        if pod["status"]["phase"].is_null() {
            let at = cluster.given() % 65_000;
            pod["status"]["phase"] = json!("Running");
            pod["status"]["podIP"] = json!(format!("10.0.{}.{}", at / 250, at % 250 + 1));
            if pod["status"]["conditions"].is_null() {
                pod["status"]["conditions"] =
                    json!([{ "type": "Ready", "status": "True", "lastTransitionTime": now() }]);
            }
            cluster.store(key, pod);
        }
    }
}

/// A pod of `owner`, from a template; nothing, where there is one of that name.
pub(super) fn create(cluster: &mut Cluster, owner: &Value, name: &str, template: &Value, extra: &Value) {
    let namespace = owner["metadata"]["namespace"].as_str().unwrap_or_default();
    let key = Key::new("", "pods", namespace, name);
    if cluster.objects.contains_key(&key) {
        return;
    }
    let mut metadata = json!({
        "name": name, "namespace": namespace, "uid": cluster.uid(), "creationTimestamp": now(), "generation": 1,
        "ownerReferences": [reference(owner)],
    });
    for part in ["labels", "annotations"] {
        if template["metadata"][part].is_object() {
            metadata[part] = template["metadata"][part].clone();
        }
    }
    for (label, value) in extra.as_object().into_iter().flatten() {
        metadata["labels"][label.as_str()] = value.clone();
    }
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] });
    cluster.store(key, pod);
}

/// Brings the pods of a set to `wanted`: adopts those without a controller that match, releases its own that no
/// longer do, creates and deletes.
pub(super) fn count(cluster: &mut Cluster, owner: &Value, wanted: usize, prefix: &str) -> Count {
    let uid = &owner["metadata"]["uid"];
    let selects = |pod: &Value| selector::fits(&owner["spec"]["selector"], &pod["metadata"]["labels"]);
    for (key, mut pod) in all(cluster, "", "pods") {
        if owner["metadata"]["namespace"] != key.namespace || !is_staying(&pod) {
            continue;
        }
        if controller_of(&pod) == uid && !selects(&pod) {
            if let Some(owners) = pod["metadata"]["ownerReferences"].as_array_mut() {
                owners.retain(|owner| owner["uid"] != *uid);
            }
            cluster.store(key, pod);
        } else if controller_of(&pod).is_null() && selects(&pod) {
            pod["metadata"]["ownerReferences"] = json!([reference(owner)]);
            cluster.store(key, pod);
        }
    }
    let mut pods = owned(cluster, "", "pods", owner);
    pods.retain(|(_, pod)| is_staying(pod) && !is_done(pod));
    for (key, _) in pods.iter().skip(wanted) {
        cluster.end(key, "Background");
    }
    for _ in pods.len()..wanted {
        let name = format!("{prefix}-{}", cluster.suffix());
        create(cluster, owner, &name, &owner["spec"]["template"], &json!({}));
    }
    counted(cluster, owner)
}

/// The pods that a set has now.
pub(super) fn counted(cluster: &Cluster, owner: &Value) -> Count {
    let mut pods = owned(cluster, "", "pods", owner);
    pods.retain(|(_, pod)| is_staying(pod) && !is_done(pod));
    Count {
        pods: pods.len(),
        ready: pods.iter().filter(|(_, pod)| is_ready(pod)).count(),
    }
}

fn is_done(pod: &Value) -> bool {
    pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed"
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
