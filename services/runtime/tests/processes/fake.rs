//! A role to call: a baseline that answers as it is told, on a real socket, and that can be killed.

use immune_domain::AgentKey;
use immune_proto::v1;
use immune_proto::v1::baseline_service_client::BaselineServiceClient;
use immune_proto::v1::baseline_service_server::{BaselineService, BaselineServiceServer};
use immune_runtime::access::{Origin, RoleName, person_of};
use immune_runtime::grpc::server::{self, ServerSecurity, Strangers};
use immune_runtime::grpc::{ClientSecurity, Options, Peers, RoleChannel, Target, not_owner};
use immune_runtime::metrics::Metrics;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{broadcast, oneshot};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// How a replica answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Answer,
    /// After so long.
    Slowly(Duration),
    Unavailable,
    NotOwner,
    /// Never.
    Hang,
}

/// What the last call brought.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub origin: Option<Origin>,
    pub subject_metadata: Option<String>,
    pub token_metadata: bool,
    pub person: Option<String>,
    pub deadline: Option<String>,
    pub traceparent: Option<String>,
    pub trace_of_span: Option<String>,
}

/// The service, shared between its test and its server.
#[derive(Clone)]
pub struct Fake {
    pub calls: Arc<AtomicUsize>,
    pub mode: Arc<Mutex<Mode>>,
    pub seen: Arc<Mutex<Seen>>,
    /// Sent to readers of the stream.
    pub changes: broadcast::Sender<u64>,
}

impl Fake {
    pub fn new() -> Self {
        Fake {
            calls: Arc::default(),
            mode: Arc::new(Mutex::new(Mode::Answer)),
            seen: Arc::default(),
            changes: broadcast::channel(16).0,
        }
    }

    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    async fn take<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let text = |name: &str| {
            let value = request.metadata().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        *self.seen.lock().unwrap() = Seen {
            origin: request.extensions().get::<Origin>().copied(),
            subject_metadata: text("x-immune-subject"),
            token_metadata: text("x-immune-token").is_some(),
            person: person_of(request).ok().map(|person| person.subject),
            deadline: text("grpc-timeout"),
            traceparent: text("traceparent"),
            trace_of_span: super::trace::current(),
        };
        let mode = *self.mode.lock().unwrap();
        match mode {
            Mode::Answer => Ok(()),
            Mode::Slowly(wait) => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
            Mode::Unavailable => Err(Status::unavailable("told to say so")),
            Mode::NotOwner => Err(not_owner::status()),
            Mode::Hang => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl BaselineService for Fake {
    type WatchProfilesStream =
        std::pin::Pin<Box<dyn futures::Stream<Item = Result<v1::WatchProfilesResponse, Status>> + Send>>;

    async fn get_profile(
        &self,
        request: Request<v1::GetProfileRequest>,
    ) -> Result<Response<v1::GetProfileResponse>, Status> {
        self.take(&request).await?;
        Ok(Response::new(Default::default()))
    }

    async fn get_profiles(
        &self,
        request: Request<v1::GetProfilesRequest>,
    ) -> Result<Response<v1::GetProfilesResponse>, Status> {
        self.take(&request).await?;
        Ok(Response::new(Default::default()))
    }

    async fn watch_profiles(
        &self,
        request: Request<v1::WatchProfilesRequest>,
    ) -> Result<Response<Self::WatchProfilesStream>, Status> {
        let changes = BroadcastStream::new(self.changes.subscribe());
        self.take(&request).await?;
        let messages = changes.map(|profiles| {
            use v1::watch_profiles_response::{Change, Snapshot};
            let snapshot = Snapshot {
                profiles: profiles.unwrap(),
                ..Snapshot::default()
            };
            Ok(v1::WatchProfilesResponse {
                change: Some(Change::SnapshotDone(snapshot)),
            })
        });
        Ok(Response::new(Box::pin(messages)))
    }

    async fn reset_profile(
        &self,
        request: Request<v1::ResetProfileRequest>,
    ) -> Result<Response<v1::ResetProfileResponse>, Status> {
        self.take(&request).await?;
        Ok(Response::new(Default::default()))
    }

    async fn freeze_profile(
        &self,
        request: Request<v1::FreezeProfileRequest>,
    ) -> Result<Response<v1::FreezeProfileResponse>, Status> {
        self.take(&request).await?;
        Ok(Response::new(Default::default()))
    }

    async fn set_profile(
        &self,
        request: Request<v1::SetProfileRequest>,
    ) -> Result<Response<v1::SetProfileResponse>, Status> {
        self.take(&request).await?;
        Ok(Response::new(Default::default()))
    }

    async fn count_ready_profiles(
        &self,
        request: Request<v1::CountReadyProfilesRequest>,
    ) -> Result<Response<v1::CountReadyProfilesResponse>, Status> {
        self.take(&request).await?;
        Ok(Response::new(Default::default()))
    }
}

/// A running replica, on threads of its own so that it can be killed as a process is.
pub struct Replica {
    pub fake: Fake,
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
    pub ended: Option<oneshot::Receiver<()>>,
    runtime: Option<Runtime>,
}

impl Replica {
    pub fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), Fake::new(), |_| open())
    }

