//! The server as tests see it.

use crate::access::{Access, Permission};
use crate::cluster::Cluster;
use crate::faults::{Failure, Faults, When};
use crate::handle::{State, handle};
use crate::request::Request;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// A Kubernetes API server of its own; ends when it is dropped.
#[derive(Debug)]
pub struct ApiServer {
    url: String,
    pub(crate) state: Arc<State>,
    serving: JoinHandle<()>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl ApiServer {
    /// Starts on a free loopback port. Controllers act after every write; see [`ApiServer::set_controllers`].
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State {
            cluster: Arc::new(Mutex::new(Cluster::new())),
            faults: Mutex::new(Faults::default()),
            access: Mutex::new(Access::default()),
            requests: Mutex::new(Vec::new()),
            changed: tokio::sync::watch::Sender::new((1, 0)),
        });
        let shared = state.clone();
        let serving = tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = JoinSet::new();
            loop {
                let Ok((socket, _)) = listener.accept().await else {
                    return;
                };
                let state = shared.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| handle(state.clone(), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        ApiServer {
            url: format!("http://{address}"),
            state,
            serving,
        }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// kube's client for this server. It does not repeat failed requests by itself, so that tests see each one.
    pub fn client(&self) -> kube::Client {
        kube::Client::try_from(self.config()).expect("a plain http url makes a client")
    }

    /// kube's configuration for this server.
    pub fn config(&self) -> kube::Config {
        // Two TLS stacks in one process need to be told which to use; another choice may already be made.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = kube::Config::new(self.url.parse().expect("the address is a url"));
        config.default_retry = false;
        config
    }

    /// A kubeconfig that names this server, as YAML (which JSON is).
    pub fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": self.url } }],
            "users": [{ "name": "test", "user": {} }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": "default" } }],
        })
        .to_string()
    }

    /// Every request so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Forgets the requests so far, and the permissions that they needed.
    pub fn forget_requests(&self) {
        self.state.requests.lock().unwrap().clear();
        self.access().forget_used();
    }

    /// Lets the next request that matches fail (or as many as [`When::times`] says). Several are met in the order in
    /// which they were asked for.
    pub fn fail_next(&self, when: When, failure: Failure) {
        self.state.faults.lock().unwrap().add(when, failure);
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.state.faults.lock().unwrap().clear();
    }

    /// Whether controllers act after writes. Turned on, they act at once.
    pub fn set_controllers(&self, are_on: bool) {
        self.cluster(|cluster| {
            cluster.has_controllers = are_on;
            self.state.settle(cluster);
        });
    }

    /// Ends every watch with 410 and forgets the history, as a compaction does: clients have to list again.
    pub fn expire_watches(&self) {
        self.cluster(|cluster| {
            cluster.compact();
            let revision = cluster.revision;
            self.state.changed.send_modify(|(seen, epoch)| {
                *seen = revision;
                *epoch += 1;
            });
        });
    }

    /// From now on, the client may do only what these rules allow, in every namespace (a ClusterRole); everything
    /// else is 403. Discovery stays open, as it is to every account.
    pub fn set_access(&self, rules: Vec<PolicyRule>) {
        self.access().set_client(rules);
    }

    /// The client may also do this in one namespace (a Role). Without [`ApiServer::set_access`] before it, the client
    /// may do this only.
    pub fn add_access_in(&self, namespace: &str, rules: Vec<PolicyRule>) {
        self.access().grant_client(Some(namespace), rules);
    }

    /// The client may do everything again, as at the start.
    pub fn open_access(&self) {
        self.access().open();
    }

    /// Every permission that requests have needed so far: what a Role for the client would have to grant.
    pub fn permissions_used(&self) -> BTreeSet<Permission> {
        self.access().used()
    }

    /// SubjectAccessReviews say yes to this rule for a user or a group of users, in one namespace or everywhere. They
    /// say no to everything else.
    pub fn allow(&self, subject: &str, namespace: Option<&str>, rule: PolicyRule) {
        self.access().allow(subject, namespace, rule);
    }

    /// Waits until the world is as the test wants it.
    ///
    /// # Panics
    /// After 20 seconds, with these words.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let mut changed = self.state.changed.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while !is_so(self) {
                let _ = tokio::time::timeout(Duration::from_millis(100), changed.changed()).await;
            }
        });
        assert!(waited.await.is_ok(), "waited in vain for: {what}");
    }

    fn access(&self) -> MutexGuard<'_, Access> {
        self.state.access.lock().unwrap()
    }

    pub(crate) fn cluster<T>(&self, act: impl FnOnce(&mut Cluster) -> T) -> T {
        act(&mut self.state.cluster.lock().unwrap())
    }
}
