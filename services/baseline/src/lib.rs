//! The baseline role: learns what is normal for each agent.
//!
//! It takes every execution from the bus, keeps it until the sentinel has judged it, and learns it only if the
//! sentinel says that it may teach: judge first, learn afterwards, from healthy vitals only. Profiles are versioned
//! in the store together with the learner's state, and watched by whoever judges.
//!
//! Not here: judging (`sentinel`), the arithmetic (`immune_domain::baseline`).
//!
//! Several replicas share the agents by partition of the vitals bus. A replica takes a partition over at the store,
//! loads its profiles, and goes on after the place up to which they contain the bus's entries; profiles and place are
//! stored together, and a replica that was overtaken can store nothing. So an execution never teaches twice, and teaches once
//! if its verdict can still be had, whichever replica dies when.
//!
//! - [`learning`]: the one loop that changes profiles and stores them; `answers`: what becomes of the store's
//!   answers.
//! - `gaining`: partitions on their way here.
//! - `partition`: one partition, its agents and what waits; `teaching`: the effect of a record; `writing`: a
//!   partition's share of a write.
//! - [`entries`], [`matching`], [`early`]: what waits, in its order; what belongs together; verdicts without a
//!   record.
//! - `acting`: what people do to a baseline.
//! - `agent`, [`recent`], `changes`: an agent as stored, its last lessons, and who has changed.
//! - [`board`]: the stored profiles, for readers and watchers.
//! - [`verdicts`]: the watches on the sentinel's replicas.
//!
//! To teach the baseline something new: a field in `immune_domain::baseline::Learner`, filled in
//! `teaching` from what [`entries::Lesson`] keeps of an execution.

mod acting;
mod agent;
mod answers;
pub mod board;
mod changes;
pub mod config;
pub mod early;
pub mod entries;
mod gaining;
pub mod grpc;
pub mod learning;
pub mod matching;
pub mod metrics;
mod partition;
pub mod recent;
pub mod state;
mod teaching;
pub mod verdicts;
mod writing;

pub use config::Config;
pub use metrics::Metrics;
pub use state::State;

use acting::Asked;
use board::Board;
use immune_bus::Consumer;
use immune_domain::policy::LivePolicies;
use immune_proto::v1::baseline_service_server::BaselineServiceServer;
use immune_runtime::clock::SharedClock;
use immune_runtime::grpc::Peers;
use immune_store::BaselineStore;
use learning::{Learning, Parts};
use partition::Rules;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use verdicts::Verdicts;

/// Acts of people that may wait for the learning loop.
const COMMANDS_MAX: usize = 64;

/// What the role is built from.
pub struct Dependencies {
    /// Where profiles live.
    pub store: Arc<dyn BaselineStore>,
    /// Executions.
    pub bus: Box<dyn Consumer>,
    /// Verdicts on them, from every replica.
    pub sentinel: Peers,
    /// Which rules hold for which agent.
    pub policies: LivePolicies,
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
    pub(crate) commands: mpsc::Sender<Asked>,
    sentinel: Peers,
    state: watch::Receiver<State>,
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
        let board = Arc::new(Board::new());
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (state_sender, state) = watch::channel(State::default());
        let rules = Rules {
            config,
            policies,
            metrics,
            agents: AtomicUsize::new(0),
        };
        let learning = Learning::new(Parts {
            rules: Arc::new(rules),
            store: store.clone(),
            board: board.clone(),
            clock,
            state: state_sender,
            inbox,
        });
        let work = Arc::new(Mutex::new(Some(Work { learning, bus })));
        Service {
            board,
            store,
            commands,
            sentinel,
            state,
            work,
        }
    }

    /// The gRPC service.
    pub fn grpc(&self) -> BaselineServiceServer<Self> {
        BaselineServiceServer::new(self.clone())
    }

    /// How the role stands, now and as it changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Learns until the token is cancelled or the bus ends; stores what has taken effect before it returns, within
    /// [`learning::SHUTDOWN_MAX`], gives its partitions back and ends the watches. A second call does nothing.
    pub async fn run(self, shutdown: CancellationToken) {
        let taken = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Work { learning, bus }) = taken else {
            return;
        };
        let watching = shutdown.child_token();
        let _watching = watching.clone().drop_guard();
        let verdicts = Verdicts::watch(self.sentinel.each(), watching);
        learning.run(bus, verdicts, shutdown).await;
        self.board.close();
    }
}
