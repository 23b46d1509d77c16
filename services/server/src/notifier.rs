//! Telling others what happens to cases. Runs where quarantine does, whose events it tells.

use crate::config::Config;
use immune_domain::policy::LivePolicies;
use immune_notify::{Dependencies, Front, Metrics, Notifier};
use immune_runtime::clock::SharedClock;
use immune_store::Stores;
use prometheus_client::registry::Registry;

/// Builds the notifier.
///
/// # Errors
/// When a secret or a certificate of a target cannot be read.
pub fn build(
    config: &Config,
    policies: &LivePolicies,
    stores: &Stores,
    clock: &SharedClock,
    registry: &mut Registry,
) -> anyhow::Result<Notifier> {
    let dependencies = Dependencies {
        notifications: stores.notifications.clone(),
        cases: stores.cases.clone(),
        healings: stores.healings.clone(),
        policies: policies.clone(),
        clock: clock.clone(),
        metrics: Metrics::register(registry),
    };
    let mut notify = config.notify.clone();
    if notify.replica.is_empty() && !config.store.is_shared() {
        // One process at a time has an embedded store: after a crash the next one may go on at once with what the
        // last one had held.
        notify.replica = "the-only-one".to_owned();
    }
    Ok(Notifier::new(&notify, dependencies)?)
}

/// What the dashboard shows of it.
///
/// # Errors
/// When a secret of a Slack app cannot be read.
pub fn front(config: &Config, stores: &Stores) -> anyhow::Result<Front> {
    Ok(Front::new(&config.notify, stores.notifications.clone())?)
}