    /// Starts at an address; `security` is made on the replica's own threads.
    pub fn start_at(
        address: SocketAddr,
        fake: Fake,
        security: impl FnOnce(&Metrics) -> ServerSecurity + Send + 'static,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let shutdown = CancellationToken::new();
        let listener = {
            let _entered = runtime.enter();
            let listener = std::net::TcpListener::bind(address).unwrap();
            listener.set_nonblocking(true).unwrap();
            TcpListener::from_std(listener).unwrap()
        };
        let address = listener.local_addr().unwrap();
        let (tell, ended) = oneshot::channel();
        let (service, stop) = (fake.clone(), shutdown.clone());
        runtime.spawn(async move {
            let routes = tonic::service::Routes::new(BaselineServiceServer::new(service));
            let (routes, _) = server::with_standard_services(routes).unwrap();
            let metrics = Metrics::default();
            let security = security(&metrics);
            server::serve(routes, listener, security, &metrics, stop)
                .await
                .unwrap();
            let _ = tell.send(());
        });
        Replica {
            fake,
            address,
            shutdown,
            ended: Some(ended),
            runtime: Some(runtime),
        }
    }

    /// As kill -9: connections are reset, nothing is said.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn open() -> ServerSecurity {
    ServerSecurity::Loopback {
        token: None,
        strangers: Strangers::welcome(),
    }
}

/// Quick enough for tests.
pub fn quick() -> Options {
    Options {
        deadline_ms: 5_000,
        connect_ms_max: 1_000,
        resolve_ms: 200,
        ..Options::default()
    }
}

pub fn target(replicas: &[&Replica]) -> Target {
    let list: Vec<String> = replicas.iter().map(|r| r.address.to_string()).collect();
    Target::parse(RoleName::Baseline, &list.join(",")).unwrap()
}

pub fn peers(replicas: &[&Replica], options: &Options) -> Peers {
    secured(replicas, options, ClientSecurity::Stranger)
}

pub fn secured(replicas: &[&Replica], options: &Options, security: ClientSecurity) -> Peers {
    let (metrics, stop) = (Metrics::default(), CancellationToken::new());
    Peers::resolve(&target(replicas), security, options, &metrics, stop)
}

pub type Client = BaselineServiceClient<RoleChannel>;

pub fn client(peers: &Peers) -> Client {
    BaselineServiceClient::new(peers.any())
}

pub fn key() -> AgentKey {
    AgentKey::new("default", "agent")
}

/// A call that may be repeated.
pub async fn get(client: &Client) -> Result<(), Status> {
    let request = v1::GetProfileRequest {
        key: Some((&key()).into()),
    };
    client.clone().get_profile(request).await.map(|_| ())
}

/// A call that may not.
pub async fn reset(client: &Client) -> Result<(), Status> {
    let request = v1::ResetProfileRequest {
        key: Some((&key()).into()),
        reason: String::new(),
    };
    client.clone().reset_profile(request).await.map(|_| ())
}

/// Waits until something is so; fails with `what` after ten seconds.
pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .is_err()
    {
        panic!("not so after ten seconds: {what}");
    }
}

/// Waits until every replica is connected.
pub async fn connected(peers: &Peers, count: usize) {
    until("every replica is connected", async || {
        let each = peers.each().borrow().clone();
        if each.len() != count {
            return false;
        }
        for peer in each.iter() {
            let mut health = tonic_health::pb::health_client::HealthClient::new(peer.channel.clone());
            let request = tonic_health::pb::HealthCheckRequest::default();
            if health.check(request).await.is_err() {
                return false;
            }
        }
        true
    })
    .await;
}
