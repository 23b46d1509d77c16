//! The service that publishers reach: who they are, and what their streams share.

use super::Queued;
use super::conversation::Conversation;
use super::origin::{Origin, Room};
use crate::Config;
use crate::metrics::{self, Metrics};
use futures::stream::BoxStream;
use immune_proto::v1::vitals_bus_service_server::VitalsBusService;
use immune_proto::v1::{PublishRequest, PublishResponse};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

/// Serves publishers; made by [`crate::server`].
pub struct Receiver {
    shared: Arc<Shared>,
}

/// What the streams of all publishers share.
pub(super) struct Shared {
    pub(super) queue: mpsc::UnboundedSender<Queued>,
    pub(super) queue_bytes: Arc<Semaphore>,
    pub(super) queue_bytes_max: usize,
    pub(super) room: Room,
    publishers_max: usize,
    publishers: Mutex<Publishers>,
    pub(super) shutdown: CancellationToken,
    /// Cancelled when nobody reads the queue any more.
    pub(super) gone: CancellationToken,
    pub(super) received: Counter,
    pub(super) repeated: Counter,
    pub(super) queued: Gauge,
    connected: Gauge,
}

/// Publishers that were here in this life of the consumer, the ones that left among them: they may come back, and
/// what they repeat is to be known.
#[derive(Default)]
struct Publishers {
    streams: u64,
    known: HashMap<String, Arc<Origin>>,
}

impl Receiver {
    pub(super) fn new(
        name: &str,
        config: &Config,
        metrics: &Metrics,
        queue: mpsc::UnboundedSender<Queued>,
        shutdown: CancellationToken,
        gone: CancellationToken,
    ) -> Self {
        let labels = metrics::of(name);
        let queue_bytes_max = config.queue_bytes_max.min(Semaphore::MAX_PERMITS);
        Receiver {
            shared: Arc::new(Shared {
                queue,
                queue_bytes: Arc::new(Semaphore::new(queue_bytes_max)),
                queue_bytes_max,
                room: Room {
                    queued_max: config.queue_batches,
                    unsettled_max: config.unsettled_batches_max,
                },
                publishers_max: config.publishers_max,
                publishers: Mutex::default(),
                shutdown,
                gone,
                received: metrics.received.get_or_create_owned(&labels),
                repeated: metrics.repeated.get_or_create_owned(&labels),
                queued: metrics.queued.get_or_create_owned(&labels),
                connected: metrics.publishers.get_or_create_owned(&labels),
            }),
        }
    }
}

#[tonic::async_trait]
impl VitalsBusService for Receiver {
    type PublishStream = BoxStream<'static, Result<PublishResponse, Status>>;

    async fn publish(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStream>, Status> {
        let conversation = Conversation::new(self.shared.clone(), request.into_inner());
        Ok(Response::new(Box::pin(conversation.answers())))
    }
}

impl Shared {
    /// A stream for a publisher.
    pub(super) fn attach(self: &Arc<Self>, publisher_id: String) -> Result<Attached, Status> {
        let mut publishers = self.publishers.lock().unwrap_or_else(PoisonError::into_inner);
        publishers.streams += 1;
        let stream = publishers.streams;
        if !publishers.known.contains_key(&publisher_id) && publishers.known.len() >= self.publishers_max {
            // The one that left first is the least likely to come back.
            let gone = publishers
                .known
                .iter()
                .filter_map(|(id, origin)| Some((origin.gone_since()?, id)));
            let Some((_, longest_gone)) = gone.min() else {
                return Err(Status::resource_exhausted(format!(
                    "this consumer serves {} publishers, the most that it may",
                    self.publishers_max
                )));
            };
            let longest_gone = longest_gone.clone();
            publishers.known.remove(&longest_gone);
        }
        let origin = publishers
            .known
            .entry(publisher_id)
            .or_insert_with(|| Arc::new(Origin::new()))
            .clone();
        origin.connect(stream);
        self.count_connected(&publishers);
        Ok(Attached {
            origin,
            stream,
            shared: self.clone(),
        })
    }

    fn count_connected(&self, publishers: &Publishers) {
        let connected = publishers
            .known
            .values()
            .filter(|origin| origin.is_connected())
            .count();
        self.connected.set(i64::try_from(connected).unwrap_or(i64::MAX));
    }
}

/// A stream that speaks for a publisher; it ends when dropped.
pub(super) struct Attached {
    pub(super) origin: Arc<Origin>,
    pub(super) stream: u64,
    shared: Arc<Shared>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        let publishers = self
            .shared
            .publishers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.origin.disconnect(self.stream);
        self.shared.count_connected(&publishers);
    }
}
