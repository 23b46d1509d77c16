//! A cluster with the definition of policies, and whoever follows them.

use immune_domain::policy::{LivePolicies, Policies, Policy};
use immune_domain::{AgentId, RunId};
use immune_resources::cases::rules::Rule;
use immune_resources::policies::rules::{STATUS, WATCH};
use immune_resources::policies::{Metrics, Order, State, build, crd};
use immune_test_kubernetes::{ApiServer, PolicyRule, rule};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub struct World {
    pub server: Arc<ApiServer>,
    pub live: LivePolicies,
    pub state: watch::Receiver<State>,
    shutdown: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub fn granted(rules: &[Rule]) -> Vec<PolicyRule> {
    rules
        .iter()
        .map(|one| rule(&[one.group], &[one.resource], one.verbs))
        .collect()
}

/// A cluster that knows policies, where the client may do what is granted.
pub async fn cluster() -> Arc<ApiServer> {
    let server = ApiServer::start().await;
    server.put(serde_json::to_value(crd()).unwrap());
    server.set_access(granted(&[WATCH, STATUS].concat()));
    Arc::new(server)
}

pub fn policy(namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "immune.io/v1alpha1", "kind": "ImmunePolicy",
        "metadata": { "namespace": namespace, "name": name }, "spec": spec,
    })
}

impl World {
    /// Follows every namespace; the plane's own is `immune`.
    pub async fn start() -> Self {
        let server = cluster().await;
        World::over(server, vec![None])
    }

    pub fn over(server: Arc<ApiServer>, scopes: Vec<Option<String>>) -> Self {
        let live = LivePolicies::new(Policies::default());
        let order = Order {
            own: "immune".to_owned(),
            is_file_first: false,
        };
        let watch = build(server.client(), scopes, order, live.clone(), Metrics::default());
        let (state, shutdown) = (watch.state(), CancellationToken::new());
        tokio::spawn(watch.run(shutdown.clone()));
        World {
            server,
            live,
            state,
            shutdown,
        }
    }

    pub fn resolved(&self, agent: &str, namespace: &str) -> Arc<Policy> {
        self.live
            .resolve(&RunId::default(), &AgentId::new(agent), None, Some(namespace))
    }

    /// Waits until the rules are as the test wants them, twenty seconds at most.
    pub async fn until(&self, what: &str, is_so: impl Fn(&World) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !is_so(self) {
            assert!(tokio::time::Instant::now() < deadline, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
