//! A server and a client of it.

use crate::fleet::Fleet;
use immune_dashboard::{Channels, Config, Dependencies, Deployment, Metrics, Service};
use immune_domain::policy::LivePolicies;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, RunId};
use immune_proto::v1::baseline_service_server::BaselineServiceServer;
use immune_proto::v1::healer_service_server::HealerServiceServer;
use immune_proto::v1::ingestion_service_server::IngestionServiceServer;
use immune_proto::v1::quarantine_service_server::QuarantineServiceServer;
use immune_proto::v1::sentinel_service_server::SentinelServiceServer;
use immune_runtime::access::{ApiKey, KeyRing, Role};
use immune_runtime::clock;
use immune_runtime::config::Secret;
use immune_runtime::grpc::inproc::pair;
use immune_runtime::grpc::server::{serve_in_process, with_standard_services};
use immune_runtime::grpc::{Peers, RoleChannel};
use immune_store::Stores;
use immune_store::action_log::StoredRow;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;

/// How long a test waits for what must happen.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// What these servers are put together from.
pub const DEPLOYMENT: Deployment = Deployment {
    bus: "local",
    workflow: "memory",
    vitals: "memory",
};

/// A server and a client of it.
pub struct World {
    pub address: SocketAddr,
    pub stores: Stores,
    pub fleet: Fleet,
    pub client: reqwest::Client,
    pub shutdown: CancellationToken,
    pub served: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
    _stops: DropGuard,
}

/// Sessions without a provider.
fn logins(stores: &Stores) -> immune_door::Logins {
    let (access, log) = (stores.access.clone(), stores.action_log.clone());
    immune_door::Logins::new(Default::default(), None, false, access, log)
        .expect("nothing can be wrong with it")
}

/// A status and a JSON body; null where there is none.
pub type Said = (StatusCode, Value);

/// Serves one role's routes, with health, for as long as the test runs.
async fn role(routes: Routes, service: &str) -> RoleChannel {
    let (channel, connections) = pair();
    let (routes, health) = with_standard_services(routes).expect("the descriptors can be read");
    health
        .set_service_status(service, tonic_health::ServingStatus::Serving)
        .await;
    tokio::spawn(serve_in_process(routes, connections, CancellationToken::new()));
    channel
}

impl World {
    /// Open on loopback.
    pub async fn start() -> Self {
        World::with(Config::default(), KeyRing::default()).await
    }

    pub async fn with(config: Config, keys: KeyRing) -> Self {
        World::changed(config, keys, |_| {}).await
    }

    /// With dependencies that the test has changed.
    pub async fn changed(config: Config, keys: KeyRing, change: impl FnOnce(&mut Dependencies)) -> Self {
        let stores = immune_store::memory::stores();
        let fleet = Fleet::new(stores.vitals.clone());
        let channels = Channels {
            ingestion: Peers::one(
                role(
                    Routes::new(IngestionServiceServer::new(fleet.clone())),
                    "immune.v1.IngestionService",
                )
                .await,
            ),
            baseline: Peers::one(
                role(
                    Routes::new(BaselineServiceServer::new(fleet.clone())),
                    "immune.v1.BaselineService",
                )
                .await,
            ),
            sentinel: Peers::one(
                role(
                    Routes::new(SentinelServiceServer::new(fleet.clone())),
                    "immune.v1.SentinelService",
                )
                .await,
            ),
            quarantine: Peers::one(
                role(
                    Routes::new(QuarantineServiceServer::new(fleet.clone())),
                    "immune.v1.QuarantineService",
                )
                .await,
            ),
            healer: Peers::one(
                role(
                    Routes::new(HealerServiceServer::new(fleet.clone())),
                    "immune.v1.HealerService",
                )
                .await,
            ),
        };
        let mut dependencies = Dependencies {
            vitals: stores.vitals.clone(),
            client_records: stores.client_records.clone(),
            action_log: stores.action_log.clone(),
            channels,
            policies: LivePolicies::default(),
            deployment: DEPLOYMENT,
            door: immune_door::Door::of_keys(keys).with_logins(logins(&stores)),
            notifications: immune_notify::Front::new(&Default::default(), stores.notifications.clone())
                .unwrap(),
            clock: clock::system(),
            metrics: Metrics::default(),
        };
        change(&mut dependencies);
        let service = Service::new(config, dependencies);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(service.serve(listener, shutdown.clone()));
        // A second installation is refused and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(DEADLINE)
            .build()
            .expect("a plain client can be built");
        World {
            address,
            stores,
            fleet,
            client,
            _stops: shutdown.clone().drop_guard(),
            shutdown,
            served: Some(served),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Response {
        let mut request = self.client.request(method, self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.expect("the server answers")
    }

    pub async fn get(&self, path: &str) -> Said {
        said(self.send(Method::GET, path, &[], None).await).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Said {
        said(self.send(Method::POST, path, &[], Some(body)).await).await
    }

    /// An answer that must be 200.
    pub async fn read(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// The action log of the default run, newest first.
    pub async fn log(&self) -> Vec<StoredRow> {
        self.stores
            .action_log
            .recent(&RunId::default(), None, 100)
            .await
            .expect("memory does not fail")
    }

    /// Executions on record for an agent of the default run.
    pub async fn vitals(&self, agent: &str) -> Vec<Vitals> {
        let all = self
            .stores
            .vitals
            .recent(&key(agent), immune_domain::Timestamp::EPOCH, 100)
            .await;
        all.expect("memory does not fail")
    }
}

pub async fn said(response: Response) -> Said {
    let status = response.status();
    let body = response.text().await.expect("the answer is text");
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

/// An agent of the default run.
pub fn key(agent: &str) -> AgentKey {
    AgentKey::new("default", agent)
}

/// A ring with one key per role, bound to runs where any are named. The secret is the name, repeated to its length.
pub fn ring(keys: &[(&str, Role, &[&str])]) -> KeyRing {
    let configured: Vec<ApiKey> = keys
        .iter()
        .map(|(name, role, runs)| ApiKey {
            name: (*name).to_owned(),
            key: Some(Secret::new(secret(name))),
            key_file: None,
            role: *role,
            runs: runs.iter().map(|run| (*run).to_owned()).collect(),
        })
        .collect();
    let mut mistakes = Vec::new();
    let ring = KeyRing::load(&configured, "access.api_keys", &mut mistakes);
    assert_eq!(mistakes, Vec::<String>::new());
    ring
}

pub fn secret(name: &str) -> String {
    format!("{name}-secret-of-many-characters")
}
