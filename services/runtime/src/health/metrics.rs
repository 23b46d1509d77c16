//! The conditions as metrics, read at each scrape, so that they can never say something else than `/readyz`.

use super::Readiness;
use crate::access::RoleName;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

/// A role that this process runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    role: &'static str,
}

impl Readiness {
    /// Metrics that the registry serves: `immune_runtime_ready`, one `immune_runtime_condition` per condition, and one
    /// `immune_runtime_role` per role of this process, so that a role that runs nowhere is a series that is absent.
    pub fn register(&self, roles: impl IntoIterator<Item = RoleName>, registry: &mut Registry) {
        let runs: Family<RunLabels, Gauge> = Family::default();
        for role in roles {
            let labels = RunLabels { role: role.as_str() };
            runs.get_or_create(&labels).set(1);
        }
        registry.register("immune_runtime_role", "Roles that this process runs: 1", runs);
        registry.register_collector(Box::new(self.clone()));
    }
}

impl Collector for Readiness {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let report = self.report();
        let ready = ConstGauge::new(i64::from(report.ready));
        let help = "Whether this process can do its part: 1, else 0";
        ready.encode(encoder.encode_descriptor("immune_runtime_ready", help, None, MetricType::Gauge)?)?;
        if report.conditions.is_empty() {
            return Ok(());
        }
        let help = "Whether a condition of readiness holds: 1, else 0";
        let mut conditions =
            encoder.encode_descriptor("immune_runtime_condition", help, None, MetricType::Gauge)?;
        for (name, standing) in &report.conditions {
            let labels = [("condition", &**name)];
            ConstGauge::new(i64::from(standing.ok)).encode(conditions.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;

    /// Scenario: one of two conditions does not hold; then it does; then the process drains.
    /// Guarantees: each scrape tells how it is then, and which roles run here.
    #[test]
    fn conditions_are_told_as_they_are() {
        let readiness = Readiness::new();
        let mut registry = Registry::default();
        readiness.register([RoleName::Sentinel], &mut registry);
        let scrape = |registry: &Registry| {
            let mut text = String::new();
            encode(&mut text, registry).unwrap();
            text
        };
        readiness.condition("PostgreSQL").ok();
        let profiles = readiness.condition("profiles");
        let text = scrape(&registry);
        assert!(
            text.contains("immune_runtime_role{role=\"sentinel\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("immune_runtime_ready 0\n"), "{text}");
        assert!(
            text.contains("immune_runtime_condition{condition=\"PostgreSQL\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("immune_runtime_condition{condition=\"profiles\"} 0\n"),
            "{text}"
        );
        profiles.ok();
        assert!(scrape(&registry).contains("immune_runtime_ready 1\n"));
        readiness.drain();
        let text = scrape(&registry);
        assert!(text.contains("immune_runtime_ready 0\n"), "{text}");
        assert!(
            text.contains("immune_runtime_condition{condition=\"process\"} 0\n"),
            "{text}"
        );
    }
}
