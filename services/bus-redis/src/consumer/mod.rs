//! The receiving end: one replica of one consumer.

mod hold;
mod holds;
#[cfg(test)]
mod holds_tests;
mod keeper;
mod reader;
mod reply;
mod share;
mod tenure;

use crate::link::{Link, Site};
use crate::metrics::ConsumerMetrics;
use async_trait::async_trait;
use holds::Holds;
use immune_bus::{Arrival, Begin, Consumer, Delivery, Partition};
use keeper::Keeper;
use reader::{BLOCK, Item, Reader};
use std::sync::Arc;
use tenure::{Life, News};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Holds partitions of the bus and hands out their entries.
pub(crate) struct RedisConsumer {
    partitions: u16,
    holds: Arc<Holds>,
    queue: mpsc::Receiver<Item>,
    room: Arc<Semaphore>,
    metrics: ConsumerMetrics,
}

/// Ends a consumer from outside.
#[derive(Clone)]
pub(crate) struct Ending(Arc<Holds>);

impl Ending {
    /// The consumer delivers nothing more.
    pub(crate) fn close(&self) {
        self.0.advance_life(Life::Closing);
    }

    /// Its leases are given back though it is still there.
    pub(crate) fn end(&self) {
        self.0.advance_life(Life::Ended);
    }

    /// Whether it is gone.
    pub(crate) fn is_over(&self) -> bool {
        self.0.life() == Life::Ended
    }
}

impl RedisConsumer {
    /// Starts a replica, whose work is tracked until its leases are given back.
    pub(crate) fn start(site: &Arc<Site>, name: &str, worker: &str, tasks: &TaskTracker) -> (Self, Ending) {
        let config = &site.config;
        let holds = Arc::new(Holds::default());
        let metrics = site.metrics.of(name);
        let (sender, queue) = mpsc::channel(config.queue_entries_max);
        let room = Arc::new(Semaphore::new(config.queue_bytes_max));
        // Several attempts must fit into the time for which a lease is trusted.
        let answer = config.answer_max().min(config.lease() / 4);
        let keeper = Keeper {
            link: Link::new(site.clone(), "leases", answer),
            keys: site.keys.consumer(name),
            site: site.clone(),
            name: name.to_owned(),
            worker: worker.to_owned(),
            holds: holds.clone(),
            metrics: metrics.clone(),
            who: String::new(),
            counted: (0, 0),
        };
        let reader = Reader {
            link: Link::new(site.clone(), "reader", config.answer_max() + BLOCK),
            site: site.clone(),
            name: name.to_owned(),
            holds: holds.clone(),
            metrics: metrics.clone(),
            queue: sender,
            room: room.clone(),
            usual_bytes: 1_024,
        };
        tasks.spawn(keeper.run());
        let closing = holds.closing.clone();
        tasks.spawn(async move { closing.run_until_cancelled_owned(reader.run()).await });
        let consumer = RedisConsumer {
            partitions: config.partitions,
            holds: holds.clone(),
            queue,
            room,
            metrics,
        };
        (consumer, Ending(holds))
    }

    fn partition(&self, index: u16) -> Partition {
        Partition {
            index,
            count: self.partitions,
        }
    }

    fn delivery(&self, item: Item) -> Delivery {
        self.metrics.records_delivered.inc_by(item.batch.len() as u64);
        let holds = self.holds.clone();
        let (tenure, position) = (item.tenure, item.position);
        let ack = Box::new(move || holds.ack(tenure, position));
        let partition = self.partition(tenure.index);
        Delivery::new(item.batch, partition, Some(position.to_string()), ack)
    }
}

#[async_trait]
impl Consumer for RedisConsumer {
    async fn next(&mut self) -> Option<Arrival> {
        loop {
            self.holds.expire(Instant::now());
            if self.holds.life() != Life::Open {
                return None;
            }
            match self.holds.news() {
                Some(News::Gained(index)) => return Some(Arrival::Gained(self.partition(index))),
                Some(News::Lost(index)) => return Some(Arrival::Lost(self.partition(index))),
                None => {}
            }
            let deadline = self.holds.deadline();
            let over = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.holds.consumer.notified() => {}
                item = self.queue.recv() => match item {
                    Some(item) if self.holds.admits(item.tenure, Instant::now()) => {
                        return Some(Arrival::Batch(self.delivery(item)));
                    }
                    // Of a tenure that has ended: whoever has the partition reads it from Redis.
                    Some(_) => {}
                    None => return None,
                },
                () = over => {}
            }
        }
    }

    async fn begin(&mut self, partition: Partition, begin: Begin) {
        if partition.count != self.partitions {
            return;
        }
        if self.holds.begin(partition.index, &begin) {
            tracing::warn!(
                partition = partition.index,
                ?begin,
                "a place of another bus: begins where was acknowledged"
            );
        }
    }
}

impl Drop for RedisConsumer {
    fn drop(&mut self) {
        self.room.close();
        self.holds.advance_life(Life::Ended);
    }
}
