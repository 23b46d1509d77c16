//! The suite that every lever runs.

use crate::world::{World, deployment};
use async_trait::async_trait;
use immune_domain::AgentKey;
use immune_levers::Lever;
use immune_levers::conformance::{Manner, Platform};
use immune_test_kubernetes::{Failure, When};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

immune_levers::conformance!(fresh);

const AGENT: &str = "research";

async fn fresh() -> World {
    let world = World::start().await;
    world.deploy(AGENT);
    world
}

#[async_trait]
impl Platform for World {
    fn lever(&self) -> Arc<dyn Lever> {
        self.lever.clone()
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(3)
    }

    async fn agent(&self) -> AgentKey {
        AgentKey::new("default", AGENT)
    }

    /// Pods that were asked to go and are gone: each is one restart.
    async fn effects(&self, _key: &AgentKey) -> u64 {
        let there: HashSet<String> = self
            .pods()
            .iter()
            .map(|pod| pod["metadata"]["uid"].to_string())
            .collect();
        let requests = self.server.requests();
        let asked = requests
            .iter()
            .filter(|request| request.verb == "delete" && request.resource == "pods")
            .map(|request| request.body["preconditions"]["uid"].to_string());
        let gone: HashSet<String> = asked.filter(|uid| !there.contains(uid)).collect();
        gone.len() as u64
    }

    /// Whether a policy of Kubernetes' own meaning cuts its pods.
    async fn is_contained(&self, _key: &AgentKey) -> bool {
        let (pods, policies) = (self.pods(), self.policies());
        let is_cut = |pod: &serde_json::Value| {
            policies.iter().any(|policy| {
                let wanted = policy["spec"]["podSelector"]["matchLabels"].as_object().unwrap();
                let labels = &pod["metadata"]["labels"];
                wanted.iter().all(|(key, value)| labels[key] == *value)
                    && policy["spec"]["policyTypes"] == json!(["Ingress", "Egress"])
            })
        };
        !pods.is_empty() && pods.iter().all(is_cut)
    }

    async fn behave(&self, manner: Manner) {
        self.server.heal();
        match manner {
            Manner::Well => {}
            Manner::Refuses(words) => {
                let failure = Failure::Admission(words.to_owned());
                self.server.fail_next(When::write().times(100), failure);
            }
            Manner::CannotDo => {
                let mut agent = deployment(AGENT);
                agent["metadata"]["annotations"] = json!({ "immune.io/healing": "off" });
                self.server.put(agent);
            }
            Manner::Hangs => self.server.fail_next(When::write().times(100), Failure::Hang),
            Manner::LiesAboutActions => self.server.fail_next(When::write().times(100), Failure::Lie),
        }
    }
}
