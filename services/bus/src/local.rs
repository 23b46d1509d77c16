//! The in-process bus: one bounded channel per consumer.

use crate::{Arrival, Batch, Begin, BusError, Consumer, Delivery, Partition, Publisher};
use async_trait::async_trait;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a publication waits for a full consumer before it is refused.
pub const PUBLISH_WAIT_MAX: Duration = Duration::from_secs(5);

/// The sending end of an in-process bus.
pub struct LocalPublisher {
    consumers: Vec<(String, mpsc::Sender<Batch>)>,
    wait_max: Duration,
}

impl LocalPublisher {
    /// Waits for another time than [`PUBLISH_WAIT_MAX`] per consumer.
    pub fn waiting(self, wait_max: Duration) -> Self {
        LocalPublisher { wait_max, ..self }
    }
}

/// The receiving end of an in-process bus.
pub struct LocalConsumer {
    stage: Stage,
    receiver: mpsc::Receiver<Batch>,
}

/// How far a consumer has come with the only partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It does not know that it holds it.
    New,
    /// It has not said yet that the deliveries may begin.
    Gained,
    /// Batches are delivered.
    Begun,
}

/// Builds a bus with one consumer per name, each with room for `capacity` batches.
pub fn local(names: &[&str], capacity: usize) -> (LocalPublisher, Vec<LocalConsumer>) {
    let (consumers, receivers) = names
        .iter()
        .map(|name| {
            let (sender, receiver) = mpsc::channel(capacity);
            let consumer = LocalConsumer {
                stage: Stage::New,
                receiver,
            };
            (((*name).to_owned(), sender), consumer)
        })
        .unzip();
    (
        LocalPublisher {
            consumers,
            wait_max: PUBLISH_WAIT_MAX,
        },
        receivers,
    )
}

#[async_trait]
impl Publisher for LocalPublisher {
    async fn publish(&self, batch: Batch) -> Result<(), BusError> {
        // Room is reserved at every consumer before any gets the batch: a refused publication reached nobody, so
        // the sender's retry doubles nothing.
        let mut permits = Vec::with_capacity(self.consumers.len());
        for (name, sender) in &self.consumers {
            match tokio::time::timeout(self.wait_max, sender.reserve()).await {
                Ok(Ok(permit)) => permits.push(permit),
                Ok(Err(_)) => return Err(BusError::Closed),
                Err(_) => {
                    return Err(BusError::Full {
                        consumer: name.clone(),
                    });
                }
            }
        }
        for permit in permits {
            permit.send(batch.clone());
        }
        Ok(())
    }
}

#[async_trait]
impl Consumer for LocalConsumer {
    async fn next(&mut self) -> Option<Arrival> {
        match self.stage {
            Stage::New => {
                self.stage = Stage::Gained;
                return Some(Arrival::Gained(Partition::WHOLE));
            }
            Stage::Gained => std::future::pending().await,
            Stage::Begun => {}
        }
        self.receiver
            .recv()
            .await
            .map(|batch| Arrival::Batch(Delivery::of(batch)))
    }

    async fn begin(&mut self, _partition: Partition, _begin: Begin) {
        self.stage = Stage::Begun;
    }
}
