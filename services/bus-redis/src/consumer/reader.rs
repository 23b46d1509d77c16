//! Reads the entries of the partitions that are held, and queues them for the consumer.

use super::holds::Holds;
use super::reply::{Read, entries, of_one_stream};
use super::tenure::{Advance, Reading, Tenure};
use crate::entry::decode;
use crate::link::{Link, Site};
use crate::metrics::ConsumerMetrics;
use crate::place::Position;
use crate::script::Call;
use crate::trouble::Trouble;
use immune_bus::Batch;
use redis::cmd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How long a read waits at Redis for an entry: also how long a partition that begins may wait for the next read.
pub(crate) const BLOCK: Duration = Duration::from_millis(100);
/// Time between two reads of a cluster while nothing comes: streams of several slots cannot be waited for at once.
const POLL_MIN: Duration = Duration::from_millis(5);
/// To this it grows while nothing comes.
const POLL_MAX: Duration = Duration::from_millis(40);
/// Entries of one partition in one read.
const ENTRIES_MAX: usize = 128;

/// An entry on its way to the consumer.
pub(crate) struct Item {
    pub(crate) tenure: Tenure,
    pub(crate) position: Position,
    pub(crate) batch: Batch,
    _room: OwnedSemaphorePermit,
}

/// The reader of one replica of one consumer.
pub(crate) struct Reader {
    pub(crate) site: Arc<Site>,
    pub(crate) link: Link,
    pub(crate) name: String,
    pub(crate) holds: Arc<Holds>,
    pub(crate) metrics: ConsumerMetrics,
    pub(crate) queue: mpsc::Sender<Item>,
    /// Room for the bytes of queued entries.
    pub(crate) room: Arc<Semaphore>,
    /// Bytes of an entry, as they were lately.
    pub(crate) usual_bytes: usize,
}

impl Reader {
    /// Works until the consumer is gone, or this is dropped.
    pub(crate) async fn run(mut self) {
        let is_cluster = self.site.address.is_cluster();
        let mut pause = POLL_MIN;
        loop {
            let asked = self.holds.reading();
            if asked.is_empty() {
                self.holds.reader.notified().await;
                continue;
            }
            let read = match is_cluster {
                true => self.poll(&asked).await,
                false => self.wait(&asked).await,
            };
            let Ok(read) = read else {
                // The way to Redis has said what is wrong, and waits before its next connection; the wait here is
                // for an answer that came and was not understood.
                tokio::time::sleep(POLL_MAX).await;
                continue;
            };
            pause = if read.is_empty() {
                (pause * 2).min(POLL_MAX)
            } else {
                POLL_MIN
            };
            if is_cluster && read.is_empty() {
                tokio::time::sleep(pause).await;
            }
            if !self.queue(&asked, read).await {
                return;
            }
        }
    }

    /// How many entries of each of so many partitions are read at once: those for which the queue has room.
    fn count(&self, partitions: usize) -> usize {
        let room = self.room.available_permits() / self.usual_bytes.max(1);
        (room / partitions.max(1)).clamp(1, ENTRIES_MAX)
    }

    /// One read of all streams, which waits for the first entry.
    async fn wait(&self, asked: &[Reading]) -> Result<Vec<Vec<Read>>, Trouble> {
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(self.count(asked.len()));
        command.arg("BLOCK").arg(BLOCK.as_millis() as u64).arg("STREAMS");
        for reading in asked {
            command.arg(self.site.keys.partition(reading.tenure.index).entries.as_bytes());
        }
        for reading in asked {
            command.arg(reading.position.id.to_string());
        }
        let mut read = vec![Vec::new(); asked.len()];
        for answer in self.link.run(&[Call::Command(command)]).await? {
            for (key, found) in entries(answer?)? {
                let at = asked.iter().position(|reading| {
                    *self.site.keys.partition(reading.tenure.index).entries.as_bytes() == *key
                });
                if let Some(at) = at {
                    read[at] = found;
                }
            }
        }
        Ok(if read.iter().all(Vec::is_empty) {
            Vec::new()
        } else {
            read
        })
    }

