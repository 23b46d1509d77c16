//! Judging.

use super::{Role, Surroundings};
use crate::config::Config;
use immune_bus::Consumer;
use immune_sentinel::replay::Settings;
use immune_sentinel::{Dependencies, Metrics, Service};
use immune_store::Stores;
use prometheus_client::registry::Registry;
use std::time::Duration;

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
        replay: Settings {
            severity_growth_min: config.sentinel.severity_growth_min,
            learn_late: Duration::from_secs(config.baseline.learn_late_seconds),
            stale_after: Duration::from_secs(config.baseline.stale_after_seconds),
        },
    };
    Service::new(config.sentinel.clone(), dependencies)
}
