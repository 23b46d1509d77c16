//! rollback_prompt without an annotation: the template of the revision before.

use super::{done_with, was_done};
use crate::Kubernetes;
use crate::api::annotation;
use crate::error::{Result, Trouble};
use crate::find::Workload;
use crate::kinds::{self, Kind};
use crate::names::{ORDERS, QUARANTINED};
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, ReplaceOperation, TestOperation};
use kube::api::DynamicObject;
use serde_json::{Value, json};

/// Where the Deployment controller writes which revision a ReplicaSet is of.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// The label by which the Deployment controller tells its ReplicaSets' pods apart; part of no template.
const TEMPLATE_HASH: &str = "pod-template-hash";

impl Kubernetes {
    pub(super) async fn previous_revision(&self, workload: &Workload, order: &str) -> Result<String> {
        let cannot = |why: &str| Trouble::Unsupported(format!("{workload} {why}"));
        if let Some((kind, name)) = workload.controller() {
            return Err(cannot(&format!(
                "is written by {kind} {name}, which would take the rollback back"
            )));
        }
        if workload.kind == Kind::Sandbox {
            return Err(cannot("keeps no revisions; name its prompt by annotations"));
        }
        let cannot = &cannot;
        self.retried(workload, |workload| async move {
            if was_done(&workload.object, order) {
                return Ok(());
            }
            let previous = self.revision_before(&workload).await?;
            let previous = previous.ok_or_else(|| cannot("has no revision before this one"))?;
            let steps = steps(&workload, previous, order);
            let place = workload.place();
            self.server
                .edit(&workload.kind.resource(), &place, steps)
                .await
                .map(|_| ())
        })
        .await?;
        self.until_rolled_out(workload).await?;
        Ok(format!("{workload} runs the template of its revision before"))
    }

    /// The template of the newest earlier revision that differs from what runs.
    async fn revision_before(&self, workload: &Workload) -> Result<Option<Value>> {
        let Some(query) = workload.query() else {
            return Ok(None);
        };
        let resource = match workload.kind {
            Kind::Deployment => kinds::replica_sets(),
            Kind::StatefulSet | Kind::DaemonSet | Kind::Sandbox => kinds::controller_revisions(),
        };
        let listed = self
            .server
            .list(&resource, Some(&workload.place().namespace), &query)
            .await?;
        let current = cleaned(workload.object.data["spec"]["template"].clone());
        let mut revisions: Vec<(i64, Value)> = listed
            .iter()
            .filter(|object| is_owned(object, workload))
            .filter_map(|object| template(workload.kind, object))
            .filter(|(_, template)| *template != current)
            .collect();
        revisions.sort_by_key(|(revision, _)| *revision);
        Ok(revisions.pop().map(|(_, template)| template))
    }
}

fn is_owned(object: &DynamicObject, workload: &Workload) -> bool {
    let owners = object.metadata.owner_references.as_deref().unwrap_or_default();
    let uid = workload.object.metadata.uid.as_deref().unwrap_or_default();
    owners.iter().any(|owner| owner.uid == uid)
}

/// The number and the template of a revision.
fn template(kind: Kind, object: &DynamicObject) -> Option<(i64, Value)> {
    match kind {
        Kind::Deployment => {
            let revision = annotation(object, REVISION)?.parse().ok()?;
            Some((revision, cleaned(object.data["spec"]["template"].clone())))
        }
        Kind::StatefulSet | Kind::DaemonSet | Kind::Sandbox => {
            let revision = object.data["revision"].as_i64()?;
            let template = object.data.pointer("/data/spec/template")?.clone();
            Some((revision, cleaned(template)))
        }
    }
}

/// A template without what its controller and we add to it.
fn cleaned(mut template: Value) -> Value {
    if let Some(template) = template.as_object_mut() {
        template.remove("$patch");
    }
    if let Some(labels) = template
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.remove(TEMPLATE_HASH);
        labels.remove(QUARANTINED);
    }
    if let Some(metadata) = template.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, value| key != "creationTimestamp" && *value != json!({}));
    }
    template
}

/// From the object as it was read to one with this template: refused by the server if it changed meanwhile.
fn steps(workload: &Workload, mut template: Value, order: &str) -> Patch {
    let object = &workload.object;
    let is_labelled = object
        .data
        .pointer("/spec/template/metadata/labels")
        .is_some_and(|labels| labels[QUARANTINED] == "true");
    if is_labelled {
        template["metadata"]["labels"][QUARANTINED] = json!("true");
    }
    let mut steps = vec![
        PatchOperation::Test(TestOperation {
            path: PointerBuf::from_tokens(["metadata", "resourceVersion"]),
            value: json!(object.metadata.resource_version),
        }),
        PatchOperation::Replace(ReplaceOperation {
            path: PointerBuf::from_tokens(["spec", "template"]),
            value: template,
        }),
    ];
    if object.metadata.annotations.is_none() {
        steps.push(add(["metadata", "annotations"].as_slice(), json!({})));
    }
    steps.push(add(
        ["metadata", "annotations", ORDERS].as_slice(),
        json!(done_with(object, order)),
    ));
    Patch(steps)
}

fn add(path: &[&str], value: Value) -> PatchOperation {
    let path = PointerBuf::from_tokens(path.iter().copied());
    PatchOperation::Add(AddOperation { path, value })
}
