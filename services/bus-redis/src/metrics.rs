//! What the bus over Redis counts. The label `consumer` is a role's name.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// A consumer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ConsumerLabels {
    /// Its role's name.
    pub consumer: String,
}

/// Counters and gauges, named `immune_bus_redis_...`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Entries that Redis took.
    pub entries_published: Counter,
    /// Records in them.
    pub records_published: Counter,
    /// Bytes of them, as sent.
    pub bytes_published: Counter,
    /// Entries sent again within a publication, because Redis did not take them or did not say so.
    pub entries_repeated: Counter,
    /// Publications that failed.
    pub publications_failed: Counter,
    /// Connections made again after one was lost.
    pub reconnects: Counter,
    /// Records delivered.
    pub records_delivered: Family<ConsumerLabels, Counter>,
    /// Records that could not be read.
    pub records_unreadable: Family<ConsumerLabels, Counter>,
    /// Entries that Redis dropped before they were read.
    pub entries_trimmed: Family<ConsumerLabels, Counter>,
    /// Times that Redis turned out to have lost the latest entries or positions.
    pub data_losses: Family<ConsumerLabels, Counter>,
    /// Partitions held.
    pub partitions_held: Family<ConsumerLabels, Gauge>,
    /// Partitions gained.
    pub partitions_gained: Family<ConsumerLabels, Counter>,
    /// Partitions lost or given up.
    pub partitions_lost: Family<ConsumerLabels, Counter>,
    /// Age of the oldest entry that was read and is not acknowledged, seconds.
    pub lag: Family<ConsumerLabels, Gauge<f64, AtomicU64>>,
}

/// The metrics of one consumer, looked up once.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerMetrics {
    pub(crate) records_delivered: Counter,
    pub(crate) records_unreadable: Counter,
    pub(crate) entries_trimmed: Counter,
    pub(crate) data_losses: Counter,
    pub(crate) partitions_held: Gauge,
    pub(crate) partitions_gained: Counter,
    pub(crate) partitions_lost: Counter,
    pub(crate) lag: Gauge<f64, AtomicU64>,
}

impl Metrics {
    /// Metrics that the registry knows. One is enough for a process, whichever ends it has.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Metrics::default();
        let name = |thing: &str| format!("immune_bus_redis_{thing}");
        let mut counter = |thing: &str, help: &str, counter: &Counter| {
            registry.register(name(thing), help, counter.clone());
        };
        counter(
            "entries_published",
            "Entries that Redis took",
            &m.entries_published,
        );
        counter("records_published", "Records in them", &m.records_published);
        counter("bytes_published", "Bytes of them, as sent", &m.bytes_published);
        counter(
            "entries_repeated",
            "Entries sent again within a publication",
            &m.entries_repeated,
        );
        counter(
            "publications_failed",
            "Publications that failed",
            &m.publications_failed,
        );
        counter("reconnects", "Connections made again", &m.reconnects);
        let mut counters = |thing: &str, help: &str, counters: &Family<ConsumerLabels, Counter>| {
            registry.register(name(thing), help, counters.clone());
        };
        counters("records_delivered", "Records delivered", &m.records_delivered);
        counters(
            "records_unreadable",
            "Records that could not be read",
            &m.records_unreadable,
        );
        counters(
            "entries_trimmed",
            "Entries that Redis dropped before they were read",
            &m.entries_trimmed,
        );
        counters(
            "data_losses",
            "Times that Redis had lost its latest entries or positions",
            &m.data_losses,
        );
        counters("partitions_gained", "Partitions gained", &m.partitions_gained);
        counters(
            "partitions_lost",
            "Partitions lost or given up",
            &m.partitions_lost,
        );
        registry.register(
            name("partitions_held"),
            "Partitions held by this replica",
            m.partitions_held.clone(),
        );
        registry.register(
            name("lag_seconds"),
            "Age of the oldest entry read and not acknowledged, seconds",
            m.lag.clone(),
        );
        m
    }

    /// The metrics of a consumer.
    pub(crate) fn of(&self, consumer: &str) -> ConsumerMetrics {
        let labels = ConsumerLabels {
            consumer: consumer.to_owned(),
        };
        let counter = |family: &Family<ConsumerLabels, Counter>| family.get_or_create(&labels).clone();
        ConsumerMetrics {
            records_delivered: counter(&self.records_delivered),
            records_unreadable: counter(&self.records_unreadable),
            entries_trimmed: counter(&self.entries_trimmed),
            data_losses: counter(&self.data_losses),
            partitions_held: self.partitions_held.get_or_create(&labels).clone(),
            partitions_gained: counter(&self.partitions_gained),
            partitions_lost: counter(&self.partitions_lost),
            lag: self.lag.get_or_create(&labels).clone(),
        }
    }
}
