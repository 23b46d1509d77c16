//! Containing and deciding.

use super::Surroundings;
use immune_levers::Levers;
use immune_quarantine::{Config, Dependencies, Metrics, Service};
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
        cases: stores.cases.clone(),
        action_log: stores.action_log.clone(),
        vitals: stores.vitals.clone(),
        levers: levers.clone(),
        policies: around.policies.clone(),
        clock: around.clock.clone(),
        metrics: Metrics::register(registry),
    };
    Service::new(config.clone(), dependencies)
}
