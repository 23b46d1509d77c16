//! clone_agent: a fresh copy of the workload takes over.
//!
//! The copy has an identity of its own in the cluster (name, pods, uid) and runs the same agent: its telemetry proves
//! the healing. It starts inside the quarantine of the original, whose policy chooses its pods as well, and is let go
//! with it. The original stays, without pods, for people to look at; when it is deleted, the copy goes with it.

use super::{done_with, was_done};
use crate::Kubernetes;
use crate::api::{Place, annotation, label};
use crate::error::{Result, Trouble};
use crate::find::Workload;
use crate::kinds::{self, Kind};
use crate::names::{
    AGENT, AGENT_ID, BEFORE, CASE, CLONE, MANAGED, ORDERS, QUARANTINED, REPLACED_BY, RESTARTED_BY, RUN,
    is_label_value,
};
use immune_domain::RunId;
use immune_levers::Ask;
use serde_json::{Map, Value, json};

/// The longest part of the original's name in the copy's; pods add to it, and labels end at 63 characters.
const NAME_MAX: usize = 40;

impl Kubernetes {
    pub(super) async fn clone_agent(&self, workload: &Workload, ask: &Ask, order: &str) -> Result<String> {
        if workload.kind != Kind::Deployment {
            return Err(Trouble::Unsupported(format!(
                "{workload} cannot be cloned; only Deployments can"
            )));
        }
        if let Some((kind, name)) = workload.controller() {
            return Err(Trouble::Unsupported(format!(
                "{workload} is written by {kind} {name}; clone that"
            )));
        }
        // Asked again, the agent's workload is the copy already.
        if label(&workload.object, CLONE) == Some(order) {
            self.start(workload).await?;
            return Ok(format!("{workload} has taken over"));
        }
        let original = workload.place();
        let place = Place {
            namespace: original.namespace.clone(),
            name: clone_name(&original.name, order),
        };
        let resource = workload.kind.resource();
        self.server
            .create(&resource, &place, copy(workload, &place, ask, order))
            .await?;
        let object = self.server.get(&resource, &place).await?;
        let gone = || Trouble::Failed(format!("the copy {place} was accepted and is not there"));
        let mut clone = Workload {
            kind: workload.kind,
            object: object.ok_or_else(gone)?,
        };
        if label(&workload.object, QUARANTINED) == Some("true") {
            clone.object = self.mark(&clone, Some(ask)).await?;
        }
        self.take_over(workload, order).await?;
        self.retire(workload, &place.name, order).await?;
        self.start(&clone).await?;
        Ok(format!("{clone} has taken over from {workload}"))
    }

    /// Lets the copy have its pods, unless it is contained by having none: then it gets them when it is released.
    async fn start(&self, clone: &Workload) -> Result<()> {
        if label(&clone.object, QUARANTINED) != Some("true") || !self.config.scale_to_zero {
            self.scale_up(clone).await?;
        }
        self.until_rolled_out(clone).await
    }

    /// Every Service that finds the original's pods finds the copy's alone.
    async fn take_over(&self, workload: &Workload, order: &str) -> Result<()> {
        let pods = workload.pod_labels();
        let namespace = workload.place().namespace;
        for service in self.server.list(&kinds::services(), Some(&namespace), "").await? {
            let selector = service.data["spec"]["selector"]
                .as_object()
                .cloned()
                .unwrap_or_default();
            let chooses =
                |(key, value): (&String, &Value)| pods.get(key).map(String::as_str) == value.as_str();
            // The clone of a clone is another one's.
            let is_ours =
                !selector.is_empty() && selector.iter().filter(|(key, _)| *key != CLONE).all(chooses);
            if !is_ours || selector.get(CLONE).is_some_and(|clone| *clone == order) {
                continue;
            }
            let patch = json!({ "spec": { "selector": { CLONE: order } } });
            self.server.merge(&kinds::services(), &service, patch).await?;
        }
        Ok(())
    }

    /// The original has no pods any more, and says who has taken over.
    async fn retire(&self, workload: &Workload, clone: &str, order: &str) -> Result<()> {
        self.retried(workload, |workload| async move {
            if was_done(&workload.object, order) {
                return Ok(());
            }
            let patch = json!({
                "metadata": { "annotations": {
                    REPLACED_BY: clone, BEFORE: null, ORDERS: done_with(&workload.object, order),
                } },
                "spec": { "replicas": 0 },
            });
            self.server
                .merge(&workload.kind.resource(), &workload.object, patch)
                .await
                .map(|_| ())
        })
        .await
    }
}

fn clone_name(original: &str, order: &str) -> String {
    let stem: String = original.chars().take(NAME_MAX).collect();
    format!("{}-{order}", stem.trim_end_matches(['-', '.']))
}

/// The copy: the original's template and settings, without its history.
fn copy(workload: &Workload, place: &Place, ask: &Ask, order: &str) -> Value {
    let object = &workload.object;
    let mut labels: Map<String, Value> = strings(object.metadata.labels.as_ref());
    let mut annotations: Map<String, Value> = strings(object.metadata.annotations.as_ref());
    labels.remove(QUARANTINED);
    for ours in [CASE, AGENT, BEFORE, ORDERS, RESTARTED_BY, REPLACED_BY] {
        annotations.remove(ours);
    }
    annotations.retain(|key, _| {
        !key.starts_with("deployment.kubernetes.io/") && !key.starts_with("kubectl.kubernetes.io/")
    });
    // The agent is named, for a copy that only telemetry knows would not be found again.
    match is_label_value(ask.key.agent.as_str()) {
        true => labels.insert(AGENT_ID.to_owned(), json!(ask.key.agent)),
        false => {
            labels.insert(MANAGED.to_owned(), json!("true"));
            annotations.insert(AGENT_ID.to_owned(), json!(ask.key.agent))
        }
    };
    if ask.key.run != RunId::default() {
        let of_run = match is_label_value(ask.key.run.as_str()) {
            true => &mut labels,
            false => &mut annotations,
        };
        of_run.insert(RUN.to_owned(), json!(ask.key.run));
    }
    labels.insert(CLONE.to_owned(), json!(order));
    let mut spec = object.data["spec"].clone();
    spec["selector"]["matchLabels"][CLONE] = json!(order);
    spec["template"]["metadata"]["labels"][CLONE] = json!(order);
    // It has no pods before the original has none: who stops halfway leaves nothing running twice.
    let replicas = object
        .data
        .pointer("/spec/replicas")
        .unwrap_or(&json!(1))
        .to_string();
    let before = annotation(object, BEFORE).unwrap_or(&replicas);
    annotations.insert(BEFORE.to_owned(), json!(before));
    spec["replicas"] = json!(0);
    let resource = workload.kind.resource();
    json!({
        "apiVersion": resource.api_version, "kind": resource.kind,
        "metadata": {
            "name": place.name, "namespace": place.namespace, "labels": labels, "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": resource.api_version, "kind": resource.kind, "name": object.metadata.name,
                "uid": object.metadata.uid, "controller": false, "blockOwnerDeletion": false,
            }],
        },
        "spec": spec,
    })
}

fn strings(map: Option<&std::collections::BTreeMap<String, String>>) -> Map<String, Value> {
    map.into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect()
}
