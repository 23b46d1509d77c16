//! The healer role: takes cases that may be healed, acts through levers, proves recovery, remembers what helped.
//!
//! Every step is written down before it is taken (in the case, then in the healing's own record, then with the
//! lever), and the verdict is written down before it is reported. A healer that dies at any point is followed by
//! another that reads where it was and goes on under the same healing id, which is also the lever's idempotency key:
//! nothing is done twice.
//!
//! Not here: whether a case may be healed and what follows a step (`immune_domain::case`, asked through the
//! quarantine role), the order of actions (`immune_domain::healing`), whether executions are within the baseline
//! (the sentinel).
//!
//! - [`claim`]: takes cases, a bounded number at a time.
//! - [`job`]: one case in hand: holds the lease, does what its state asks for.
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
pub mod metrics;
pub mod probation;
pub mod sweep;

pub use config::Config;
pub use error::Error;
pub use metrics::Metrics;

use immune_domain::case::Case;
use immune_domain::policy::{Compiled, Policies, Policy};
use immune_levers::Levers;
use immune_proto::v1::healer_service_server::HealerServiceServer;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_proto::v1::sentinel_service_client::SentinelServiceClient;
use immune_runtime::clock::SharedClock;
use immune_store::{ActionLog, HealingStore};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
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
    pub quarantine: QuarantineServiceClient<Channel>,
    /// Whether an agent is well again.
    pub sentinel: SentinelServiceClient<Channel>,
    /// Which rules hold for which agent.
    pub policies: Policies,
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
    pub(crate) quarantine: QuarantineServiceClient<Channel>,
    pub(crate) sentinel: SentinelServiceClient<Channel>,
    pub(crate) policies: Compiled,
    pub(crate) clock: SharedClock,
    pub(crate) metrics: Metrics,
}

impl Healer {
    /// What holds for the agent of a case.
    pub(crate) fn policy(&self, case: &Case) -> &Arc<Policy> {
        let (agent_type, namespace) = (case.agent_type.as_deref(), case.namespace.as_deref());
        self.policies
            .resolve(&case.key.run, &case.key.agent, agent_type, namespace)
    }
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
        let policies = policies.compile();
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
        };
        Service {
            healer: Arc::new(healer),
        }
    }

    /// The gRPC service.
    pub fn grpc(&self) -> HealerServiceServer<Self> {
        HealerServiceServer::new(self.clone())
    }

    /// Heals until the token is cancelled. Cases in hand are left as they are; whoever claims them goes on.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::join!(
            claim::run(self.healer.clone(), shutdown.clone()),
            sweep::run(self.healer, shutdown)
        );
    }
}
