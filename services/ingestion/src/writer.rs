//! From the assembler to the store and the bus: one task, so that records of an agent keep their order.
//!
//! A request is answered when everything that it and earlier requests gave has been stored and published. While the
//! store is away the records wait here and are tried again, at most `waiting_max` requests of them and as many in
//! the queue; senders of the former are told to come back at once instead of hanging. A sender that repeats its
//! request gives no second record (the assembler knows the spans), but its answer still waits behind the first one's
//! records. So nothing that was answered with success can be lost, and nothing is counted twice.
//!
//! The exception is a record that the store refuses for good while it takes others, or that a consumer of the bus
//! cannot read: it is dropped, counted and logged, or it would stand in the way of all that come after it.

use crate::assemble::Emitted;
use crate::metrics::Metrics;
use immune_bus::{BusError, Publisher, Record};
use immune_domain::ErrorKind;
use immune_domain::vitals::{Completeness, Vitals};
use immune_store::{StorageError, VitalsStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Requests whose records are stored together.
const GROUP_MAX: usize = 128;
/// Wait before a failed write is tried again, doubled up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// The records of one request, and whom to tell.
pub(crate) struct Work {
    pub(crate) emitted: Vec<Emitted>,
    pub(crate) done: Option<oneshot::Sender<Result<(), NotStored>>>,
}

/// Records could not be stored and published yet; the sender should repeat the request.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(crate) enum NotStored {
    #[error("a consumer of vitals is behind")]
    Overloaded,
    #[error("records cannot be stored at the moment")]
    Unavailable,
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Store(#[from] StorageError),
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl WriteError {
    /// Whether repeating the same write cannot help.
    fn is_final(&self) -> bool {
        match self {
            WriteError::Store(StorageError::Failed { .. } | StorageError::Damaged { .. }) => true,
            WriteError::Store(StorageError::Unavailable { .. }) => false,
            WriteError::Bus(error) => !error.kind().is_retryable(),
        }
    }

    /// What the senders are told.
    fn word(&self) -> NotStored {
        let kind = match self {
            WriteError::Store(error) => error.kind(),
            WriteError::Bus(error) => error.kind(),
        };
        match kind {
            ErrorKind::Overloaded => NotStored::Overloaded,
            ErrorKind::Invalid
            | ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::Internal => NotStored::Unavailable,
        }
    }
}

pub(crate) struct Writer {
    pub(crate) store: Arc<dyn VitalsStore>,
    pub(crate) bus: Arc<dyn Publisher>,
    pub(crate) metrics: Metrics,
    /// Requests whose records may be held here while the store is away.
    pub(crate) held_max: usize,
    /// Cancelled when the process has no more time: what is not written by then is lost.
    pub(crate) end: CancellationToken,
}

impl Writer {
    /// Writes until every sender of work is gone.
    pub(crate) async fn run(self, mut work: mpsc::Receiver<Work>) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        while work.recv_many(&mut group, GROUP_MAX).await > 0 {
            self.metrics.waiting.set(work.len() as i64);
            let (mut records, mut waiting) = (Vec::new(), Vec::new());
            for Work { emitted, done } in group.drain(..) {
                records.extend(emitted);
                waiting.extend(done);
            }
            let written = self
                .end
                .run_until_cancelled(self.write_all(&mut work, &mut records, &mut waiting));
            if written.await.is_none() {
                tracing::error!(
                    records = records.len(),
                    "records lost: the store or the bus was away while draining"
                );
                self.metrics.records_lost.inc_by(records.len() as u64);
                refuse(&mut waiting, NotStored::Unavailable);
            }
            for done in waiting {
                // A sender that has gone does not need its answer.
                let _ = done.send(Ok(()));
            }
        }
    }

    /// Tries until everything is written, or refused for good. Those who wait are told at the first failure.
    async fn write_all(
        &self,
        work: &mut mpsc::Receiver<Work>,
        records: &mut Vec<Emitted>,
        waiting: &mut Vec<oneshot::Sender<Result<(), NotStored>>>,
    ) {
        let mut wait = RETRY;
        let mut room = self.held_max.saturating_sub(waiting.len());
        while let Err(error) = self.write(records).await {
            self.metrics.store_retries.inc();
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, records = records.len(), "records not stored; trying again");
            refuse(waiting, error.word());
            if error.is_final() {
                self.write_singly(records).await;
            }
            gather(work, wait, &mut room, records, error.word()).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    /// Writes record by record, and keeps those that failed; but one that was refused for good while another was
    /// taken is dropped. When none is taken, it is the store that is at fault, not the record. A consumer that cannot
    /// read a record says so of that record alone.
    async fn write_singly(&self, records: &mut Vec<Emitted>) {
        let (mut refused, mut left) = (Vec::new(), Vec::new());
        let mut is_any_taken = false;
        let mut all = std::mem::take(records).into_iter();
        for record in all.by_ref() {
            let mut single = vec![record];
            match self.write(&mut single).await {
                Ok(()) => is_any_taken = true,
                Err(error @ WriteError::Bus(_)) if error.is_final() => self.lose(1),
                Err(error) if error.is_final() => refused.append(&mut single),
                Err(_) => {
                    left.append(&mut single);
                    break;
                }
            }
        }
        if is_any_taken && !refused.is_empty() {
            self.lose(refused.len());
            refused.clear();
        }
        records.extend(refused.into_iter().chain(left).chain(all));
    }

    fn lose(&self, records: usize) {
        tracing::error!(
            records,
            "records lost: they are refused for good, and others are taken"
        );
        self.metrics.records_lost.inc_by(records as u64);
    }

    /// Stores and publishes. What succeeded is taken out, so that a repetition does only what is left.
    async fn write(&self, records: &mut Vec<Emitted>) -> Result<(), WriteError> {
        let mut stored = Vec::with_capacity(records.len());
        let mut retracted = Vec::new();
        for emitted in records.iter() {
            match emitted {
                Emitted::Vitals(vitals) => stored.push(vitals.clone()),
                Emitted::Retracted { key, execution, .. } => {
                    stored.retain(|v: &Vitals| v.key != *key || v.execution != *execution);
                    retracted.push((key.clone(), execution.clone()));
                }
            }
        }
        if !stored.is_empty() {
            self.store.append(&stored).await?;
        }
        if !retracted.is_empty() {
            // Records of the same execution that came again after it was taken back stay.
            retracted.retain(|(key, execution)| {
                !stored.iter().any(|v| v.key == *key && v.execution == *execution)
            });
            self.store.retract(&retracted).await?;
        }
        let batch: Vec<Record> = records
            .iter()
            .map(|emitted| match emitted {
                Emitted::Vitals(vitals) => Record::Vitals(vitals.clone()),
                Emitted::Retracted { key, execution, .. } => {
                    Record::Retracted(key.clone(), execution.clone())
                }
            })
            .collect();
        if !batch.is_empty() {
            self.bus.publish(batch.into()).await?;
        }
        for vitals in &stored {
            self.count(vitals);
        }
        records.clear();
        Ok(())
    }

    fn count(&self, vitals: &Vitals) {
        if vitals.revision == 0 && vitals.completeness != Completeness::Running {
            self.metrics.executions.inc();
            if immune_domain::detection::window::is_late(vitals.timestamp, vitals.received_at) {
                self.metrics.executions_late.inc();
            }
        }
    }
}

fn refuse(waiting: &mut Vec<oneshot::Sender<Result<(), NotStored>>>, word: NotStored) {
    for done in waiting.drain(..) {
        // A sender that has gone does not need its answer.
        let _ = done.send(Err(word));
    }
}

/// Lets the wait before the next attempt pass. What comes meanwhile joins the records as long as there is room, and
/// its senders are told to come back at once.
async fn gather(
    work: &mut mpsc::Receiver<Work>,
    wait: Duration,
    room: &mut usize,
    records: &mut Vec<Emitted>,
    word: NotStored,
) {
    let waited = tokio::time::sleep(wait);
    tokio::pin!(waited);
    loop {
        tokio::select! {
            () = &mut waited => return,
            Some(Work { emitted, done }) = work.recv(), if *room > 0 => {
                // A repeated request brings no records, and takes no room.
                *room -= usize::from(!emitted.is_empty());
                records.extend(emitted);
                if let Some(done) = done {
                    let _ = done.send(Err(word));
                }
            }
        }
    }
}
