//! OTLP in, vitals out.

use super::{Role, Surroundings};
use immune_bus::Publisher;
use immune_ingestion::{Config, Dependencies, Metrics, Service};
use immune_store::Stores;
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// Builds the role.
pub fn build(
    config: &Config,
    around: &Surroundings<'_>,
    stores: &Stores,
    bus: Arc<dyn Publisher>,
    registry: &mut Registry,
) -> Service {
    let dependencies = Dependencies {
        store: stores.vitals.clone(),
        bus,
        baseline: around.channels.peers(Role::Baseline),
        door: around.door.clone(),
        clock: around.clock.clone(),
        metrics: Metrics::register(registry),
    };
    Service::new(config.clone(), dependencies)
}
