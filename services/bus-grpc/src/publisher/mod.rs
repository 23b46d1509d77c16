//! The sending end.

mod link;
mod split;
mod stream;

use crate::Config;
use crate::metrics::{Metrics, RefusalLabels};
use async_trait::async_trait;
use immune_bus::{Batch, BusError, Publisher};
use immune_runtime::grpc::{Peer, Peers};
use link::{Link, Obstacle, Part, Receipt};
use split::split;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use stream::Stream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// The sending end: a stream to every consumer, for as long as it lives. Dropping it ends the streams.
pub struct GrpcPublisher {
    links: Arc<[Arc<Link>]>,
    entry_bytes_max: usize,
    wait_max: Duration,
    /// Whose turn it is to look for room and to push; waiters come in order.
    turn: Semaphore,
    sequence: AtomicU64,
    under_way: TaskTracker,
    closing: CancellationToken,
    stopped: CancellationToken,
    metrics: Metrics,
    _stops: DropGuard,
}

/// What a publisher that was closed leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Publications that were given up: their callers were told so.
    pub unpublished: usize,
    /// Batches that consumers have received and not settled. They are lost only if their consumer is killed now.
    pub unsettled: usize,
}

impl GrpcPublisher {
    /// Opens streams to the consumers, by the names of their roles. Needs a tokio runtime; it does not wait for the
    /// consumers.
    pub fn new(consumers: Vec<(String, Peers)>, config: &Config, metrics: Metrics) -> Self {
        let consumers = consumers.into_iter().map(|(name, peers)| (name, peers.each()));
        Self::to_replicas(consumers.collect(), config, metrics)
    }

    /// The same for consumers whose replicas are known otherwise.
    pub fn to_replicas(
        consumers: Vec<(String, watch::Receiver<Arc<[Peer]>>)>,
        config: &Config,
        metrics: Metrics,
    ) -> Self {
        let stopped = CancellationToken::new();
        let publisher_id = uuid::Uuid::new_v4().to_string();
        let links: Vec<Arc<Link>> = consumers
            .into_iter()
            .map(|(name, replicas)| {
                let limits = (config.unsettled_batches_max, config.unsettled_bytes_max);
                let link = Arc::new(Link::new(name, limits.0, limits.1, &metrics));
                let silence_max = Duration::from_secs(config.silence_seconds_max);
                let stream = Stream::new(
                    link.clone(),
                    replicas,
                    publisher_id.clone(),
                    silence_max,
                    &metrics,
                );
                tokio::spawn(stream.run(stopped.clone()));
                link
            })
            .collect();
        GrpcPublisher {
            links: links.into(),
            entry_bytes_max: config.entry_bytes_max,
            wait_max: Duration::from_secs(config.publish_seconds_max),
            turn: Semaphore::new(1),
            sequence: AtomicU64::new(0),
            under_way: TaskTracker::new(),
            closing: CancellationToken::new(),
            _stops: stopped.clone().drop_guard(),
            stopped,
            metrics,
        }
    }

    /// Takes no more, waits until what is under way is received, at most so long, and ends the streams.
    pub async fn close(&self, within: Duration) -> Left {
        self.closing.cancel();
        self.under_way.close();
        // What is still under way afterwards is refused, which the count says.
        let _ = tokio::time::timeout(within, self.under_way.wait()).await;
        let left = Left {
            unpublished: self.under_way.len(),
            unsettled: self.links.iter().map(|link| link.unsettled()).max().unwrap_or(0),
        };
        self.stopped.cancel();
        left
    }

    /// Waits until every consumer has room for so many bytes.
    async fn room(&self, bytes: usize, deadline: Instant) -> Result<(), BusError> {
        let mut link = 0;
        while let Some(next) = self.links.get(link) {
            let mut changes = next.changes();
            match next.obstacle(bytes) {
                None => link += 1,
                // Time alone does not help, and the next publication asks again.
                Some(obstacle @ Obstacle::Undivided(_)) => return Err(self.refused(next, obstacle)),
                Some(obstacle @ (Obstacle::Full | Obstacle::Away(_))) => {
                    tokio::select! {
                        () = self.stopped.cancelled() => return Err(BusError::Closed),
                        waited = timeout_at(deadline, changes.changed()) => if waited.is_err() {
                            return Err(self.refused(next, obstacle));
                        }
                    }
                    // One that had room may have gone away meanwhile.
                    link = 0;
                }
            }
        }
        Ok(())
    }

