//! From the assembler to the store and the bus: one task, so that records of an agent keep their order.
//!
//! A request is answered when everything that it and earlier requests gave has been stored and published. While the
//! store is away the records wait here and are tried again, at most `waiting_max` requests of them; their senders
//! are told to come back at once instead of hanging. A sender that repeats its request gives no second record (the
//! assembler knows the spans), but its answer still waits behind the first one's records. So nothing that was
//! answered with success can be lost, and nothing is counted twice.

use crate::assemble::Emitted;
use crate::metrics::Metrics;
use immune_bus::{BusError, Publisher, Record};
use immune_domain::vitals::{Completeness, Vitals};
use immune_store::{StorageError, VitalsStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Requests whose records are stored together.
const GROUP_MAX: usize = 128;
/// Wait before a failed write is tried again, doubled up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Attempts at draining before records are given up, with an error in the log.
const DRAIN_ATTEMPTS: u32 = 5;

/// The records of one request, and whom to tell.
pub(crate) struct Work {
    pub(crate) emitted: Vec<Emitted>,
    pub(crate) done: Option<oneshot::Sender<Result<(), NotStored>>>,
}

/// Records could not be stored yet; the sender should repeat the request.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("records cannot be stored at the moment")]
pub(crate) struct NotStored;

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Store(#[from] StorageError),
    #[error(transparent)]
    Bus(#[from] BusError),
}

pub(crate) struct Writer {
    pub(crate) store: Arc<dyn VitalsStore>,
    pub(crate) bus: Arc<dyn Publisher>,
    pub(crate) metrics: Metrics,
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
            let mut wait = RETRY;
            let mut attempts = 0;
            while let Err(error) = self.write(&mut records).await {
                self.metrics.store_retries.inc();
                attempts += 1;
                tracing::warn!(%error, records = records.len(), "records not stored; trying again");
                for done in waiting.drain(..) {
                    let _ = done.send(Err(NotStored));
                }
                if work.is_closed() && attempts >= DRAIN_ATTEMPTS {
                    tracing::error!(records = records.len(), "records lost: the store was away while draining");
                    break;
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
            for done in waiting {
                // A sender that has gone does not need its answer.
                let _ = done.send(Ok(()));
            }
        }
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
            retracted.retain(|(key, execution)| !stored.iter().any(|v| v.key == *key && v.execution == *execution));
            self.store.retract(&retracted).await?;
        }
        let batch: Vec<Record> = records
            .iter()
            .map(|emitted| match emitted {
                Emitted::Vitals(vitals) => Record::Vitals(vitals.clone()),
                Emitted::Retracted { key, execution, .. } => Record::Retracted(key.clone(), execution.clone()),
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
