//! The lever that acts through Kubernetes itself: contains agents by network policy and by scale, heals them by
//! restarting, rolling back, reducing and cloning their workloads.
//!
//! What it may touch is configuration and labels, never telemetry alone ([`names`]). Every step is repeatable: what is
//! applied is a statement, and what is done once leaves the mark of its order on the object in the same write. A
//! receipt is what was read back.
//!
//! What it is not: it cannot see whether the cluster's network plugin enforces policies. An agent that goes on acting
//! is seen by its telemetry, and the case says `breached`; `scale_to_zero` leaves nothing to enforce.
//!
//! - `find`: which workload is the agent's.
//! - `contain`: quarantine and release, `heal`: the four actions.
//! - [`access`]: the rights that it needs, which the chart grants and nothing beyond.
//!
//! To add a kind of workload: name it in `kinds`; to add an action, a file in `heal`.

pub mod access;
mod api;
mod config;
mod contain;
mod error;
mod events;
mod find;
mod heal;
mod kinds;
pub mod names;
mod uninstall;

pub use config::{Config, Peer};
pub use uninstall::Removed;

use api::Server;
use async_trait::async_trait;
use error::Trouble;
use immune_domain::case::Containment;
use immune_domain::{AgentKey, ErrorKind};
use immune_levers::{Answer, Ask, Lever, Observed, Order};
use kube::client::ClientBuilder;
use kube::runtime::events::{Recorder, Reporter};
use std::path::Path;
use std::time::Duration;
use tower::limit::RateLimitLayer;

/// The lever's name in policy and in receipts.
pub const NAME: &str = "kubernetes";

/// The lever that acts through Kubernetes.
pub struct Kubernetes {
    server: Server,
    config: Config,
    recorder: Recorder,
}

/// Why the lever could not be made, or could not undo what it did.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// The configuration is wrong; each mistake with its path.
    #[error("{}", .0.join("; "))]
    Config(Vec<String>),
    /// It is not known where the cluster is, or with which credentials.
    #[error(
        "no cluster is known: give a kubeconfig file, or run in a pod with its service account's token mounted"
    )]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The API server could not be asked, or said no.
    #[error("{0}")]
    Asked(String),
}

impl KubernetesError {
    /// Who can mend it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            KubernetesError::Config(_) | KubernetesError::Unknown(_) => ErrorKind::Invalid,
            KubernetesError::Asked(_) => ErrorKind::Unavailable,
        }
    }
}

impl Kubernetes {
    /// A lever for the cluster that the configuration names. Connects to nobody yet.
    ///
    /// # Errors
    /// When the configuration is wrong, or no cluster is known.
    pub async fn connect(config: &Config) -> Result<Self, KubernetesError> {
        let mut mistakes = Vec::new();
        config.check("levers.kubernetes", &mut mistakes);
        if !mistakes.is_empty() {
            return Err(KubernetesError::Config(mistakes));
        }
        let client = client(config).await?;
        Ok(Kubernetes::new(client, config.clone()))
    }

    /// A lever for the cluster of this client.
    pub fn new(client: kube::Client, config: Config) -> Self {
        let reporter = Reporter {
            controller: "immune.io/levers".to_owned(),
            instance: None,
        };
        Kubernetes {
            recorder: Recorder::new(client.clone(), reporter),
            server: Server(client),
            config,
        }
    }
}

/// The cluster that a kubeconfig file names; without one the pod's own, else the one of `KUBECONFIG` or
/// `~/.kube/config`.
///
/// # Errors
/// When none is known.
pub async fn cluster(kubeconfig: Option<&Path>) -> Result<kube::Config, KubernetesError> {
    let unknown = |error: Box<dyn std::error::Error + Send + Sync>| KubernetesError::Unknown(error);
    let mut cluster = match kubeconfig {
        Some(path) => {
            let file = kube::config::Kubeconfig::read_from(path).map_err(|error| unknown(error.into()))?;
            kube::Config::from_custom_kubeconfig(file, &Default::default())
                .await
                .map_err(|error| unknown(error.into()))?
        }
        None => kube::Config::infer()
            .await
            .map_err(|error| unknown(error.into()))?,
    };
    cluster.connect_timeout = Some(Duration::from_secs(5));
    Ok(cluster)
}

/// A client for the cluster that the configuration names, kept to its rate; refusals for load (429, 503) are waited
/// out by the client itself.
async fn client(config: &Config) -> Result<kube::Client, KubernetesError> {
    // Two TLS stacks in one process need to be told which to use; another choice may already be made.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let unknown = |error: kube::Error| KubernetesError::Unknown(error.into());
    let mut cluster = cluster(config.kubeconfig.as_deref()).await?;
    cluster.read_timeout = Some(Duration::from_secs(15));
    cluster.write_timeout = Some(Duration::from_secs(15));
    let builder = ClientBuilder::try_from(cluster).map_err(unknown)?;
    let limit = RateLimitLayer::new(u64::from(config.requests_per_second), Duration::from_secs(1));
    Ok(builder.with_layer(&limit).build())
}

#[async_trait]
impl Lever for Kubernetes {
    fn name(&self) -> &str {
        NAME
    }

    async fn ask(&self, ask: &Ask) -> Answer {
        let acting = async {
            match ask.order {
                Order::Contain(Containment::Contained) => self.contain(ask).await,
                Order::Contain(Containment::Probation | Containment::Free) => self.release(ask).await,
                Order::Heal(action) => self.heal(ask, action).await,
            }
        };
        let ended = tokio::time::timeout(self.config.deadline(), acting).await;
        let late = || {
            let seconds = self.config.deadline_seconds;
            Err(Trouble::Pending(format!(
                "the API server did not answer within {seconds} s"
            )))
        };
        ended
            .unwrap_or_else(|_| late())
            .unwrap_or_else(|trouble| trouble.answer())
    }

    async fn observe(&self, key: &AgentKey) -> Option<Observed> {
        let looked = tokio::time::timeout(self.config.deadline(), self.look(key)).await;
        match looked {
            Ok(Ok(observed)) => Some(observed),
            Ok(Err(trouble)) => {
                tracing::debug!(agent = %key, %trouble, "the cluster cannot tell of an agent");
                None
            }
            Err(_) => None,
        }
    }
}
