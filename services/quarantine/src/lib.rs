//! The quarantine role: opens cases, contains agents, holds people's decisions. The single writer of cases.
//!
//! What a case may do is decided in `immune_domain::case`; this crate fetches the case, asks for the decision, saves
//! it with its action-log rows and events in one transaction, and drives the levers until each has answered.
//!
//! Not here: judging agents (`sentinel`), choosing and doing healing steps (`healer`), knowing people (the door that
//! verified them hands the identity on).
//!
//! - [`desk`]: the one way to change a case, with optimistic concurrency.
//! - `decisions`: people's decisions, the refused ones recorded, too.
//! - [`directory`]: open cases in memory, for the admission check and the blast radius.
//! - [`reconcile`]: asks levers for what cases want; repeatable, resumable.
//! - [`tick`]: what time alone changes.
//! - [`watch`]: events in order, for those who listen.
//!
//! To add a command: the domain first (`immune_domain::case`), then a method in `quarantine.proto` and its
//! translation in `grpc.rs`.

pub mod config;
mod decisions;
pub mod desk;
pub mod directory;
pub mod error;
mod grpc;
pub mod metrics;
pub mod reconcile;
pub mod tick;
pub mod watch;

pub use config::Config;
pub use error::Error;
pub use metrics::Metrics;

use desk::Desk;
use immune_domain::policy::Policies;
use immune_levers::Levers;
use immune_proto::v1::quarantine_service_server::QuarantineServiceServer;
use immune_runtime::clock::SharedClock;
use immune_store::{ActionLog, CaseStore, VitalsStore};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the role is built from.
pub struct Dependencies {
    /// Where cases live.
    pub cases: Arc<dyn CaseStore>,
    /// Where refused decisions are recorded.
    pub action_log: Arc<dyn ActionLog>,
    /// Asked how many agents of a run were seen, for the blast radius.
    pub vitals: Arc<dyn VitalsStore>,
    /// The means to contain.
    pub levers: Levers,
    /// Which rules hold for which agent.
    pub policies: Policies,
    /// Tells the time.
    pub clock: SharedClock,
    /// Where the role counts.
    pub metrics: Metrics,
}

/// The quarantine role.
#[derive(Clone)]
pub struct Service {
    desk: Arc<Desk>,
    /// Cancelled when the role stops, so that watches end and the server can drain.
    stopped: CancellationToken,
}

impl Service {
    /// Builds the role. It answers `unavailable` to most calls until [`Service::run`] has loaded the open cases.
    pub fn new(config: Config, dependencies: Dependencies) -> Self {
        Service {
            desk: Arc::new(Desk::new(config, dependencies)),
            stopped: CancellationToken::new(),
        }
    }

    /// The gRPC service.
    pub fn grpc(&self) -> QuarantineServiceServer<Self> {
        QuarantineServiceServer::new(self.clone())
    }

    /// Loads the open cases, then drives levers and time until the token is cancelled. Asks under way get
    /// [`reconcile::DRAIN_MAX`] to end; what does not end is asked again, with the same key, at the next start.
    pub async fn run(self, shutdown: CancellationToken) {
        let _watches_end = self.stopped.clone().drop_guard();
        while let Err(error) = self.desk.load().await {
            tracing::warn!(%error, "open cases could not be loaded; trying again");
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOAD_RETRY) => {}
            }
        }
        tokio::join!(
            reconcile::run(self.desk.clone(), shutdown.clone()),
            tick::run(self.desk.clone(), shutdown.clone()),
        );
    }
}

/// Wait before the open cases are loaded once more.
const LOAD_RETRY: Duration = Duration::from_millis(500);
