//! Outgoing notifications: what happens to cases, told to webhooks, chats and pagers; and the buttons of chats.
//!
//! Every target has a courier of its own, so that one that hangs or is away holds up nobody else. A courier holds its
//! target by lease (of several replicas one delivers), takes events in from the store's order of all events, and tells
//! them: those of one case in order, as often as the rate allows, again and again until it is delivered or given up.
//! What waits is in the store, so memory stays bounded however long a receiver is away, and nothing here is ever asked
//! by the workflow.
//!
//! Delivery is at least once. An event has one id for its receiver, whoever sends it and however often: programs drop
//! what they know, PagerDuty and Alertmanager fold by it, and in Slack a message is looked for before it is posted again.
//!
//! Not here: deciding (a click is handed to the dashboard, which asks quarantine like any other decision), and knowing
//! what happens (quarantine writes the events).
//!
//! - [`config`]: whom to tell what.
//! - [`kind`]: kinds of news.
//! - `courier`, `round`, `trouble`: one target's loop, one look of it, and what failures mean.
//! - `targets`: one file per kind of receiver; there is how to add one.
//! - [`sign`]: signatures, ours and Slack's.
//! - [`Front`]: what the dashboard shows and does; [`Clicks`]: buttons that were pressed in Slack.

pub mod config;
mod courier;
mod front;
mod http;
pub mod kind;
pub mod metrics;
mod news;
mod office;
mod pace;
mod round;
pub mod sign;
mod targets;
mod trouble;
mod words;

pub use config::Config;
pub use front::Front;
pub use http::SetupError;
pub use metrics::Metrics;
pub use targets::slack::blocks::stamp;
pub use targets::slack::click::{Click, Clicks, NoClick};

use courier::Courier;
use immune_domain::policy::LivePolicies;
use immune_runtime::clock::SharedClock;
use immune_store::{CaseStore, HealingStore, NotificationStore};
use office::Office;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Time between two counts of what waits.
const CENSUS_EVERY: Duration = Duration::from_secs(15);

/// What the notifier is built from.
pub struct Dependencies {
    /// What targets have still to be told; the notifier owns it.
    pub notifications: Arc<dyn NotificationStore>,
    /// Events and cases, to read.
    pub cases: Arc<dyn CaseStore>,
    /// What helped before, to say what would be done.
    pub healings: Arc<dyn HealingStore>,
    /// Which ladder holds for which agent.
    pub policies: LivePolicies,
    /// Tells the time.
    pub clock: SharedClock,
    /// Where the notifier counts.
    pub metrics: Metrics,
}

/// The notifier of a process.
pub struct Notifier {
    office: Arc<Office>,
    couriers: Vec<Courier>,
}

impl Notifier {
    /// Builds a courier for every target.
    ///
    /// # Errors
    /// When a secret or a certificate of a target cannot be read.
    pub fn new(config: &Config, dependencies: Dependencies) -> Result<Self, SetupError> {
        let office = Arc::new(Office::new(config.clone(), dependencies));
        let couriers = config.targets.iter().map(|target| Courier::new(&office, target));
        let couriers = couriers.collect::<Result<Vec<Courier>, SetupError>>()?;
        Ok(Notifier { office, couriers })
    }

    /// Delivers until the token is cancelled. What is under way gets [`courier::DRAIN_MAX`] to end; what does not end
    /// is told again, by another replica or at the next start.
    pub async fn run(self, shutdown: CancellationToken) {
        if self.couriers.is_empty() {
            return shutdown.cancelled().await;
        }
        let mut tasks = JoinSet::new();
        for courier in self.couriers {
            tasks.spawn(courier.run(shutdown.clone()));
        }
        let census = async {
            loop {
                self.office.count().await;
                tokio::time::sleep(CENSUS_EVERY).await;
            }
        };
        tokio::select! {
            () = census => {}
            () = async { while tasks.join_next().await.is_some() {} } => {}
        }
        if let Err(error) = self.office.notifications.let_go(&self.office.worker).await {
            tracing::warn!(%error, "targets stay held until their lease lapses");
        }
    }
}
