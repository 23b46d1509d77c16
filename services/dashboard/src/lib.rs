//! The dashboard role: the only door for people, and the store API for client-deployed immune systems.
//!
//! Here: REST on one port ([`Service::serve`]), its description ([`openapi`]), live events, who may do what
//! (`access`), and the same numbers over gRPC. Not here: deciding anything about agents. Vitals go to ingestion, cases
//! and decisions to quarantine, memory to the healer; only records that client-deployed systems post live with this
//! role, and they drive nothing.
//!
//! To add an endpoint: a handler in `rest/store` or `rest/operators` with its `utoipa::path`, its line in that
//! module's `router`, and its line in `access::table`; tests fail until all three agree.

mod access;
mod app;
mod approvals;
mod audit;
mod bands;
mod blind;
mod config;
mod decisions;
mod deployment;
mod fleet;
mod grpc;
mod healings;
mod incidents;
mod live;
mod metrics;
mod openapi;
mod outlook;
mod overview;
mod problems;
mod rest;
mod roles;
mod stats;
mod ui;
mod view;

pub use access::table::{Needs, TABLE};
pub use config::Config;
pub use deployment::Deployment;
pub use metrics::Metrics;
pub use openapi::openapi;
pub use roles::Channels;
pub use ui::{ASSETS, PAGES};

use app::App;
use immune_domain::policy::LivePolicies;
use immune_door::{Door, Peer};
use immune_notify::Front;
use immune_proto::v1::dashboard_service_server::DashboardServiceServer;
use immune_runtime::clock::SharedClock;
use immune_runtime::tls::{Listener, Protocols};
use immune_store::{ActionLog, ClientRecordStore, VitalsStore};
use roles::Roles;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What the role is built from.
pub struct Dependencies {
    /// Vitals, to read.
    pub vitals: Arc<dyn VitalsStore>,
    /// Records of client-deployed systems; this role owns them.
    pub client_records: Arc<dyn ClientRecordStore>,
    /// The audit record.
    pub action_log: Arc<dyn ActionLog>,
    /// Ways to the other roles.
    pub channels: Channels,
    /// Which thresholds hold for which agent; to draw the band of what is normal.
    pub policies: LivePolicies,
    /// What the process was put together from.
    pub deployment: Deployment,
    /// Who may call.
    pub door: Door,
    /// Outgoing notifications.
    pub notifications: Front,
    /// Tells the time.
    pub clock: SharedClock,
    /// Where the role counts.
    pub metrics: Metrics,
}

/// The dashboard role.
#[derive(Clone)]
pub struct Service {
    app: Arc<App>,
}

impl Service {
    /// Builds the role.
    pub fn new(config: Config, dependencies: Dependencies) -> Self {
        let Dependencies {
            vitals,
            client_records,
            action_log,
            channels,
            policies,
            deployment,
            door,
            notifications,
            clock,
            metrics,
        } = dependencies;
        let roles = Roles::new(&channels, config.request_max());
        let app = App {
            vitals,
            client_records,
            action_log,
            roles,
            channels,
            bands: bands::Bands::new(policies.clone()),
            policies,
            deployment,
            live: live::Live::default(),
            lookout: blind::Lookout::default(),
            door,
            notifications,
            clicks: Arc::new(Semaphore::new(rest::operators::chat::CLICKS_MAX)),
            started_at: clock.now(),
            clock,
            metrics,
            refusals: access::refusals::Refusals::default(),
            requests: Arc::new(Semaphore::new(config.requests_max)),
            event_streams: Arc::new(Semaphore::new(config.event_streams_max)),
            stopped: CancellationToken::new(),
            config,
        };
        Service { app: Arc::new(app) }
    }

    /// The gRPC service.
    pub fn grpc(&self) -> DashboardServiceServer<Self> {
        DashboardServiceServer::new(self.clone())
    }

    /// Serves REST until the token is cancelled and requests under way have been answered. Live events end at once;
    /// their readers come back with the last id.
    ///
    /// # Errors
    /// When the listener is open to other machines and there are no keys, when its certificate cannot be used, and
    /// when it fails.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
        let address = listener.local_addr()?;
        if self.app.door.could_open() && !address.ip().is_loopback() {
            let message =
                format!("REST on {address} needs API keys: without them only a loopback address may listen");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let service = rest::service(self.app.clone()).into_make_service_with_connect_info::<Peer>();
        let (files, counts) = (self.app.config.tls.as_ref(), &self.app.metrics.tls);
        let listener =
            Listener::for_door(listener, files, Protocols::Either, counts).map_err(io::Error::other)?;
        let stopped = self.app.stopped.clone();
        let stop = async move {
            shutdown.cancelled().await;
            stopped.cancel();
        };
        axum::serve(listener, service).with_graceful_shutdown(stop).await
    }
}
