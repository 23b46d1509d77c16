//! The door for people.

use super::{Role, Surroundings};
use immune_dashboard::{Channels, Config, Dependencies, Metrics, Service};
use immune_store::Stores;
use prometheus_client::registry::Registry;

/// Builds the role.
pub fn build(
    config: &Config,
    around: &Surroundings<'_>,
    stores: &Stores,
    registry: &mut Registry,
) -> Service {
    let to = |role| around.channels.to(role);
    let dependencies = Dependencies {
        vitals: stores.vitals.clone(),
        client_records: stores.client_records.clone(),
        action_log: stores.action_log.clone(),
        channels: Channels {
            ingestion: to(Role::Ingestion),
            baseline: around.channels.peers(Role::Baseline),
            sentinel: around.channels.peers(Role::Sentinel),
            quarantine: to(Role::Quarantine),
            healer: to(Role::Healer),
        },
        policies: around.policies.clone(),
        keys: around.keys.clone(),
        clock: around.clock.clone(),
        metrics: Metrics::register(registry),
    };
    Service::new(config.clone(), dependencies)
}
