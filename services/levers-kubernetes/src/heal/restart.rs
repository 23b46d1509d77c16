//! reset_memory: every pod of the workload is replaced.
//!
//! The pods are deleted rather than rolled out anew: a rollout waits for new pods to be ready before old ones go, and
//! an agent that is cut off may never be ready.

use super::{done_with, was_done};
use crate::Kubernetes;
use crate::api::annotation;
use crate::error::{Result, Trouble};
use crate::find::Workload;
use crate::kinds;
use crate::names::{ORDERS, RESTARTED_BY, short};
use kube::api::DynamicObject;
use serde_json::json;
use std::collections::HashSet;

impl Kubernetes {
    /// Replaces the pods that there are at the first asking.
    pub(super) async fn restart(&self, workload: &Workload, order: &str) -> Result<String> {
        let query = workload
            .query()
            .ok_or_else(|| Trouble::Pending(format!("{workload} does not say yet which pods it has")))?;
        let namespace = workload.place().namespace;
        let (namespace, query) = (namespace.as_str(), query.as_str());
        // The pods to go are written down before the first of them goes: whoever repeats the order must not take
        // those that have come since.
        let old = self
            .retried(workload, |workload| async move {
                if was_done(&workload.object, order) {
                    return Ok(written(&workload.object, order));
                }
                let pods = self.server.list(&kinds::pods(), Some(namespace), query).await?;
                let old: Vec<String> = pods.iter().map(uid).collect();
                let patch = json!({ "metadata": { "annotations": {
                    ORDERS: done_with(&workload.object, order),
                    RESTARTED_BY: format!("{order} {}", old.join(",")),
                } } });
                self.server
                    .merge(&workload.kind.resource(), &workload.object, patch)
                    .await?;
                Ok(old.into_iter().collect())
            })
            .await?;
        let pods = self.server.list(&kinds::pods(), Some(namespace), query).await?;
        for pod in pods.iter().filter(|pod| old.contains(&uid(pod))) {
            if pod.metadata.deletion_timestamp.is_none() {
                self.server.delete(&kinds::pods(), pod).await?;
            }
        }
        self.until(|| async {
            let pods = self.server.list(&kinds::pods(), Some(namespace), query).await?;
            let left = pods.iter().filter(|pod| old.contains(&uid(pod))).count();
            Ok((left > 0).then(|| format!("{left} of {} old pods of {workload} still run", old.len())))
        })
        .await?;
        Ok(format!("{workload}: {} pods were replaced", old.len()))
    }
}

/// The pods that an order was to replace, as far as it is the last one.
fn written(object: &DynamicObject, order: &str) -> HashSet<String> {
    let text = annotation(object, RESTARTED_BY).unwrap_or_default();
    let pods = text
        .split_once(' ')
        .filter(|(by, _)| *by == order)
        .map(|(_, pods)| pods);
    let pods = pods.unwrap_or_default().split(',').filter(|pod| !pod.is_empty());
    pods.map(str::to_owned).collect()
}

fn uid(pod: &DynamicObject) -> String {
    short(pod.metadata.uid.as_deref().unwrap_or_default())
}
