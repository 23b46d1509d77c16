//! The baseline role: learns what is normal for each agent.
//!
//! It takes every execution from the bus, keeps it until the sentinel has judged it, and learns it only if the
//! sentinel says that it may teach: judge first, learn afterwards, from healthy vitals only. Profiles are versioned
//! in the store together with the learner's state, and watched by whoever judges.
//!
//! Not here: judging (`sentinel`), the arithmetic (`immune_domain::baseline`).
//!
//! - [`matching`]: brings an execution and its verdict together, whichever comes first.
//! - [`late`]: keeps lessons waiting, so that the onset of a fault is not learned.
//! - [`learning`]: the one loop that changes profiles and stores them.
//! - [`board`]: the stored profiles, for readers and watchers.
//! - [`verdicts`]: the watch on the sentinel.
//!
//! To teach the baseline something new: a field in `immune_domain::baseline::Learner`, filled in
//! [`learning`] from what [`matching`] keeps of an execution.

pub mod board;
pub mod config;
pub mod grpc;
pub mod late;
pub mod learning;
pub mod matching;
pub mod metrics;
pub mod verdicts;

pub use config::Config;
pub use metrics::Metrics;

use board::Board;
use immune_bus::Consumer;
use immune_domain::policy::Policies;
use immune_proto::v1::baseline_service_server::BaselineServiceServer;
use immune_proto::v1::sentinel_service_client::SentinelServiceClient;
use immune_runtime::clock::SharedClock;
use immune_store::BaselineStore;
use learning::{Command, Learning};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// Commands that may wait for the learning loop.
const COMMANDS_MAX: usize = 64;

/// What the role is built from.
pub struct Dependencies {
    /// Where profiles live.
    pub store: Arc<dyn BaselineStore>,
    /// Executions.
    pub bus: Box<dyn Consumer>,
    /// Verdicts on them.
    pub sentinel: SentinelServiceClient<Channel>,
    /// Which rules hold for which agent.
    pub policies: Policies,
    /// Tells the time.
    pub clock: SharedClock,
    /// Where the role counts.
    pub metrics: Metrics,
}

/// What [`Service::run`] takes.
struct Work {
    learning: Learning,
    bus: Box<dyn Consumer>,
}

/// The baseline role.
#[derive(Clone)]
pub struct Service {
    pub(crate) board: Arc<Board>,
    pub(crate) store: Arc<dyn BaselineStore>,
    pub(crate) commands: mpsc::Sender<Command>,
    sentinel: SentinelServiceClient<Channel>,
    work: Arc<Mutex<Option<Work>>>,
}

impl Service {
    /// Builds the role; nothing runs before [`Service::run`].
    pub fn new(config: Config, dependencies: Dependencies) -> Self {
        let Dependencies {
            store,
            bus,
            sentinel,
            policies,
            clock,
            metrics,
        } = dependencies;
        let board = Arc::new(Board::default());
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let learning = Learning::new(
            config,
            policies.compile(),
            store.clone(),
            board.clone(),
            clock,
            metrics,
            inbox,
        );
        let work = Arc::new(Mutex::new(Some(Work { learning, bus })));
        Service {
            board,
            store,
            commands,
            sentinel,
            work,
        }
    }

    /// The gRPC service.
    pub fn grpc(&self) -> BaselineServiceServer<Self> {
        BaselineServiceServer::new(self.clone())
    }

    /// Loads the profiles, then learns until the token is cancelled or the bus ends; stores what it learned before
    /// it returns, and ends the watches. A second call does nothing.
    pub async fn run(self, shutdown: CancellationToken) {
        let taken = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Work { learning, bus }) = taken else {
            return;
        };
        let verdicts = verdicts::watch(self.sentinel.clone(), shutdown.clone());
        learning.run(bus, verdicts, shutdown).await;
        self.board.close();
    }
}
