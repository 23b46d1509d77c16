//! The door for people.

use super::{Role, Surroundings};
use immune_dashboard::{Channels, Config, Dependencies, Metrics, Service};
use immune_notify::Front;
use immune_store::Stores;
use prometheus_client::registry::Registry;

/// Builds the role.
pub fn build(
    config: &Config,
    around: &Surroundings<'_>,
    stores: &Stores,
    notifications: Front,
    registry: &mut Registry,
) -> Service {
    let to = |role| around.channels.peers(role);
    let dependencies = Dependencies {
        vitals: stores.vitals.clone(),
        client_records: stores.client_records.clone(),
        action_log: stores.action_log.clone(),
        channels: Channels {
            ingestion: to(Role::Ingestion),
            baseline: to(Role::Baseline),
            sentinel: to(Role::Sentinel),
            quarantine: to(Role::Quarantine),
            healer: to(Role::Healer),
        },
        policies: around.policies.clone(),
        deployment: around.deployment,
        door: around.door.clone(),
        notifications,
        clock: around.clock.clone(),
        metrics: Metrics::register(registry),
    };
    Service::new(config.clone(), dependencies)
}
