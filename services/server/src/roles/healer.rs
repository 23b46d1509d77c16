//! Healing.

use super::{Role, Surroundings};
use immune_healer::{Config, Dependencies, Metrics, Service};
use immune_levers::Levers;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_store::Stores;
use prometheus_client::registry::Registry;

/// Builds the role.
pub fn build(
    config: &Config,
    around: &Surroundings<'_>,
    stores: &Stores,
    levers: &Levers,
    registry: &mut Registry,
) -> Service {
    let dependencies = Dependencies {
        healings: stores.healings.clone(),
        action_log: stores.action_log.clone(),
        levers: levers.clone(),
        quarantine: QuarantineServiceClient::new(around.channels.to(Role::Quarantine)),
        sentinel: around.channels.peers(Role::Sentinel),
        policies: around.policies.clone(),
        clock: around.clock.clone(),
        metrics: Metrics::register(registry),
    };
    Service::new(config.clone(), dependencies)
}
