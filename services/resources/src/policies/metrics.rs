//! What following policies counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters and gauges, named `immune_resources_polic...`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// ImmunePolicies followed.
    pub followed: Gauge,
    /// Those whose present generation does not hold.
    pub refused: Gauge,
    /// 1 while the API server cannot be followed.
    pub is_away: Gauge,
    /// How often other rules came to hold.
    pub changes: Counter,
}

impl Metrics {
    /// Metrics that the registry knows.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Metrics::default();
        let help = "ImmunePolicy objects that are followed";
        registry.register("immune_resources_policies", help, m.followed.clone());
        let help = "ImmunePolicy objects whose present generation does not hold";
        registry.register("immune_resources_policies_refused", help, m.refused.clone());
        let help = "1 while the Kubernetes API cannot be followed for policies";
        registry.register("immune_resources_policies_api_down", help, m.is_away.clone());
        let help = "Times that other rules came to hold because of the cluster's policies";
        registry.register("immune_resources_policy_changes", help, m.changes.clone());
        m
    }
}
