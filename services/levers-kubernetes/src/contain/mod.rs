//! Containing an agent, and letting it go.
//!
//! Every step is a statement of what shall be, so that repeating it changes nothing; and what is said of it is read
//! back, so that a receipt is what the cluster has, not what it was asked for.

mod policy;
mod scale;

use crate::Kubernetes;
use crate::api::{annotation, label};
use crate::error::{Result, Trouble};
use crate::find::Workload;
use crate::kinds;
use crate::names::{AGENT, AGENT_MARK, CASE, QUARANTINED, mark};
use immune_domain::AgentKey;
use immune_levers::{Answer, Ask, Observed, Outcome};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{ApiResource, DynamicObject};
use serde_json::{Value, json};

/// What contains one workload.
struct Wall {
    network: Value,
    cilium: Option<Value>,
    name: String,
}

impl Kubernetes {
    /// Cuts the agent off, and says so once the cluster has it.
    pub(crate) async fn contain(&self, ask: &Ask) -> Result<Answer> {
        let workload = self.find(&ask.key, &ask.workload).await?;
        let unknown = || Trouble::Pending(format!("{workload} does not say yet which pods it has"));
        let selector = workload.selector().ok_or_else(unknown)?;
        let query = kinds::query(&selector).ok_or_else(|| {
            Trouble::Failed(format!(
                "the selector of {workload} chooses every pod of its namespace"
            ))
        })?;
        let wall = self.wall(&workload, &selector, ask);
        let place = workload.place();
        self.server
            .apply(&kinds::network_policies(), &at(&place, &wall.name), &wall.network)
            .await?;
        if let Some(cilium) = &wall.cilium {
            self.server
                .apply(&kinds::cilium_policies(), &at(&place, &wall.name), cilium)
                .await?;
        }
        self.mark(&workload, Some(ask)).await?;
        let scaled = match self.config.scale_to_zero {
            true => self.scale_down(&workload).await?,
            false => scale::Scaled::NotAsked,
        };
        let pods = self.label_pods(&workload, &query, true).await?;
        if scaled == scale::Scaled::Down {
            self.until_no_pod(&workload, &query).await?;
        }
        self.verify(&workload, &wall, scaled).await?;
        let detail = match scaled {
            scale::Scaled::Down => format!("{workload} runs no pod, and its network is cut by {}", wall.name),
            scale::Scaled::NotAsked => {
                format!("the network of {workload} is cut by {}, {pods} pods", wall.name)
            }
            scale::Scaled::Cannot(why) => {
                format!(
                    "the network of {workload} is cut by {}, {pods} pods; not scaled to zero: {why}",
                    wall.name
                )
            }
        };
        self.tell(
            &workload,
            "Quarantined",
            &format!("{detail}; {}, case {}", ask.reason, ask.case),
        )
        .await;
        let evidence = json!({
            "platform": "kubernetes", "workload": workload.to_string(), "network_policy": wall.name,
            "cilium": wall.cilium.is_some(), "scaled_to_zero": scaled == scale::Scaled::Down, "pods": pods,
        });
        Ok(Answer {
            outcome: Outcome::Done,
            detail,
            evidence,
        })
    }

    /// Takes away whatever contains the agent.
    pub(crate) async fn release(&self, ask: &Ask) -> Result<Answer> {
        let (walls, workloads) = self.lift(&ask.key).await?;
        let left = self.walls(&ask.key).await?;
        if let Some((_, wall)) = left.first() {
            let name = wall.metadata.name.as_deref().unwrap_or_default();
            return Err(Trouble::Pending(format!(
                "{name} was deleted and is still there: a finalizer holds it"
            )));
        }
        let detail = match workloads.as_slice() {
            [] if walls == 0 => format!("nothing contains {}", ask.key),
            [] => format!("nothing contains {} any more; its workload is gone", ask.key),
            workloads => {
                let names: Vec<String> = workloads.iter().map(ToString::to_string).collect();
                format!("{} may act again", names.join(", "))
            }
        };
        for workload in &workloads {
            self.tell(
                workload,
                "Released",
                &format!("{}, case {}", ask.reason, ask.case),
            )
            .await;
        }
        let evidence = json!({ "platform": "kubernetes", "policies_removed": walls });
        Ok(Answer {
            outcome: Outcome::Done,
            detail,
            evidence,
        })
    }

