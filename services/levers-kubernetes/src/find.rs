//! Finds the workload of an agent.
//!
//! A label on the workload, which is the word of whoever may deploy it, names the agent. Telemetry is only a hint, for
//! an infected agent may have written it: it counts for workloads that were opened to it (`immune.io/managed`), and
//! never for one that says it runs another agent. Nothing outside the allowed namespaces is read at all.

use crate::Kubernetes;
use crate::api::{Place, annotation, label, place};
use crate::error::{Result, Trouble};
use crate::kinds::{self, Kind};
use crate::names::{AGENT_ID, MANAGED, REPLACED_BY, RUN, is_label_value};
use immune_domain::{AgentKey, RunId};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::DynamicObject;
use std::collections::BTreeMap;

/// A workload as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) kind: Kind,
    pub(crate) object: DynamicObject,
}

impl Workload {
    pub(crate) fn place(&self) -> Place {
        place(&self.object)
    }

    /// The labels of its pods, as a query; `None` where they are not known.
    pub(crate) fn query(&self) -> Option<String> {
        kinds::query(&self.selector()?)
    }

    pub(crate) fn selector(&self) -> Option<LabelSelector> {
        self.kind.selector(&self.object)
    }

    /// Its template's labels.
    pub(crate) fn pod_labels(&self) -> BTreeMap<String, String> {
        let path = format!("/spec/{}/metadata/labels", self.kind.template());
        let labels = self.object.data.pointer(&path).cloned().unwrap_or_default();
        serde_json::from_value(labels).unwrap_or_default()
    }

    /// Whether another controller writes it, and would take back what we change of its template.
    pub(crate) fn controller(&self) -> Option<(&str, &str)> {
        let owners = self
            .object
            .metadata
            .owner_references
            .as_deref()
            .unwrap_or_default();
        let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
        Some((&owner.kind, &owner.name))
    }
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.place())
    }
}

impl Kubernetes {
    /// The workload of an agent.
    ///
    /// # Errors
    /// `Failed` with what to do, when there is none or more than one.
    pub(crate) async fn find(&self, key: &AgentKey, hint: &BTreeMap<String, String>) -> Result<Workload> {
        let mut named = self.named(key).await?;
        match named.len() {
            0 => {}
            1 => return Ok(named.swap_remove(0)),
            _ => {
                let names: Vec<String> = named.iter().map(ToString::to_string).collect();
                return Err(Trouble::Failed(format!(
                    "agent {key} is named by {} workloads ({}); leave the label {AGENT_ID} on one of them",
                    names.len(),
                    names.join(", ")
                )));
            }
        }
        if let Some(workload) = self.hinted(key, hint).await? {
            return Ok(workload);
        }
        Err(Trouble::Failed(format!(
            "no workload of agent {key} is known in {}: label it {AGENT_ID}={}{}",
            self.allowed(),
            key.agent,
            match key.run == RunId::default() {
                true => String::new(),
                false => format!(" and {RUN}={}", key.run),
            }
        )))
    }

    /// The workloads that say they run this agent: by label, else by annotation beside [`MANAGED`].
    async fn named(&self, key: &AgentKey) -> Result<Vec<Workload>> {
        let mut found = Vec::new();
        if is_label_value(key.agent.as_str()) {
            found = self.listed(key, &format!("{AGENT_ID}={}", key.agent)).await?;
        }
        if found.is_empty() {
            found = self.listed(key, &format!("{MANAGED}=true")).await?;
        }
        // A copy says so too: once it has taken over, it is the one; before, the original is.
        if found.len() > 1 {
            found.retain(|workload| annotation(&workload.object, REPLACED_BY).is_none());
            let uids: Vec<String> = found
                .iter()
                .filter_map(|one| one.object.metadata.uid.clone())
                .collect();
            found.retain(|workload| {
                let owners = workload
                    .object
                    .metadata
                    .owner_references
                    .as_deref()
                    .unwrap_or_default();
                !owners.iter().any(|owner| uids.contains(&owner.uid))
            });
        }
        Ok(found)
    }

    /// Workloads with these labels that say they run this agent.
    async fn listed(&self, key: &AgentKey, labels: &str) -> Result<Vec<Workload>> {
        let mut found = Vec::new();
        for kind in self.kinds() {
            for namespace in self.scopes() {
                let listed = self.server.list(&kind.resource(), namespace, labels).await?;
                let workloads = listed.into_iter().map(|object| Workload { kind, object });
                found.extend(workloads.filter(|workload| {
                    names(&workload.object) == Some(key.agent.as_str()) && is_of_run(&workload.object, key)
                }));
            }
        }
        Ok(found)
    }

