//! agent-sandbox's Sandbox: one pod of the Sandbox's own name, and none while it is suspended.

use super::{hash, pods, set_status, staying};
use crate::cluster::{Cluster, Key};
use serde_json::json;

/// The label by which a Sandbox knows its pod.
const NAME: &str = "agents.x-k8s.io/sandbox-name-hash";

pub(super) fn act(cluster: &mut Cluster) {
    for (key, sandbox) in staying(cluster, "agents.x-k8s.io", "sandboxes") {
        let pod = Key::new("", "pods", &key.namespace, &key.name);
        let label = hash(&json!(key.name), 0);
        if sandbox["spec"]["operatingMode"] == "Suspended" {
            cluster.end(&pod, "Background");
        } else if sandbox["spec"]["podTemplate"].is_object() {
            pods::create(
                cluster,
                &sandbox,
                &key.name,
                &sandbox["spec"]["podTemplate"],
                &json!({ NAME: label }),
            );
        }
        let count = pods::counted(cluster, &sandbox);
        set_status(
            cluster,
            &key,
            json!({ "selector": format!("{NAME}={label}"), "replicas": count.pods }),
        );
    }
}
