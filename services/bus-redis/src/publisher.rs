//! The sending end.

use crate::entry::{Entry, divide};
use crate::link::{Link, Site};
use crate::script::{ADD, Call, digits};
use crate::trouble::{Trouble, is_out_of_memory};
use async_trait::async_trait;
use immune_bus::{Batch, BusError, Publisher};
use redis::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Publishes into the streams of the partitions.
pub(crate) struct RedisPublisher {
    site: Arc<Site>,
    link: Link,
    under_way: Semaphore,
    is_closed: AtomicBool,
}

impl RedisPublisher {
    pub(crate) fn new(site: Arc<Site>) -> Self {
        RedisPublisher {
            link: Link::new(site.clone(), "publisher", site.config.answer_max()),
            under_way: Semaphore::new(site.config.publications_max),
            is_closed: AtomicBool::new(false),
            site,
        }
    }

    /// Refuses further publications.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// Waits for the publications under way, so long.
    pub(crate) async fn drain(&self, within: Duration) {
        let all = u32::try_from(self.site.config.publications_max).unwrap_or(u32::MAX);
        if tokio::time::timeout(within, self.under_way.acquire_many(all))
            .await
            .is_err()
        {
            tracing::warn!(
                ?within,
                "publications were still under way when the bus was closed"
            );
        }
    }

    /// Asks Redis whether it is there.
    pub(crate) async fn ping(&self) -> Result<(), Trouble> {
        let answers = self.link.run(&[Call::Command(redis::cmd("PING"))]).await?;
        for answer in answers {
            answer?;
        }
        Ok(())
    }

    async fn publish_all(&self, batch: &Batch) -> Result<(), Trouble> {
        let config = &self.site.config;
        let mut rest = divide(batch, config.partitions, config.entry_bytes_max);
        while !rest.is_empty() {
            // One entry of each partition at a time: of two that are under way together the first may fail alone,
            // and would come after the second.
            let mut round = first_of_each(&mut rest);
            while let Err(trouble) = self.attempt(&mut round).await {
                match &trouble {
                    // Waiting here would only hold what the sender can wait with.
                    Trouble::Redis(error) if is_out_of_memory(error) => return Err(trouble),
                    Trouble::Divided { .. } | Trouble::Certificate { .. } | Trouble::Answer { .. } => {
                        return Err(trouble);
                    }
                    // The way to Redis waits before its next connection, and the caller's deadline ends this.
                    Trouble::Redis(_) | Trouble::Late { .. } => {
                        self.site.metrics.entries_repeated.inc_by(round.len() as u64);
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends a round; what Redis took is in it no more.
    async fn attempt(&self, round: &mut Vec<Entry>) -> Result<(), Trouble> {
        let config = &self.site.config;
        let mut held = self.link.held().await?;
        let calls: Vec<Call> = round.iter().map(|entry| self.call(entry)).collect();
        let answers = held.run(&calls).await?;
        if config.replicas_min > 0 && answers.iter().any(Result::is_ok) {
            // Asking again adds nothing, unlike sending again.
            while held
                .replicas(config.replicas_min, config.answer_max() / 2)
                .await?
                < i64::from(config.replicas_min)
            {}
        }
        let mut trouble = None;
        let mut left = Vec::new();
        for (entry, answer) in round.drain(..).zip(answers) {
            match answer {
                Ok(Value::BulkString(_)) => {
                    let metrics = &self.site.metrics;
                    metrics.entries_published.inc();
                    metrics.records_published.inc_by(entry.records as u64);
                    metrics.bytes_published.inc_by(entry.payload.len() as u64);
                }
                Ok(other) => {
                    left.push(entry);
                    let what = format!("{other:?} to an added entry");
                    trouble = Some(Trouble::Answer { what });
                }
                Err(error) => {
                    left.push(entry);
                    trouble = Some(error.into());
                }
            }
        }
        *round = left;
        trouble.map_or(Ok(()), Err)
    }

    fn call(&self, entry: &Entry) -> Call {
        let config = &self.site.config;
        let keys = self.site.keys.partition(entry.partition);
        ADD.call(
            [&keys.entries, &keys.meta],
            [
                digits(config.keep_seconds * 1_000),
                digits(config.entries_max),
                entry.form.to_vec(),
                entry.payload.clone(),
            ],
        )
    }
}

/// Takes the first entry of each partition out of `rest`, which is sorted by partition.
fn first_of_each(rest: &mut Vec<Entry>) -> Vec<Entry> {
    let (mut round, mut later): (Vec<Entry>, Vec<Entry>) = (Vec::new(), Vec::new());
    for entry in rest.drain(..) {
        match round.last() {
            Some(last) if last.partition == entry.partition => later.push(entry),
            Some(_) | None => round.push(entry),
        }
    }
    *rest = later;
    round
}

#[async_trait]
impl Publisher for RedisPublisher {
    async fn publish(&self, batch: Batch) -> Result<(), BusError> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(BusError::Closed);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let after = Duration::from_secs(self.site.config.publish_seconds_max);
        let deadline = Instant::now() + after;
        let Ok(permit) = tokio::time::timeout_at(deadline, self.under_way.acquire()).await else {
            self.site.metrics.publications_failed.inc();
            let reason = format!("{} publications are under way", self.site.config.publications_max);
            return Err(BusError::Overloaded { reason });
        };
        let _permit = permit.expect("it is never closed");
        // Checked again: closing waits for the permits, not for those who wait for one.
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(BusError::Closed);
        }
        let published = tokio::time::timeout_at(deadline, self.publish_all(&batch)).await;
        let trouble = match published {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(trouble)) => trouble,
            Err(_) => Trouble::Late { after },
        };
        self.site.metrics.publications_failed.inc();
        Err(trouble.into())
    }
}
