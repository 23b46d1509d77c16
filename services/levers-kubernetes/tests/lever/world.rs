//! A cluster with agents, and the lever.

use immune_domain::AgentKey;
use immune_domain::case::Containment;
use immune_domain::healing::Action;
use immune_levers::{Answer, Ask, Lever, Order, Outcome};
use immune_levers_kubernetes::access::{
    CILIUM_RULES, CLUSTER_RULES, KAGENT_RULES, RULES, Rule, SANDBOX_RULES,
};
use immune_levers_kubernetes::{Config, Kubernetes};
use immune_test_kubernetes::{ApiServer, rule};
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The namespace that the lever may touch.
pub const NAMESPACE: &str = "agents";

/// A cluster under the test's control.
pub struct World {
    pub server: ApiServer,
    pub lever: Arc<Kubernetes>,
}

/// A short deadline, so that what waits in vain ends soon.
pub fn config() -> Config {
    Config {
        enabled: true,
        namespaces: vec![NAMESPACE.to_owned()],
        deadline_seconds: 3.0,
        look_seconds: 0.02,
        ..Config::default()
    }
}

pub fn granted(rules: &[Rule]) -> Vec<PolicyRule> {
    rules
        .iter()
        .map(|one| rule(&[one.group], &[one.resource], one.verbs))
        .collect()
}

impl World {
    pub async fn start() -> Self {
        World::start_with(config()).await
    }

    /// With the rights of the chart: a Role in each named namespace, and the small ClusterRole.
    pub async fn start_with(config: Config) -> Self {
        let server = ApiServer::start().await;
        let mut rules = granted(RULES);
        for (is_on, more) in [
            (config.cilium, CILIUM_RULES),
            (config.sandboxes, SANDBOX_RULES),
            (config.kagent, KAGENT_RULES),
        ] {
            if is_on {
                rules.extend(granted(more));
            }
        }
        server.set_access(granted(CLUSTER_RULES));
        for namespace in &config.namespaces {
            server.add_access_in(namespace, rules.clone());
        }
        let lever = Arc::new(Kubernetes::new(server.client(), config));
        World { server, lever }
    }

    /// A Deployment with one pod, labelled with its agent.
    pub fn deploy(&self, name: &str) -> Value {
        self.server.put(deployment(name))
    }

    pub async fn contain(&self, agent: &str) -> Answer {
        self.ask(agent, Order::Contain(Containment::Contained), "contain")
            .await
    }

    pub async fn free(&self, agent: &str) -> Answer {
        self.ask(agent, Order::Contain(Containment::Free), "free").await
    }

    pub async fn heal(&self, agent: &str, action: Action, key: &str) -> Answer {
        self.ask(agent, Order::Heal(action), key).await
    }

    pub async fn ask(&self, agent: &str, order: Order, key: &str) -> Answer {
        self.lever.ask(&ask(agent, order, key)).await
    }

    pub fn pods(&self) -> Vec<Value> {
        self.server.list("Pod", NAMESPACE)
    }

    pub fn deployment(&self, name: &str) -> Value {
        self.server.get("Deployment", NAMESPACE, name).unwrap()
    }

    pub fn policies(&self) -> Vec<Value> {
        self.server.list("NetworkPolicy", NAMESPACE)
    }
}

pub fn ask(agent: &str, order: Order, key: &str) -> Ask {
    Ask {
        key: AgentKey::new("default", agent),
        case: "case-1".into(),
        idempotency_key: format!("{agent}:{key}"),
        order,
        reason: "infinite_loop of severity 8.0".to_owned(),
        parameters: BTreeMap::new(),
        workload: BTreeMap::new(),
    }
}

/// The answer's words, if it is done.
#[track_caller]
pub fn done(answer: Answer) -> String {
    assert_eq!(answer.outcome, Outcome::Done, "{answer:?}");
    answer.detail
}

/// The answer's words, if it ended so.
#[track_caller]
pub fn ended(answer: Answer, outcome: Outcome) -> String {
    assert_eq!(answer.outcome, outcome, "{answer:?}");
    answer.detail
}

pub fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": { "immune.io/agent-id": name } },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": name } },
            "template": template(name, "v1"),
        },
    })
}

pub fn template(name: &str, version: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": name } },
        "spec": { "containers": [{
            "name": "agent", "image": format!("agent:{version}"),
            "env": [{ "name": "AUTONOMY", "value": "high" }, { "name": "OTHER", "value": "kept" }],
        }] },
    })
}
