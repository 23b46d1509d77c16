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
use immune_domain::{AgentKey, ErrorKind, ExecutionId, Timestamp};
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
    /// A consumer cannot be reached.
    #[error("consumer {consumer} of the vitals bus is away")]
    Unavailable {
        /// Which one.
        consumer: String,
        /// Why, as far as it is known.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A consumer has several replicas, and this bus is not divided: each would see a part of an agent.
    #[error(
        "consumer {consumer} has {replicas} replicas, and a bus without Redis serves one: set redis.url, or run one replica of {consumer}"
    )]
    Undivided {
        /// Which one.
        consumer: String,
        /// How many replicas it has.
        replicas: usize,
    },
    /// A consumer cannot read a record of the batch. Sending the batch again cannot succeed.
    #[error("consumer {consumer} of the vitals bus refuses a record")]
    Refused {
        /// Which one.
        consumer: String,
        /// The consumer's own word.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What keeps the records between publisher and consumers cannot be reached, or did not take all of them.
    #[error("the vitals bus is away")]
    Away {
        /// Why, as far as it is known.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What keeps the records has no room, or too many publications are under way.
    #[error("the vitals bus takes nothing more: {reason}")]
    Overloaded {
        /// What is exhausted.
        reason: String,
    },
}

impl BusError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            // Undivided is often a moment: a roll-out that starts the new replica before it ends the old one.
            BusError::Closed
            | BusError::Unavailable { .. }
            | BusError::Undivided { .. }
            | BusError::Away { .. } => ErrorKind::Unavailable,
            BusError::Full { .. } | BusError::Overloaded { .. } => ErrorKind::Overloaded,
            BusError::Refused { .. } => ErrorKind::Invalid,
        }
    }
}

/// The sending end.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Hands a batch to every consumer; returns when all have it.
    async fn publish(&self, batch: Batch) -> Result<(), BusError>;
}

/// One of the shares into which the agents of a bus are divided. The records of an agent are all in one partition,
/// in order; a partition is held by one replica of a consumer at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// Which, from 0.
    pub index: u16,
    /// How many there are.
    pub count: u16,
}

impl Partition {
    /// Everything: the only partition of a bus that is not divided.
    pub const WHOLE: Partition = Partition { index: 0, count: 1 };

    /// The partition of an agent among `count` (at least 1): FNV-1a over the run, a byte that no UTF-8 text has, and
    /// the agent. Every process must find the same one, so the function never changes.
    pub fn of(key: &AgentKey, count: u16) -> Self {
        let bytes = key
            .run
            .as_str()
            .bytes()
            .chain([0xff])
            .chain(key.agent.as_str().bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        // The low bits of FNV-1a are its weakest; the high half is folded in.
        let mixed = hash ^ (hash >> 32);
        Partition {
            index: u16::try_from(mixed % u64::from(count.max(1))).expect("a remainder is below a u16"),
            count: count.max(1),
        }
    }

    /// Whether an agent belongs here.
    pub fn holds(&self, key: &AgentKey) -> bool {
        Partition::of(key, self.count) == *self
    }
}

/// Where a consumer stands in a partition: the bus's own word for the last entry that is done. Opaque to others, who
/// keep it beside the state that the entry changed.
pub type Place = String;

/// Where the deliveries of a gained partition begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// After the entry that the consumer's own store names; `None`: with the oldest that is kept. For consumers that
    /// keep the place in the transaction that keeps their state, so that each entry takes effect exactly once.
    After(Option<Place>),
    /// With the oldest entry that was not acknowledged, or the first one published at or after this time, whichever
    /// is earlier. For consumers whose state is the recent past itself.
    Again {
        /// From when on entries are wanted though they were acknowledged.
        since: Timestamp,
    },
}

/// What a consumer meets.
pub enum Arrival {
    /// This replica holds the partition from now on. Nothing of it arrives before [`Consumer::begin`].
    Gained(Partition),
    /// This replica holds the partition no longer: another one may be at work on it already, so whatever was not
    /// stored is to be dropped.
    Lost(Partition),
    /// Records.
    Batch(Delivery),
}

/// The receiving end of one replica of one consumer.
#[async_trait]
pub trait Consumer: Send {
    /// What comes next; `None` when the bus is closed and drained. Cancel-safe: giving up the wait loses nothing.
    async fn next(&mut self) -> Option<Arrival>;

    /// Starts the deliveries of a partition that was gained; without effect on one that was lost since.
    async fn begin(&mut self, partition: Partition, begin: Begin);
}

/// A batch that must be acknowledged after the state that it changed is safe.
pub struct Delivery {
    /// The records.
    pub batch: Batch,
    /// Whose.
    pub partition: Partition,
    /// The entry, to be kept beside the state that it changed; `None` where a bus delivers nothing twice.
    pub place: Option<Place>,
    ack: Option<Box<dyn FnOnce() + Send>>,
}

impl Delivery {
    /// A delivery of the whole bus that nobody waits for.
    pub fn of(batch: Batch) -> Self {
        Delivery {
            batch,
            partition: Partition::WHOLE,
            place: None,
            ack: None,
        }
    }

    /// A delivery of an entry of a partition whose acknowledgement runs `ack`. Acknowledging an entry
    /// acknowledges all before it in its partition.
    pub fn new(
        batch: Batch,
        partition: Partition,
        place: Option<Place>,
        ack: Box<dyn FnOnce() + Send>,
    ) -> Self {
        Delivery {
            batch,
            partition,
            place,
            ack: Some(ack),
        }
    }

    /// Says that the batch is processed and will not be needed again.
    pub fn ack(self) {
        if let Some(ack) = self.ack {
            ack();
        }
    }
}
