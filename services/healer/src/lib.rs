//! The healer role: takes cases that may be healed, acts through levers, proves recovery, remembers what helped.
//!
//! Every step is written down before it is taken (in the case, then in the healing's own record, then with the
//! lever), and the verdict is written down before it is reported. A healer that dies at any point is followed by
//! another that reads where it was and goes on under the same healing id, which is also the lever's idempotency key:
//! nothing is done twice.
//!
//! Several healers work side by side: each has its own name, a case is held by one of them under a fencing token that
//! grows with every taking over, and quarantine refuses what comes under an older one. What quarantine cannot refuse
//! (asking a lever, writing the record) is done while the lease is known to hold.
//!
//! Not here: whether a case may be healed and what follows a step (`immune_domain::case`, asked through the
//! quarantine role), the order of actions (`immune_domain::healing`), whether executions are within the baseline
//! (the sentinel).
//!
//! - [`claim`]: takes cases, a bounded number at a time.
//! - [`job`]: one case in hand: does what its state asks for.
//! - [`lease`]: holds on to the case, and finds out when it is lost.
//! - [`act`]: asks the levers for a healing action.
//! - [`probation`]: watches the agent until something is proven.
//! - [`sweep`]: ends records whose case went on without them.
//!
//! To add an action: the domain's `Action`, the lever contract's documentation, and a place on a ladder.

pub mod act;
pub mod claim;
pub mod config;
pub mod error;
mod grpc;
pub mod job;
pub mod lease;
pub mod metrics;
pub mod probation;
pub mod sweep;

pub use config::Config;
pub use error::Error;
pub use metrics::Metrics;

use immune_domain::case::Case;
use immune_domain::policy::{LivePolicies, Policy};
use immune_levers::Levers;
use immune_proto::v1::healer_service_server::HealerServiceServer;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_runtime::clock::SharedClock;
use immune_runtime::grpc::{Peers, RoleChannel};
use immune_store::{ActionLog, HealingStore, StorageError};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What the role is built from.
pub struct Dependencies {
    /// Where attempts and immune memory live.
    pub healings: Arc<dyn HealingStore>,
    /// Where a person's changes to immune memory are recorded.
    pub action_log: Arc<dyn ActionLog>,
    /// The means to heal.
    pub levers: Levers,
    /// Which cases may be healed.
    pub quarantine: QuarantineServiceClient<RoleChannel>,
    /// Whether an agent is well again.
    pub sentinel: Peers,
    /// Which rules hold for which agent.
    pub policies: LivePolicies,
    /// Tells the time.
    pub clock: SharedClock,
    /// Where the role counts.
    pub metrics: Metrics,
}

/// The healer role.
#[derive(Clone)]
pub struct Service {
    healer: Arc<Healer>,
}

/// What every part of the role needs.
pub(crate) struct Healer {
    pub(crate) config: Config,
    /// Name under which cases are held; another one in every process.
    pub(crate) worker: String,
    pub(crate) store: Arc<dyn HealingStore>,
    pub(crate) action_log: Arc<dyn ActionLog>,
    pub(crate) levers: Levers,
    pub(crate) quarantine: QuarantineServiceClient<RoleChannel>,
    pub(crate) sentinel: Peers,
    pub(crate) policies: LivePolicies,
    pub(crate) clock: SharedClock,
    pub(crate) metrics: Metrics,
    state: watch::Sender<State>,
}

/// How the role is, for whoever reports readiness.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Why quarantine could not be asked for a case the last time; `None` while it can, and before it was asked.
    pub quarantine_error: Option<String>,
    /// Why the store of healings could not be read or written the last time; `None` while it can.
    pub store_error: Option<String>,
}

impl Healer {
    /// Notes whether quarantine answers; says so once.
    pub(crate) fn said_by_quarantine<T>(&self, answer: &Result<T, Error>) {
        let error = answer.as_ref().err().map(Error::to_string);
        let was_away = self.state.borrow().quarantine_error.is_some();
        match (&error, was_away) {
            (Some(error), false) => tracing::warn!(error, "no case can be taken; trying again"),
            (None, true) => tracing::info!("cases can be taken again"),
            (Some(_), true) | (None, false) => {}
        }
        note(&self.state, error, |state| &mut state.quarantine_error);
    }

    /// Notes whether the store answers; says so once.
    pub(crate) fn said_by_store<T>(&self, answer: &Result<T, StorageError>) {
        let error = answer.as_ref().err().map(StorageError::to_string);
        let was_away = self.state.borrow().store_error.is_some();
        match (&error, was_away) {
            (Some(error), false) => tracing::warn!(error, "the store of healings does not answer"),
            (None, true) => tracing::info!("the store of healings answers again"),
            (Some(_), true) | (None, false) => {}
        }
        note(&self.state, error, |state| &mut state.store_error);
    }

    /// What holds for the agent of a case.
    pub(crate) fn policy(&self, case: &Case) -> Arc<Policy> {
        let (agent_type, namespace) = (case.agent_type.as_deref(), case.namespace.as_deref());
        self.policies
            .resolve(&case.key.run, &case.key.agent, agent_type, namespace)
    }
}

fn note(
    state: &watch::Sender<State>,
    error: Option<String>,
    field: impl FnOnce(&mut State) -> &mut Option<String>,
) {
    state.send_if_modified(|state| {
        let field = field(state);
        let is_news = *field != error;
        *field = error;
        is_news
    });
}

impl Service {
    /// Builds the role; nothing runs before [`Service::run`].
    pub fn new(config: Config, dependencies: Dependencies) -> Self {
        let Dependencies {
            healings,
            action_log,
            levers,
            quarantine,
            sentinel,
            policies,
            clock,
            metrics,
        } = dependencies;
        let worker = format!("healer-{}", Uuid::new_v4().simple());
        let store = healings;
        let healer = Healer {
            config,
            worker,
            store,
            action_log,
            levers,
            quarantine,
            sentinel,
            policies,
            clock,
            metrics,
            state: watch::Sender::default(),
        };
        Service {
            healer: Arc::new(healer),
        }
    }

    /// The gRPC service.
    pub fn grpc(&self) -> HealerServiceServer<Self> {
        HealerServiceServer::new(self.clone())
    }

    /// How the role is, and how that changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.healer.state.subscribe()
    }

    /// Heals until the token is cancelled. Cases in hand are left as they are; when their leases have lapsed, after
    /// [`Config::lease_ms`] at most, another healer claims them and goes on under the same healing ids.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::join!(
            claim::run(self.healer.clone(), shutdown.clone()),
            sweep::run(self.healer, shutdown)
        );
    }
}