    /// Undoes a quarantine, as far as it was ever made. How many policies went, and which workloads are free.
    pub(crate) async fn lift(&self, key: &AgentKey) -> Result<(usize, Vec<Workload>)> {
        let walls = self.walls(key).await?;
        for (resource, wall) in &walls {
            self.server.delete(resource, wall).await?;
        }
        let mut workloads = Vec::new();
        for workload in self.contained(Some(key)).await? {
            self.free(&workload).await?;
            workloads.push(workload);
        }
        Ok((walls.len(), workloads))
    }

    /// What containing left on a workload.
    pub(crate) async fn free(&self, workload: &Workload) -> Result<()> {
        self.scale_up(workload).await?;
        self.mark(workload, None).await?;
        if let Some(query) = workload.query() {
            self.label_pods(workload, &query, false).await?;
        }
        Ok(())
    }

    pub(crate) async fn look(&self, key: &AgentKey) -> Result<Observed> {
        let walls = self.walls(key).await?;
        if let Some((_, wall)) = walls.first() {
            let name = wall.metadata.name.as_deref().unwrap_or_default();
            return Ok(Observed {
                contained: true,
                state: format!("cut off by {name}"),
            });
        }
        let workload = self.find(key, &Default::default()).await?;
        Ok(Observed {
            contained: false,
            state: format!("{workload} is free"),
        })
    }

    /// The policies that contain an agent, wherever they are allowed to be.
    pub(crate) async fn walls(&self, key: &AgentKey) -> Result<Vec<(ApiResource, DynamicObject)>> {
        self.policies(&format!("{AGENT_MARK}={}", mark(key))).await
    }

    /// The policies of ours with these labels.
    pub(crate) async fn policies(&self, labels: &str) -> Result<Vec<(ApiResource, DynamicObject)>> {
        let mut found = Vec::new();
        let cilium = self.config.cilium.then(kinds::cilium_policies);
        for resource in [kinds::network_policies()].into_iter().chain(cilium) {
            for namespace in self.scopes() {
                let listed = self.server.list(&resource, namespace, labels).await?;
                let ours = listed
                    .into_iter()
                    .filter(|wall| label(wall, QUARANTINED) == Some("true"));
                found.extend(ours.map(|wall| (resource.clone(), wall)));
            }
        }
        Ok(found)
    }

    /// The workloads that are marked as contained: this agent's, or everyone's.
    pub(crate) async fn contained(&self, key: Option<&AgentKey>) -> Result<Vec<Workload>> {
        let key = key.map(ToString::to_string);
        let mut found = Vec::new();
        for kind in self.kinds() {
            for namespace in self.scopes() {
                let listed = self
                    .server
                    .list(&kind.resource(), namespace, &format!("{QUARANTINED}=true"))
                    .await?;
                let of_agent = |object: &DynamicObject| {
                    annotation(object, AGENT)
                        .is_some_and(|agent| key.as_deref().is_none_or(|key| key == agent))
                };
                found.extend(
                    listed
                        .into_iter()
                        .filter(of_agent)
                        .map(|object| Workload { kind, object }),
                );
            }
        }
        Ok(found)
    }

    fn wall(&self, workload: &Workload, selector: &LabelSelector, ask: &Ask) -> Wall {
        let metadata = policy::metadata(workload, &ask.key, &ask.case);
        let cilium = || policy::cilium_policy(selector, &metadata, &self.config);
        Wall {
            network: policy::network_policy(selector, &metadata, &self.config),
            cilium: self.config.cilium.then(cilium),
            name: policy::name(workload),
        }
    }

