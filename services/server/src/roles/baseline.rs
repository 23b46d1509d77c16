//! Learning what is normal.

use super::{Role, Surroundings};
use immune_baseline::{Config, Dependencies, Metrics, Service};
use immune_bus::Consumer;
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
        store: stores.baselines.clone(),
        bus,
        sentinel: around.channels.peers(Role::Sentinel),
        policies: around.policies.clone(),
        clock: around.clock.clone(),
        metrics: Metrics::register(registry),
    };
    Service::new(config.clone(), dependencies)
}
