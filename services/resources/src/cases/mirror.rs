//! The mirror of a process: it waits until it leads, leads, and hands over.

use super::api::Cluster;
use super::config::{Config, Scope};
use super::decisions::Clerk;
use super::lead::Lead;
use super::metrics::Metrics;
use super::seal::Seal;
use immune_domain::Timestamp;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_runtime::clock::SharedClock;
use immune_runtime::grpc::Peers;
use immune_store::error::Result;
use immune_store::notifications::Hold;
use immune_store::{CaseStore, NotificationStore, StorageError};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Under which name the lead is held; no target of notifications can be called so.
pub const TARGET: &str = "kubernetes/agentcases";
/// The largest answer of quarantine: a whole case, bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How long the store may take for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What the mirror is built from.
pub struct Dependencies {
    /// Cases and their events, to read.
    pub cases: Arc<dyn CaseStore>,
    /// Where the lead is held.
    pub notifications: Arc<dyn NotificationStore>,
    /// The role that decisions go to.
    pub quarantine: Peers,
    /// Tells sealed decisions from forged ones.
    pub seal: Arc<dyn Seal>,
    /// Tells the time.
    pub clock: SharedClock,
    /// Name of this process among its replicas (the pod); two may not share one.
    pub replica: String,
}

/// How the mirror is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Whether this process is the one that writes.
    pub is_leading: bool,
    /// Whether it knows every open case and every object.
    pub is_synced: bool,
    /// Why the API server could not be read or written the last time; `None` while it can.
    pub api_error: Option<String>,
    /// Why the store could not be read the last time; `None` while it can.
    pub store_error: Option<String>,
}

/// What all parts of the mirror share.
pub(crate) struct Office {
    pub config: Config,
    pub scope: Scope,
    pub cases: Arc<dyn CaseStore>,
    pub notifications: Arc<dyn NotificationStore>,
    pub cluster: Arc<Cluster>,
    pub clerk: Arc<Clerk>,
    pub clock: SharedClock,
    pub metrics: Metrics,
    pub worker: String,
    pub state: watch::Sender<State>,
}

/// Shows cases as objects.
pub struct Mirror {
    office: Arc<Office>,
}

/// Builds the mirror. Nothing is asked before it runs.
pub fn build(
    config: &Config,
    scope: Scope,
    client: kube::Client,
    dependencies: Dependencies,
    metrics: Metrics,
) -> Mirror {
    let cluster = Arc::new(Cluster::new(client, config.requests_per_second, metrics.clone()));
    let clerk = Clerk {
        cluster: cluster.clone(),
        cases: dependencies.cases.clone(),
        quarantine: QuarantineServiceClient::new(dependencies.quarantine.any())
            .max_decoding_message_size(ANSWER_BYTES_MAX),
        seal: dependencies.seal,
        clock: dependencies.clock.clone(),
        metrics: metrics.clone(),
        instance: dependencies.replica.clone(),
    };
    let office = Office {
        config: config.clone(),
        scope,
        cases: dependencies.cases,
        notifications: dependencies.notifications,
        cluster,
        clerk: Arc::new(clerk),
        clock: dependencies.clock,
        metrics,
        // Letting go is by name: not the name of the couriers of this process.
        worker: format!("agentcases-{}", dependencies.replica),
        state: watch::Sender::default(),
    };
    Mirror {
        office: Arc::new(office),
    }
}

impl Mirror {
    /// How the mirror is, and how that changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.office.state.subscribe()
    }

    /// Shows cases while this process leads, until the token is cancelled.
    pub async fn run(self, shutdown: CancellationToken) {
        let office = &self.office;
        let pause = office.config.lease() / 3;
        let mut is_away = false;
        while !shutdown.is_cancelled() {
            match office.hold().await {
                Ok(Some(hold)) => {
                    is_away = false;
                    self.lead(hold, &shutdown).await;
                }
                Ok(None) => is_away = false,
                Err(error) if is_away => tracing::debug!(%error, "the lead over AgentCases cannot be held"),
                Err(error) => {
                    is_away = true;
                    tracing::warn!(%error, "AgentCases wait for the store");
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        if let Err(error) = within(office.notifications.let_go(&office.worker)).await {
            tracing::debug!(%error, "the lead over AgentCases stays held until its lease lapses");
        }
    }

    /// Leads until overtaken, the lease lapses, or the process stops.
    async fn lead(&self, hold: Hold, shutdown: &CancellationToken) {
        let office = &self.office;
        let told = Arc::new(AtomicU64::new(hold.cursor));
        office.metrics.leading.set(1);
        office.state.send_modify(|state| {
            *state = State {
                is_leading: true,
                ..State::default()
            };
        });
        tracing::info!(fence = hold.fence, "this process shows cases as AgentCases");
        let lead = Lead::new(office.clone(), hold.cursor, told.clone());
        tokio::select! {
            () = lead.run() => {}
            () = office.keep(hold, &told) => tracing::info!(fence = hold.fence, "this process no longer leads over AgentCases"),
            () = shutdown.cancelled() => {
                office.note(hold.fence, told.load(Ordering::Relaxed)).await;
            }
        }
        office.metrics.leading.set(0);
        office.metrics.api_down.set(0);
        office.state.send_modify(|state| *state = State::default());
    }
}

impl Office {
    async fn hold(&self) -> Result<Option<Hold>> {
        // Matters only when nobody has ever led: what happened before is not told as Events.
        let begin_after = within(self.cases.last_event()).await?;
        self.renew(begin_after).await
    }

    async fn renew(&self, begin_after: u64) -> Result<Option<Hold>> {
        let now = self.clock.now();
        let until = now.plus(self.config.lease());
        within(
            self.notifications
                .hold(TARGET, &self.worker, now, until, begin_after),
        )
        .await
    }

    /// Renews the hold, and notes how far Events were written; returns when somebody else leads, or may.
    async fn keep(&self, hold: Hold, told: &AtomicU64) {
        let lease = self.config.lease();
        let mut renewed_at = Instant::now();
        let mut noted = hold.cursor;
        loop {
            tokio::time::sleep(lease / 3).await;
            let asked_at = Instant::now();
            let lapses_at = renewed_at + lease;
            match tokio::time::timeout_at(lapses_at, self.renew(0)).await {
                Ok(Ok(Some(renewed))) if renewed.fence == hold.fence => renewed_at = asked_at,
                Ok(Ok(_)) => return,
                Ok(Err(error)) if Instant::now() < lapses_at => {
                    tracing::debug!(%error, "the lead over AgentCases could not be renewed");
                }
                Ok(Err(_)) | Err(_) => return,
            }
            let now_told = told.load(Ordering::Relaxed);
            if now_told > noted {
                self.note(hold.fence, now_told).await;
                noted = now_told;
            }
        }
    }

    async fn note(&self, fence: u64, told: u64) {
        // What is not noted is written once more under the same name, which changes nothing.
        if let Err(error) = within(self.notifications.take_in(TARGET, fence, told, &[])).await {
            tracing::debug!(%error, "how far Events were written could not be noted");
        }
    }

    pub fn timestamp(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The store's answer, if it comes in time.
pub(crate) async fn within<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(StorageError::Unavailable {
            doing: "showing cases in Kubernetes",
            source: format!("no answer within {} s", ANSWER_MAX.as_secs()).into(),
        }),
    }
}
