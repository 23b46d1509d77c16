//! The receiving end.

mod conversation;
mod ledger;
mod origin;
mod service;

pub use service::Receiver;

use crate::metrics::{self, Metrics};
use crate::{Config, MESSAGE_BYTES_MAX};
use async_trait::async_trait;
use immune_bus::{Arrival, Batch, Begin, Consumer, Delivery, Partition};
use immune_proto::v1::vitals_bus_service_server::VitalsBusServiceServer;
use ledger::Ledger;
use origin::Origin;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

/// An entry that waits for the role.
struct Queued {
    origin: Arc<Origin>,
    sequence: u64,
    batch: Batch,
    /// Its part of the queue's memory.
    room: OwnedSemaphorePermit,
}

/// The receiving end of one role's replica: the service that publishers reach, to be added to the role's server, and
/// the consumer that the role reads.
///
/// When `shutdown` is cancelled no more is taken, the consumer gives what it has and then `None`, and the streams
/// end when all of that is acknowledged or the consumer is dropped.
pub fn server(
    name: &str,
    config: &Config,
    metrics: &Metrics,
    shutdown: CancellationToken,
) -> (VitalsBusServiceServer<Receiver>, GrpcConsumer) {
    // Every queued entry holds a share of the memory that `queue_bytes_max` bounds, and each publisher's number of
    // entries is bounded as well; the channel itself need not be.
    let (entries, queue) = mpsc::unbounded_channel();
    let gone = CancellationToken::new();
    let queued = metrics.queued.get_or_create_owned(&metrics::of(name));
    let receiver = Receiver::new(name, config, metrics, entries, shutdown.clone(), gone.clone());
    let consumer = GrpcConsumer {
        queue,
        ledger: Arc::default(),
        phase: Phase::New,
        shutdown,
        queued,
        _gone: gone.drop_guard(),
    };
    let service = VitalsBusServiceServer::new(receiver).max_decoding_message_size(MESSAGE_BYTES_MAX);
    (service, consumer)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The role does not know yet that it holds the partition.
    New,
    /// It has not said where to begin.
    Gained,
    Begun,
    /// No more comes in.
    Draining,
}

/// The receiving end: one partition, [`Partition::WHOLE`], held from the start.
///
/// Where it begins is not the role's choice: publishers send what was not acknowledged, and nothing else is kept.
/// Deliveries have no place, since there is nothing that could be asked for again by its name.
pub struct GrpcConsumer {
    queue: mpsc::UnboundedReceiver<Queued>,
    ledger: Arc<Ledger>,
    phase: Phase,
    shutdown: CancellationToken,
    queued: Gauge,
    _gone: DropGuard,
}

impl GrpcConsumer {
    fn hand_out(&mut self, entry: Queued) -> Arrival {
        let Queued {
            origin,
            sequence,
            batch,
            room,
        } = entry;
        drop(room);
        self.queued.dec();
        origin.handed_out();
        let number = self.ledger.hand_out(origin, sequence);
        let ledger = self.ledger.clone();
        let ack = Box::new(move || ledger.settle(number));
        Arrival::Batch(Delivery::new(batch, Partition::WHOLE, None, ack))
    }
}

#[async_trait]
impl Consumer for GrpcConsumer {
    async fn next(&mut self) -> Option<Arrival> {
        match self.phase {
            Phase::New => {
                self.phase = Phase::Gained;
                return Some(Arrival::Gained(Partition::WHOLE));
            }
            Phase::Gained => {
                // Nobody can say where to begin while this waits: `begin` needs the consumer, too.
                self.shutdown.cancelled().await;
                return None;
            }
            Phase::Begun => tokio::select! {
                biased;
                () = self.shutdown.cancelled() => {
                    // What publishers send from now on is refused, and stays with them.
                    self.queue.close();
                    self.phase = Phase::Draining;
                }
                entry = self.queue.recv() => return entry.map(|entry| self.hand_out(entry)),
            },
            Phase::Draining => {}
        }
        let entry = self.queue.recv().await?;
        Some(self.hand_out(entry))
    }

    async fn begin(&mut self, _partition: Partition, _begin: Begin) {
        if self.phase == Phase::Gained {
            self.phase = Phase::Begun;
        }
    }
}