    /// Writes on the workload that it is contained, or takes it away. Applied as the owner of just these fields; the
    /// uid keeps an apply from creating an object that was deleted meanwhile.
    pub(crate) async fn mark(&self, workload: &Workload, contained: Option<&Ask>) -> Result<DynamicObject> {
        let (place, resource) = (workload.place(), workload.kind.resource());
        let mut body = json!({
            "apiVersion": resource.api_version, "kind": resource.kind,
            "metadata": { "name": place.name, "namespace": place.namespace, "uid": workload.object.metadata.uid },
        });
        if let Some(ask) = contained {
            body["metadata"]["labels"] = json!({ QUARANTINED: "true" });
            body["metadata"]["annotations"] = json!({ CASE: ask.case.as_str(), AGENT: ask.key.to_string() });
            if self.config.label_template && workload.controller().is_none() {
                body["spec"][workload.kind.template()]["metadata"]["labels"] = json!({ QUARANTINED: "true" });
            }
        }
        self.server.apply(&resource, &place, &body).await
    }

    /// Labels the pods there are, for people and for whatever else chooses by label. Those that the controller makes
    /// later are cut by the policy all the same.
    async fn label_pods(&self, workload: &Workload, query: &str, contained: bool) -> Result<usize> {
        let resource = kinds::pods();
        let pods = self
            .server
            .list(&resource, Some(&workload.place().namespace), query)
            .await?;
        let count = pods.len();
        for pod in pods {
            if (label(&pod, QUARANTINED) == Some("true")) == contained
                || pod.metadata.deletion_timestamp.is_some()
            {
                continue;
            }
            let value = if contained { json!("true") } else { Value::Null };
            let patch = json!({ "metadata": { "labels": { QUARANTINED: value } } });
            match self.server.merge(&resource, &pod, patch).await {
                // It changed or went meanwhile, as pods do.
                Ok(_) | Err(Trouble::Missing { .. } | Trouble::Conflict { .. }) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(count)
    }

    /// Reads back what was made.
    async fn verify(&self, workload: &Workload, wall: &Wall, scaled: scale::Scaled) -> Result<()> {
        let place = workload.place();
        let mut made = vec![(kinds::network_policies(), &wall.network)];
        made.extend(
            wall.cilium
                .iter()
                .map(|cilium| (kinds::cilium_policies(), cilium)),
        );
        for (resource, wanted) in made {
            let found = self.server.get(&resource, &at(&place, &wall.name)).await?;
            if !found.is_some_and(|found| policy::is_as_wanted(&found, wanted)) {
                return Err(Trouble::Failed(format!(
                    "{} {} was accepted and is not there as it was written: is something taking it back?",
                    resource.kind, wall.name
                )));
            }
        }
        let found = self.server.get(&workload.kind.resource(), &place).await?;
        if found.is_none_or(|found| label(&found, QUARANTINED) != Some("true")) {
            return Err(Trouble::Failed(format!(
                "the label {QUARANTINED} on {workload} was accepted and is not there: is something taking it back?"
            )));
        }
        if scaled == scale::Scaled::Down || wall.cilium.is_some() {
            return Ok(());
        }
        let beside = self
            .server
            .list(&kinds::network_policies(), Some(&place.namespace), "")
            .await?;
        let loopholes = policy::loopholes(&beside, &wall.name, &workload.pod_labels());
        if loopholes.is_empty() {
            return Ok(());
        }
        Err(Trouble::Failed(format!(
            "{workload} is not contained: NetworkPolicy {} in {} lets its pods through, and NetworkPolicies only add up; \
             set levers.kubernetes.scale_to_zero or cilium, or take the policy away",
            loopholes.join(", "),
            place.namespace
        )))
    }
}

fn at(place: &crate::api::Place, name: &str) -> crate::api::Place {
    crate::api::Place {
        namespace: place.namespace.clone(),
        name: name.to_owned(),
    }
}