    /// Waits for the word of every consumer on every part.
    async fn received(&self, handed: &mut Handed, deadline: Instant) -> Result<(), BusError> {
        for (at, receipt) in &mut handed.receipts {
            let link = &self.links[*at];
            let word = tokio::select! {
                () = self.stopped.cancelled() => return Err(BusError::Closed),
                word = timeout_at(deadline, receipt) => word,
            };
            match word {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(refusal))) => {
                    self.count_refused(link, "refused");
                    return Err(BusError::Refused {
                        consumer: link.name().to_owned(),
                        source: Box::new(refusal),
                    });
                }
                // An entry goes away unanswered only when it is withdrawn, by its own publication.
                Ok(Err(_)) => return Err(BusError::Closed),
                Err(_) => return Err(self.refused(link, link.delay())),
            }
        }
        Ok(())
    }

    fn refused(&self, link: &Link, obstacle: Obstacle) -> BusError {
        self.count_refused(link, obstacle.word());
        obstacle.error(link.name().to_owned())
    }

    fn count_refused(&self, link: &Link, reason: &'static str) {
        let labels = RefusalLabels {
            consumer: link.name().to_owned(),
            reason,
        };
        self.metrics.publications_refused.get_or_create(&labels).inc();
    }

    /// What keeps the publication whose turn it is.
    fn behind(&self) -> BusError {
        let obstacles = self
            .links
            .iter()
            .filter_map(|link| Some((link, link.obstacle(0)?)));
        match obstacles.into_iter().next() {
            Some((link, obstacle)) => self.refused(link, obstacle),
            None => match self.links.first() {
                Some(link) => self.refused(link, Obstacle::Full),
                None => BusError::Closed,
            },
        }
    }
}

#[async_trait]
impl Publisher for GrpcPublisher {
    /// Returns when every consumer has received the batch. A batch that fails is withdrawn where it was not settled:
    /// its caller publishes the records again, or answers that they were not taken.
    async fn publish(&self, batch: Batch) -> Result<(), BusError> {
        let _under_way = self.under_way.token();
        if self.closing.is_cancelled() {
            return Err(BusError::Closed);
        }
        let deadline = Instant::now() + self.wait_max;
        let mut handed = Handed::nothing(self.links.clone());
        {
            let Ok(turn) = timeout_at(deadline, self.turn.acquire()).await else {
                return Err(self.behind());
            };
            for part in split(&batch, self.entry_bytes_max) {
                self.room(part.bytes, deadline).await?;
                handed.push(self.sequence.fetch_add(1, Ordering::Relaxed) + 1, &part);
            }
            drop(turn);
        }
        self.received(&mut handed, deadline).await?;
        handed.is_published = true;
        Ok(())
    }
}

/// The entries of one publication; withdrawn when it fails or is given up.
struct Handed {
    links: Arc<[Arc<Link>]>,
    sequences: Vec<u64>,
    receipts: Vec<(usize, Receipt)>,
    is_published: bool,
}

impl Handed {
    fn nothing(links: Arc<[Arc<Link>]>) -> Self {
        Handed {
            links,
            sequences: Vec::new(),
            receipts: Vec::new(),
            is_published: false,
        }
    }

    fn push(&mut self, sequence: u64, part: &Part) {
        self.sequences.push(sequence);
        let links = self.links.iter().enumerate();
        self.receipts
            .extend(links.map(|(at, link)| (at, link.push(sequence, part.clone()))));
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if self.is_published {
            return;
        }
        for sequence in &self.sequences {
            for link in self.links.iter() {
                link.withdraw(*sequence);
            }
        }
    }
}
