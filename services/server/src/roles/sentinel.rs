//! Judging.

use super::{Role, Surroundings};
use immune_bus::Consumer;
use immune_sentinel::{Config, Dependencies, Metrics, Service};
use immune_store::Stores;
use prometheus_client::registry::Registry;

/// Builds the role.
pub fn build(
    config: &Config,
    around: &Surroundings<'_>,
    stores: &Stores,
    bus: Box<dyn Consumer>,
    registry: &mut Registry,
) -> Service {
    let dependencies = Dependencies {
        bus,
        store: stores.vitals.clone(),
        baseline: around.channels.peers(Role::Baseline),
        quarantine: around.channels.peers(Role::Quarantine),
        policies: around.policies.clone(),
        clock: around.clock.clone(),
        metrics: Metrics::register(registry),
    };
    Service::new(config.clone(), dependencies)
}
