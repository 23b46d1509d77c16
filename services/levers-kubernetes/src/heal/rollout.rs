//! Waiting until every pod of a workload is of its newest template.

use crate::Kubernetes;
use crate::error::{Result, Trouble};
use crate::find::Workload;
use crate::kinds::Kind;
use kube::api::DynamicObject;

impl Kubernetes {
    /// Waits until the controller has replaced every pod.
    pub(super) async fn until_rolled_out(&self, workload: &Workload) -> Result<()> {
        self.until(|| async {
            let place = workload.place();
            let Some(object) = self.server.get(&workload.kind.resource(), &place).await? else {
                return Err(Trouble::Failed(format!("{workload} was deleted meanwhile")));
            };
            Ok(missing(workload.kind, &object).map(|what| format!("{workload}: {what}")))
        })
        .await
    }
}

/// What is missing until every pod is new; nothing, when they are. New pods need not be ready: an agent that is cut
/// off may not be able to.
fn missing(kind: Kind, object: &DynamicObject) -> Option<String> {
    let number = |path: &str| object.data.pointer(path).and_then(serde_json::Value::as_i64);
    let generation = object.metadata.generation.unwrap_or(0);
    if number("/status/observedGeneration").unwrap_or(0) < generation && kind != Kind::Sandbox {
        return Some("its controller has not seen the change yet".to_owned());
    }
    let (wanted, new, all) = match kind {
        Kind::Deployment | Kind::StatefulSet => (
            number("/spec/replicas").unwrap_or(1),
            number("/status/updatedReplicas").unwrap_or(0),
            number("/status/replicas").unwrap_or(0),
        ),
        Kind::DaemonSet => {
            let wanted = number("/status/desiredNumberScheduled").unwrap_or(0);
            let new = number("/status/updatedNumberScheduled").unwrap_or(0);
            (wanted, new, number("/status/currentNumberScheduled").unwrap_or(0))
        }
        // Its controller makes a new pod for a new template, and tells no numbers.
        Kind::Sandbox => return None,
    };
    (new < wanted || all > new).then(|| format!("{new} of {wanted} pods are new, {all} run"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn object(generation: i64, spec: Value, status: Value) -> DynamicObject {
        let mut object = DynamicObject::new("a", &Kind::Deployment.resource());
        object.metadata.generation = Some(generation);
        object.data = json!({ "spec": spec, "status": status });
        object
    }

    /// Guarantees: a rollout has ended when the controller saw the change, enough pods are new and no old one is left;
    /// readiness is not asked.
    #[test]
    fn a_rollout_ends_with_the_last_old_pod() {
        let of = |observed: i64, wanted: i64, new: i64, all: i64| {
            let status = json!({ "observedGeneration": observed, "updatedReplicas": new, "replicas": all });
            missing(
                Kind::Deployment,
                &object(2, json!({ "replicas": wanted }), status),
            )
        };
        assert!(of(1, 1, 1, 1).is_some_and(|what| what.contains("not seen")));
        assert_eq!(of(2, 3, 1, 4).as_deref(), Some("1 of 3 pods are new, 4 run"));
        assert!(of(2, 3, 3, 4).is_some());
        assert_eq!(of(2, 3, 3, 3), None);
        assert_eq!(of(2, 0, 0, 0), None);
    }
}
