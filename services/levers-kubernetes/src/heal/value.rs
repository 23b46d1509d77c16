//! Values that people named for us: keys of ConfigMaps and environment variables of containers.

use super::{done_with, was_done};
use crate::Kubernetes;
use crate::api::Place;
use crate::error::{Result, Trouble};
use crate::find::Workload;
use crate::kinds;
use crate::names::{ORDERS, VALUE_BEFORE};
use serde_json::{Value, json};

/// The largest value that is kept beside the one that replaced it; bytes.
const KEPT_MAX: usize = 64 * 1024;
/// Tries when somebody else changes the ConfigMap meanwhile.
const TRIES: u32 = 10;

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    ConfigMap { name: String, key: String },
    Env { container: String, variable: String },
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::ConfigMap { name, key } => write!(f, "configmap/{name}/{key}"),
            Target::Env { container, variable } => write!(f, "env/{container}/{variable}"),
        }
    }
}

impl Target {
    /// Reads `configmap/NAME/KEY` or `env/CONTAINER/VARIABLE`.
    pub(super) fn read(workload: &Workload, annotation: &str, text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.trim().split('/').collect();
        match parts.as_slice() {
            ["configmap", name, key] if !name.is_empty() && !key.is_empty() => Ok(Target::ConfigMap {
                name: (*name).to_owned(),
                key: (*key).to_owned(),
            }),
            ["env", container, variable] if !container.is_empty() && !variable.is_empty() => {
                Ok(Target::Env {
                    container: (*container).to_owned(),
                    variable: (*variable).to_owned(),
                })
            }
            _ => Err(Trouble::Unsupported(format!(
                "annotation {annotation} of {workload} is {text:?}; it takes configmap/NAME/KEY or env/CONTAINER/VARIABLE"
            ))),
        }
    }
}

impl Kubernetes {
    /// What is there.
    pub(super) async fn value_of(&self, workload: &Workload, target: &Target) -> Result<String> {
        let found = match target {
            Target::ConfigMap { name, key } => {
                let map = self
                    .server
                    .get(&kinds::config_maps(), &at(workload, name))
                    .await?;
                map.and_then(|map| map.data["data"][key].as_str().map(str::to_owned))
            }
            Target::Env { container, variable } => {
                let containers = containers(workload);
                variable_of(&containers, container, variable)
                    .and_then(|env| env["value"].as_str().map(str::to_owned))
            }
        };
        found.ok_or_else(|| Trouble::Unsupported(format!("{workload}: there is no {target}")))
    }

    /// Puts a value there, keeps the one before, and lets the pods see it.
    pub(super) async fn set(
        &self,
        workload: &Workload,
        target: &Target,
        value: &str,
        order: &str,
    ) -> Result<()> {
        match target {
            Target::ConfigMap { name, key } => {
                self.set_key(workload, name, key, value, order).await?;
                self.restart(workload, &format!("{order}r")).await.map(|_| ())
            }
            Target::Env { container, variable } => {
                self.set_variable(workload, container, variable, value, order)
                    .await
            }
        }
    }

    async fn set_key(
        &self,
        workload: &Workload,
        name: &str,
        key: &str,
        value: &str,
        order: &str,
    ) -> Result<()> {
        let at = at(workload, name);
        let missing = || {
            Trouble::Unsupported(format!(
                "{workload}: there is no ConfigMap {at} with the key {key}"
            ))
        };
        for tried in 1.. {
            let map = self
                .server
                .get(&kinds::config_maps(), &at)
                .await?
                .ok_or_else(missing)?;
            if was_done(&map, order) {
                return Ok(());
            }
            let before = map.data["data"][key].as_str().ok_or_else(missing)?;
            if before == value {
                return Err(Trouble::Failed(format!(
                    "configmap/{name}/{key} of {workload} says so already"
                )));
            }
            if map.data["immutable"] == json!(true) {
                return Err(Trouble::Unsupported(format!("ConfigMap {at} is immutable")));
            }
            let mut annotations = json!({ ORDERS: done_with(&map, order) });
            if before.len() <= KEPT_MAX {
                annotations[VALUE_BEFORE] = json!(json!({ key: before }).to_string());
            }
            let patch = json!({ "metadata": { "annotations": annotations }, "data": { key: value } });
            match self.server.merge(&kinds::config_maps(), &map, patch).await {
                Err(Trouble::Conflict { .. }) if tried < TRIES => {}
                ended => return ended.map(|_| ()),
            }
        }
        Ok(())
    }

    async fn set_variable(
        &self,
        workload: &Workload,
        container: &str,
        variable: &str,
        value: &str,
        order: &str,
    ) -> Result<()> {
        if let Some((kind, name)) = workload.controller() {
            return Err(Trouble::Unsupported(format!(
                "{workload} is written by {kind} {name}, which would take the change back"
            )));
        }
        self.retried(workload, |workload| async move {
            if was_done(&workload.object, order) {
                return Ok(());
            }
            let mut containers = containers(&workload);
            let Some(env) = variable_of(&containers, container, variable).cloned() else {
                return Err(Trouble::Unsupported(format!(
                    "{workload}: there is no env/{container}/{variable}"
                )));
            };
            if env["value"] == value {
                return Err(Trouble::Failed(format!(
                    "env/{container}/{variable} of {workload} says so already"
                )));
            }
            replace(&mut containers, container, variable, value);
            // The whole list, since a merge patch knows no elements; the resource version keeps others' changes.
            let patch = json!({
                "metadata": { "annotations": {
                    ORDERS: done_with(&workload.object, order),
                    VALUE_BEFORE: json!({ format!("{container}/{variable}"): env["value"] }).to_string(),
                } },
                "spec": { workload.kind.template(): { "spec": { "containers": containers } } },
            });
            self.server
                .merge(&workload.kind.resource(), &workload.object, patch)
                .await
                .map(|_| ())
        })
        .await?;
        self.until_rolled_out(workload).await
    }
}

fn at(workload: &Workload, name: &str) -> Place {
    Place {
        namespace: workload.place().namespace,
        name: name.to_owned(),
    }
}

fn containers(workload: &Workload) -> Vec<Value> {
    let path = format!("/spec/{}/spec/containers", workload.kind.template());
    let list = workload.object.data.pointer(&path).and_then(Value::as_array);
    list.cloned().unwrap_or_default()
}

fn variable_of<'a>(containers: &'a [Value], container: &str, variable: &str) -> Option<&'a Value> {
    let found = containers.iter().find(|one| one["name"] == container)?;
    found["env"]
        .as_array()?
        .iter()
        .find(|env| env["name"] == variable)
}

fn replace(containers: &mut [Value], container: &str, variable: &str, value: &str) {
    let Some(found) = containers.iter_mut().find(|one| one["name"] == container) else {
        return;
    };
    for env in found["env"].as_array_mut().into_iter().flatten() {
        if env["name"] == variable {
            *env = json!({ "name": variable, "value": value });
        }
    }
}
