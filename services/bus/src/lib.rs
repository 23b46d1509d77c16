//! Vitals from ingestion to baseline and sentinel: the contract and the in-process version.
//!
//! Order per agent is kept. `publish` returns when every consumer has the batch, so that what ingestion
//! acknowledges to its sender is in no place that a slow consumer could lose. Queues are bounded; a full one makes
//! `publish` wait, and ingestion sheds load at its door.
//!
//! Not for: workflow state (stores), calls between roles (gRPC).

pub mod conformance;
pub mod local;

use async_trait::async_trait;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, ErrorKind, ExecutionId};
use std::sync::Arc;

/// What travels.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// An execution, new or corrected.
    Vitals(Vitals),
    /// An execution that turned out to be a part of another one.
    Retracted(AgentKey, ExecutionId),
}

/// Records of one publication, shared between consumers without a copy.
pub type Batch = Arc<[Record]>;

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The bus is closed; the process drains.
    #[error("the vitals bus is closed")]
    Closed,
    /// A consumer did not make room in time.
    #[error("the vitals bus is full: consumer {consumer} is behind")]
    Full {
        /// Which one.
        consumer: String,
    },
}

impl BusError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            BusError::Closed => ErrorKind::Unavailable,
            BusError::Full { .. } => ErrorKind::Overloaded,
        }
    }
}

/// The sending end.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Hands a batch to every consumer; returns when all have it.
    async fn publish(&self, batch: Batch) -> Result<(), BusError>;
}

/// The receiving end of one consumer.
#[async_trait]
pub trait Consumer: Send {
    /// The next batch; `None` when the bus is closed and drained.
    async fn next(&mut self) -> Option<Delivery>;
}

/// A batch that must be acknowledged after the state that it changed is safe.
pub struct Delivery {
    /// The records.
    pub batch: Batch,
    ack: Option<Box<dyn FnOnce() + Send>>,
}

impl Delivery {
    /// A delivery whose acknowledgement runs `ack`; in-process buses need none.
    pub fn new(batch: Batch, ack: Option<Box<dyn FnOnce() + Send>>) -> Self {
        Delivery { batch, ack }
    }

    /// Says that the batch is processed and will not be needed again.
    pub fn ack(self) {
        if let Some(ack) = self.ack {
            ack();
        }
    }
}