    /// A read of each stream, none of which waits.
    async fn poll(&self, asked: &[Reading]) -> Result<Vec<Vec<Read>>, Trouble> {
        let count = self.count(asked.len());
        let calls: Vec<Call> = asked
            .iter()
            .map(|reading| {
                let mut command = cmd("XREAD");
                command.arg("COUNT").arg(count).arg("STREAMS");
                command.arg(self.site.keys.partition(reading.tenure.index).entries.as_bytes());
                command.arg(reading.position.id.to_string());
                Call::Command(command)
            })
            .collect();
        let mut read = Vec::with_capacity(asked.len());
        for answer in self.link.run(&calls).await? {
            // One slot without a primary must not stop the others.
            read.push(answer.map_or_else(|_| Ok(Vec::new()), of_one_stream)?);
        }
        Ok(if read.iter().all(Vec::is_empty) {
            Vec::new()
        } else {
            read
        })
    }

    /// Queues what was read, an entry of each partition in turn. Returns whether the consumer is still there.
    async fn queue(&mut self, asked: &[Reading], read: Vec<Vec<Read>>) -> bool {
        let mut streams: Vec<_> = read.into_iter().map(Vec::into_iter).collect();
        loop {
            let mut is_any = false;
            for (reading, stream) in asked.iter().zip(&mut streams) {
                let Some(entry) = stream.next() else {
                    continue;
                };
                is_any = true;
                if !self.queue_one(reading, entry).await {
                    return false;
                }
            }
            if !is_any {
                return true;
            }
        }
    }

    async fn queue_one(&mut self, reading: &Reading, entry: Read) -> bool {
        let bytes = entry.payload.len();
        self.usual_bytes = (self.usual_bytes * 7 + bytes) / 8;
        let most = self.site.config.queue_bytes_max;
        let wanted = u32::try_from(bytes.clamp(1, most)).unwrap_or(u32::MAX);
        let Ok(room) = self.room.clone().acquire_many_owned(wanted).await else {
            return false;
        };
        // Room in the queue is had before the position moves: what is moved past is queued.
        let Ok(place) = self.queue.reserve().await else {
            return false;
        };
        if !self.follows(reading, &entry) {
            return true;
        }
        let partition = reading.tenure.index;
        let records = match decode(&entry.form, &entry.payload) {
            Ok((records, unreadable)) => {
                self.metrics.records_unreadable.inc_by(unreadable as u64);
                records
            }
            Err(error) => {
                self.metrics.records_unreadable.inc();
                tracing::error!(consumer = self.name, partition, entry = %entry.position, error,
                    "unreadable entry of the vitals bus");
                Vec::new()
            }
        };
        if !records.is_empty() {
            place.send(Item {
                tenure: reading.tenure,
                position: entry.position,
                batch: records.into(),
                _room: room,
            });
        }
        true
    }

    /// Moves the position to an entry; says aloud what is missing before it.
    fn follows(&self, reading: &Reading, entry: &Read) -> bool {
        let partition = reading.tenure.index;
        match self.holds.advance(reading, entry.position) {
            Advance::Next => true,
            Advance::Gap { entries, since_ms } => {
                self.metrics.entries_trimmed.inc_by(entries);
                let seconds = entry.position.id.ms.saturating_sub(since_ms) as f64 / 1e3;
                tracing::error!(
                    consumer = self.name,
                    partition,
                    entries,
                    seconds,
                    "vitals are lost: redis dropped entries before they were read"
                );
                true
            }
            Advance::Renumbered => {
                self.metrics.data_losses.inc();
                tracing::error!(
                    consumer = self.name,
                    partition,
                    "redis has lost its data and counts anew"
                );
                true
            }
            Advance::Void => false,
        }
    }
}
