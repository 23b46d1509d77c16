//! What the store counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters and gauges, named `immune_influx_...`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Points written.
    pub points: Counter,
    /// Records that InfluxDB refused for good.
    pub refused: Counter,
    /// Batches that could not be written at once.
    pub failures: Counter,
    /// Records that went to the spill.
    pub spilled: Counter,
    /// Records that came from the spill into InfluxDB.
    pub replayed: Counter,
    /// Bytes in the spill.
    pub spill_bytes: Gauge,
    /// Bytes of the spill that could not be read back.
    pub spill_damaged: Counter,
    /// Records turned away because the queue or the spill was full.
    pub turned_away: Counter,
    /// Points of other measurements that were mirrored.
    pub mirrored: Counter,
    /// Points of other measurements that found no room or were refused.
    pub mirror_dropped: Counter,
}

impl Metrics {
    /// Metrics that the registry knows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        let counters = [
            ("points_written", "Points written", &metrics.points),
            (
                "records_refused",
                "Records that InfluxDB refused for good",
                &metrics.refused,
            ),
            (
                "write_failures",
                "Batches that could not be written at once",
                &metrics.failures,
            ),
            (
                "records_spilled",
                "Records that went to the spill",
                &metrics.spilled,
            ),
            (
                "records_replayed",
                "Records that came from the spill into InfluxDB",
                &metrics.replayed,
            ),
            (
                "spill_damaged_bytes",
                "Bytes of the spill that could not be read back",
                &metrics.spill_damaged,
            ),
            (
                "records_turned_away",
                "Records turned away because queue or spill was full",
                &metrics.turned_away,
            ),
            (
                "mirror_points_written",
                "Points of other measurements written",
                &metrics.mirrored,
            ),
            (
                "mirror_points_dropped",
                "Points of other measurements without room, or refused",
                &metrics.mirror_dropped,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(format!("immune_influx_{name}"), help, counter.clone());
        }
        registry.register(
            "immune_influx_spill_bytes",
            "Bytes in the spill",
            metrics.spill_bytes.clone(),
        );
        metrics
    }
}
