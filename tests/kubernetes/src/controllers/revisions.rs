//! ControllerRevisions: the templates that a StatefulSet or DaemonSet has had.

use super::{hash, owned, put, reference};
use crate::cluster::{Cluster, Key, now};
use serde_json::{Value, json};

/// The revision of the template that a set has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Revision {
    pub(super) name: String,
    pub(super) hash: String,
}

/// Keeps the set's template as its newest revision; one that was there before gets a new number.
pub(super) fn current(cluster: &mut Cluster, key: &Key, set: &Value) -> Revision {
    let mut template = set["spec"]["template"].clone();
    template["$patch"] = json!("replace");
    let data = json!({ "spec": { "template": template } });
    let known = owned(cluster, "apps", "controllerrevisions", set);
    let number = |revision: &Value| revision["revision"].as_i64().unwrap_or(0);
    let newest = known
        .iter()
        .map(|(_, revision)| number(revision))
        .max()
        .unwrap_or(0);
    if let Some((at, revision)) = known.iter().find(|(_, revision)| revision["data"] == data) {
        if number(revision) < newest {
            let mut revision = revision.clone();
            revision["revision"] = json!(newest + 1);
            put(cluster, at, revision);
        }
        let hash = revision["metadata"]["labels"]["controller-revision-hash"].as_str();
        return Revision {
            name: at.name.clone(),
            hash: hash.unwrap_or_default().to_owned(),
        };
    }
    let hash = hash(&set["spec"]["template"], 0);
    let name = format!("{}-{hash}", key.name);
    let mut labels = set["spec"]["template"]["metadata"]["labels"].clone();
    labels["controller-revision-hash"] = json!(hash);
    let uid = cluster.uid();
    let revision = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision", "data": data, "revision": newest + 1,
        "metadata": {
            "name": name, "namespace": key.namespace, "uid": uid, "creationTimestamp": now(), "labels": labels,
            "ownerReferences": [reference(set)],
        },
    });
    cluster.store(
        Key::new("apps", "controllerrevisions", &key.namespace, &name),
        revision,
    );
    Revision { name, hash }
}
