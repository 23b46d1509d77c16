//! Containing and deciding.

use super::Surroundings;
use immune_levers::Levers;
use immune_quarantine::{Config, Dependencies, Metrics, Service};
use immune_store::Stores;
use prometheus_client::registry::Registry;

/// Builds the role; `is_shared` where several processes may work on one store.
pub fn build(
    config: &Config,
    around: &Surroundings<'_>,
    stores: &Stores,
    levers: &Levers,
    is_shared: bool,
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
    let mut config = config.clone();
    if config.replica.is_empty() && !is_shared {
        // One process at a time has an embedded store: after a crash the next one may go on at once with what the
        // last one had claimed.
        config.replica = "the-only-one".to_owned();
    }
    Service::new(config, dependencies)
}