    /// The workload that telemetry names, if it may be believed.
    async fn hinted(&self, key: &AgentKey, hint: &BTreeMap<String, String>) -> Result<Option<Workload>> {
        let Some(namespace) = hint.get("namespace.name").filter(|name| self.config.allows(name)) else {
            return Ok(None);
        };
        let Some((kind, name)) = self.hinted_name(namespace, hint).await? else {
            return Ok(None);
        };
        let at = Place {
            namespace: namespace.clone(),
            name,
        };
        let Some(object) = self.server.get(&kind.resource(), &at).await? else {
            return Ok(None);
        };
        let is_another = names(&object).is_some_and(|other| other != key.agent.as_str());
        if is_another || !is_of_run(&object, key) {
            return Ok(None);
        }
        let is_managed = label(&object, MANAGED) == Some("true") || self.is_managed(namespace).await?;
        Ok(is_managed.then_some(Workload { kind, object }))
    }

    async fn hinted_name(
        &self,
        namespace: &str,
        hint: &BTreeMap<String, String>,
    ) -> Result<Option<(Kind, String)>> {
        let known = [
            ("deployment.name", Kind::Deployment),
            ("statefulset.name", Kind::StatefulSet),
            ("daemonset.name", Kind::DaemonSet),
        ];
        for (attribute, kind) in known {
            if let Some(name) = hint.get(attribute) {
                return Ok(Some((kind, name.clone())));
            }
        }
        let Some(pod) = hint.get("pod.name") else {
            return Ok(None);
        };
        let at = |name: &str| Place {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let Some(pod) = self.server.get(&kinds::pods(), &at(pod)).await? else {
            return Ok(None);
        };
        let Some((kind, name)) = controller(&pod) else {
            return Ok(None);
        };
        Ok(match kind.as_str() {
            "StatefulSet" => Some((Kind::StatefulSet, name)),
            "DaemonSet" => Some((Kind::DaemonSet, name)),
            "Sandbox" if self.config.sandboxes => Some((Kind::Sandbox, name)),
            "ReplicaSet" => {
                let set = self.server.get(&kinds::replica_sets(), &at(&name)).await?;
                let owner = set.as_ref().and_then(controller);
                owner
                    .filter(|(kind, _)| kind == "Deployment")
                    .map(|(_, name)| (Kind::Deployment, name))
            }
            _ => None,
        })
    }

    async fn is_managed(&self, namespace: &str) -> Result<bool> {
        match self.server.namespace(namespace).await {
            Ok(found) => Ok(found.is_some_and(|found| label(&found, MANAGED) == Some("true"))),
            // Without the right to read the namespace, its word is not had.
            Err(Trouble::Refused { .. }) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    /// Kinds that are looked for.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> + use<> {
        let sandbox = self.config.sandboxes.then_some(Kind::Sandbox);
        [Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet]
            .into_iter()
            .chain(sandbox)
    }

    /// Where lists are asked for: each allowed namespace, or all at once.
    pub(crate) fn scopes(&self) -> Vec<Option<&str>> {
        match self.config.all_namespaces {
            true => vec![None],
            false => self
                .config
                .namespaces
                .iter()
                .map(|name| Some(name.as_str()))
                .collect(),
        }
    }

    fn allowed(&self) -> String {
        match self.config.all_namespaces {
            true => "any namespace".to_owned(),
            false => format!("namespaces {}", self.config.namespaces.join(", ")),
        }
    }
}

/// The agent that a workload says it runs.
fn names(object: &DynamicObject) -> Option<&str> {
    label(object, AGENT_ID).or_else(|| annotation(object, AGENT_ID))
}

fn is_of_run(object: &DynamicObject, key: &AgentKey) -> bool {
    let run = label(object, RUN).or_else(|| annotation(object, RUN));
    run.map_or_else(|| key.run == RunId::default(), |run| run == key.run.as_str())
}

fn controller(object: &DynamicObject) -> Option<(String, String)> {
    let owners = object.metadata.owner_references.as_deref().unwrap_or_default();
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    Some((owner.kind.clone(), owner.name.clone()))
}
