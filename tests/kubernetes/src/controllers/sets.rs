//! ReplicaSets, StatefulSets and DaemonSets.

use super::revisions::{self, Revision};
use super::{owned, pods, set_status, staying};
use crate::cluster::{Cluster, Key};
use serde_json::{Value, json};

const HASH: &str = "controller-revision-hash";
/// The one node.
const NODE: &str = "node1";

pub(super) fn act(cluster: &mut Cluster) {
    for (key, set) in staying(cluster, "apps", "replicasets") {
        let count = pods::count(cluster, &set, replicas(&set), &key.name);
        let status = json!({
            "replicas": count.pods, "fullyLabeledReplicas": count.pods, "readyReplicas": count.ready,
            "availableReplicas": count.ready, "observedGeneration": set["metadata"]["generation"],
        });
        set_status(cluster, &key, status);
    }
    for (key, set) in staying(cluster, "apps", "statefulsets") {
        stateful(cluster, &key, &set);
    }
    for (key, set) in staying(cluster, "apps", "daemonsets") {
        daemon(cluster, &key, &set);
    }
}

fn replicas(set: &Value) -> usize {
    set["spec"]["replicas"].as_u64().unwrap_or(1) as usize
}

fn stateful(cluster: &mut Cluster, key: &Key, set: &Value) {
    let revision = revisions::current(cluster, key, set);
    let names: Vec<String> = (0..replicas(set)).map(|n| format!("{}-{n}", key.name)).collect();
    let label = |name: &str| {
        json!({
            HASH: revision.name, "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": name.rsplit('-').next(),
        })
    };
    let updated = named(cluster, set, &names, &revision.name, label);
    let count = pods::counted(cluster, set);
    let current = match updated == count.pods {
        true => json!(revision.name),
        false => set["status"]["currentRevision"].clone(),
    };
    let status = json!({
        "replicas": count.pods, "readyReplicas": count.ready, "availableReplicas": count.ready,
        "currentReplicas": updated, "updatedReplicas": updated, "currentRevision": current,
        "updateRevision": revision.name, "observedGeneration": set["metadata"]["generation"],
    });
    set_status(cluster, key, status);
}

fn daemon(cluster: &mut Cluster, key: &Key, set: &Value) {
    let Revision { hash, .. } = revisions::current(cluster, key, set);
    let names = [format!("{}-{NODE}", key.name)];
    let updated = named(cluster, set, &names, &hash, |_| json!({ HASH: hash }));
    let count = pods::counted(cluster, set);
    // These are told even when they are zero.
    let mut status = json!({
        "currentNumberScheduled": count.pods, "desiredNumberScheduled": names.len(), "numberMisscheduled": 0,
        "numberReady": count.ready,
    });
    for (field, value) in [
        ("numberAvailable", json!(count.ready)),
        ("updatedNumberScheduled", json!(updated)),
        ("observedGeneration", set["metadata"]["generation"].clone()),
    ] {
        if value != 0 {
            status[field] = value;
        }
    }
    let Some(mut object) = cluster.objects.get(key).cloned() else {
        return;
    };
    object["status"] = status;
    super::put(cluster, key, object);
}

/// Brings the pods of a set to these names, of this revision unless the set waits for their deletion; how many are of
/// it now.
fn named(
    cluster: &mut Cluster,
    set: &Value,
    names: &[String],
    revision: &str,
    labels: impl Fn(&str) -> Value,
) -> usize {
    let is_rolling = set["spec"]["updateStrategy"]["type"] != "OnDelete";
    for (key, pod) in owned(cluster, "", "pods", set) {
        let is_outdated = pod["metadata"]["labels"][HASH] != revision;
        if !names.contains(&key.name) || (is_rolling && is_outdated) {
            cluster.end(&key, "Background");
        }
    }
    for name in names {
        pods::create(cluster, set, name, &set["spec"]["template"], &labels(name));
    }
    let pods = owned(cluster, "", "pods", set);
    pods.iter()
        .filter(|(_, pod)| pod["metadata"]["labels"][HASH] == revision)
        .count()
}
