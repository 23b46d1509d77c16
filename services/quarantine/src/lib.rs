//! The quarantine role: opens cases, contains agents, holds people's decisions. The single writer of cases.
//!
//! What a case may do is decided in `immune_domain::case`; this crate fetches the case, asks for the decision, saves
//! it with its action-log rows and events in one transaction, and drives the levers until each has answered.
//!
//! Not here: judging agents (`sentinel`), choosing and doing healing steps (`healer`), knowing people (the door that
//! verified them hands the identity on).
//!
//! Several replicas work on one store at the same time. What they do is guarded there: a case is saved at the version
//! it was decided on, opened within the blast radius, and its levers are driven under a claim. What they know of each
//! other's work they read from the store's events.
//!
//! - [`desk`]: the one way to change a case, with optimistic concurrency.
//! - [`opening`]: reports become cases.
//! - `decisions`: people's decisions, the refused ones recorded, too.
//! - `executions`: those of agents that should not be able to execute.
//! - `incidents`: many agents that depart at once, whose cases are let go.
//! - `healing`: which case a healer gets.
//! - [`directory`]: open cases in memory, for the admission check and the blast radius.
//! - [`follow`]: keeps the directory up to date with what every replica saves.
//! - [`admission`]: may the agent act? Also when the store is away.
//! - [`reconcile`]: asks levers for what cases want; repeatable, resumable.
//! - `patrol`: is what levers confirmed still there?
//! - [`tick`]: what time alone changes.
//! - [`watch`]: events in order, for those who listen.
//!
//! To add a command: the domain first (`immune_domain::case`), then a method in `quarantine.proto` and its
//! translation in `grpc.rs`.

pub mod admission;
pub mod config;
mod decisions;
pub mod desk;
pub mod directory;
pub mod error;
mod executions;
pub mod follow;
mod grpc;
mod healing;
mod incidents;
pub mod metrics;
pub mod opening;
mod patrol;
mod reconcile;
pub mod tick;
pub mod watch;

pub use config::Config;
pub use error::Error;
pub use follow::State;
pub use metrics::Metrics;

use desk::Desk;
use immune_domain::policy::LivePolicies;
use immune_levers::Levers;
use immune_proto::v1::quarantine_service_server::QuarantineServiceServer;
use immune_runtime::clock::SharedClock;
use immune_store::{ActionLog, CaseStore, VitalsStore};
use std::sync::Arc;
use tokio::sync::watch::Receiver;
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
    pub policies: LivePolicies,
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

    /// How the role is, and how that changes.
    pub fn state(&self) -> Receiver<State> {
        self.desk.state.subscribe()
    }

    /// Follows the cases of every replica, drives levers and time until the token is cancelled. Asks under way get
    /// [`reconcile::DRAIN_MAX`] to end; what does not end is asked again, with the same key, by another replica or
    /// at the next start. Watches end at once, and say so to their listeners.
    pub async fn run(self, shutdown: CancellationToken) {
        // Also where this future is dropped.
        let _watches_end = self.stopped.clone().drop_guard();
        tokio::join!(
            async {
                shutdown.cancelled().await;
                self.stopped.cancel();
            },
            follow::run(self.desk.clone(), shutdown.clone()),
            reconcile::run(self.desk.clone(), shutdown.clone()),
            tick::run(self.desk.clone(), shutdown.clone()),
            patrol::run(self.desk.clone(), shutdown.clone()),
        );
    }
}
