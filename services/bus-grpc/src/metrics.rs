//! What the bus over gRPC counts, on either end. The label `consumer` is a role's name.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A consumer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ConsumerLabels {
    /// Its role's name.
    pub consumer: String,
}

/// A consumer, and why it did not take a publication: a word of a closed list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// Its role's name.
    pub consumer: String,
    /// Which.
    pub reason: &'static str,
}

/// Counters and gauges, named `immune_bus_grpc_...`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Batches sent, the first time. Publisher.
    pub sent: Family<ConsumerLabels, Counter>,
    /// Batches sent again because the consumer had not settled them when its stream broke. Publisher.
    pub resent: Family<ConsumerLabels, Counter>,
    /// Batches kept because the consumer has not settled them. Publisher.
    pub unsettled: Family<ConsumerLabels, Gauge>,
    /// What they hold, bytes. Publisher.
    pub unsettled_bytes: Family<ConsumerLabels, Gauge>,
    /// Streams that ended and are opened again. Publisher.
    pub reconnects: Family<ConsumerLabels, Counter>,
    /// Publications refused, by consumer and reason (`full`, `away`, `undivided`, `refused`). Publisher.
    pub publications_refused: Family<RefusalLabels, Counter>,
    /// Batches taken into the queue. Consumer.
    pub received: Family<ConsumerLabels, Counter>,
    /// Batches dropped because they had been received before. Consumer.
    pub repeated: Family<ConsumerLabels, Counter>,
    /// Batches that wait in the queue. Consumer.
    pub queued: Family<ConsumerLabels, Gauge>,
    /// Publishers with an open stream. Consumer.
    pub publishers: Family<ConsumerLabels, Gauge>,
}

impl Metrics {
    /// Metrics that the registry knows. One is enough for a process, whichever ends it has.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Metrics::default();
        let name = |thing: &str| format!("immune_bus_grpc_{thing}");
        registry.register(name("batches_sent"), "Batches sent to a consumer", m.sent.clone());
        let resent = "Unsettled batches sent again after a stream broke";
        registry.register(name("batches_resent"), resent, m.resent.clone());
        let unsettled = "Batches that a consumer has not settled";
        registry.register(name("batches_unsettled"), unsettled, m.unsettled.clone());
        let bytes = "Memory of batches that a consumer has not settled, bytes";
        registry.register(name("unsettled_bytes"), bytes, m.unsettled_bytes.clone());
        let reconnects = "Streams to a consumer that broke and are opened again";
        registry.register(name("reconnects"), reconnects, m.reconnects.clone());
        let refused = "Publications refused, by consumer and reason";
        registry.register(
            name("publications_refused"),
            refused,
            m.publications_refused.clone(),
        );
        let received = "Batches received by this consumer";
        registry.register(name("batches_received"), received, m.received.clone());
        let repeated = "Batches dropped because they had been received before";
        registry.register(name("batches_repeated"), repeated, m.repeated.clone());
        let queued = "Batches that wait for this consumer";
        registry.register(name("batches_queued"), queued, m.queued.clone());
        let publishers = "Publishers with an open stream to this consumer";
        registry.register(name("publishers"), publishers, m.publishers.clone());
        m
    }
}

/// The metrics of one consumer, looked up once.
pub(crate) fn of(consumer: &str) -> ConsumerLabels {
    ConsumerLabels {
        consumer: consumer.to_owned(),
    }
}
