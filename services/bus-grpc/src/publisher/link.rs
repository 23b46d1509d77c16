//! The publisher's side of the stream to one consumer: what it keeps, what it may send, who waits. Plain state; the
//! wire is in `stream.rs`.

use crate::metrics::{self, Metrics};
use immune_bus::BusError;
use immune_proto::v1;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{oneshot, watch};

/// Why a consumer will never take an entry.
pub(super) type Refusal = Arc<dyn Error + Send + Sync>;
/// The word that a publication waits for.
pub(super) type Receipt = oneshot::Receiver<Result<(), Refusal>>;

/// A part of a publication.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) batch: Arc<v1::BusBatch>,
    /// As encoded.
    pub(super) bytes: usize,
}

/// An entry to be sent now.
pub(super) struct Outgoing {
    pub(super) sequence: u64,
    pub(super) batch: Arc<v1::BusBatch>,
    /// An earlier stream carried it already.
    pub(super) is_again: bool,
}

/// Why nothing can be published at this moment.
#[derive(Debug, Clone)]
pub(super) enum Obstacle {
    /// The consumer has no room, or has settled too little.
    Full,
    /// The consumer cannot be reached.
    Away(Arc<dyn Error + Send + Sync>),
    /// The consumer has several replicas.
    Undivided(usize),
}

impl Obstacle {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Obstacle::Full => "full",
            Obstacle::Away(_) => "away",
            Obstacle::Undivided(_) => "undivided",
        }
    }

    pub(super) fn error(self, consumer: String) -> BusError {
        match self {
            Obstacle::Full => BusError::Full { consumer },
            Obstacle::Away(why) => BusError::Unavailable {
                consumer,
                source: Box::new(why),
            },
            Obstacle::Undivided(replicas) => BusError::Undivided { consumer, replicas },
        }
    }
}

/// A consumer that said what cannot be.
#[derive(Debug, thiserror::Error)]
#[error("the consumer acknowledges entry {received}, and {sent} is the last that was sent")]
pub(super) struct Incredible {
    received: u64,
    sent: u64,
}

struct Entry {
    sequence: u64,
    part: Part,
    waiter: Option<oneshot::Sender<Result<(), Refusal>>>,
}

enum Line {
    Closed(Obstacle),
    Open {
        /// The last entry that this stream carried, or that the consumer had when it opened.
        cursor: u64,
        received: u64,
        sent: u64,
        allowed: u64,
    },
}

struct State {
    /// Unsettled, in order.
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The highest sequence that any stream carried.
    sent_max: u64,
    line: Line,
}

/// The stream to one consumer.
pub(super) struct Link {
    name: String,
    batches_max: usize,
    bytes_max: usize,
    state: Mutex<State>,
    changes: watch::Sender<()>,
    unsettled: Gauge,
    unsettled_bytes: Gauge,
}

impl Link {
    pub(super) fn new(name: String, batches_max: usize, bytes_max: usize, metrics: &Metrics) -> Self {
        let labels = metrics::of(&name);
        let not_yet: Arc<dyn Error + Send + Sync> = Arc::from(Box::from("no stream was opened yet"));
        Link {
            batches_max,
            bytes_max,
            state: Mutex::new(State {
                entries: VecDeque::new(),
                bytes: 0,
                sent_max: 0,
                line: Line::Closed(Obstacle::Away(not_yet)),
            }),
            changes: watch::Sender::new(()),
            unsettled: metrics.unsettled.get_or_create_owned(&labels),
            unsettled_bytes: metrics.unsettled_bytes.get_or_create_owned(&labels),
            name,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Wakes at every change of what the other methods say.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = change(&mut state);
        self.unsettled
            .set(i64::try_from(state.entries.len()).unwrap_or(i64::MAX));
        self.unsettled_bytes
            .set(i64::try_from(state.bytes).unwrap_or(i64::MAX));
        drop(state);
        self.changes.send_replace(());
        result
    }

    /// What stands in the way of an entry of so many bytes. Only one publication asks and pushes at a time, so what
    /// is free stays free until it pushes, unless the stream breaks.
    pub(super) fn obstacle(&self, bytes: usize) -> Option<Obstacle> {
        let state = self.state();
        match &state.line {
            Line::Closed(obstacle) => Some(obstacle.clone()),
            Line::Open {
                cursor,
                sent,
                allowed,
                ..
            } => {
                let unsent = state.entries.len() - state.after(*cursor);
                let has_room = state.entries.len() < self.batches_max
                    && (state.bytes + bytes <= self.bytes_max || state.entries.is_empty())
                    && sent + (unsent as u64) < *allowed;
                (!has_room).then_some(Obstacle::Full)
            }
        }
    }

    /// What keeps an entry that was pushed from being received.
    pub(super) fn delay(&self) -> Obstacle {
        match &self.state().line {
            Line::Closed(obstacle) => obstacle.clone(),
            Line::Open { .. } => Obstacle::Full,
        }
    }

    /// Keeps an entry until it is settled or withdrawn. Sequences grow from push to push.
    pub(super) fn push(&self, sequence: u64, part: Part) -> Receipt {
        let (waiter, receipt) = oneshot::channel();
        self.change(|state| {
            state.bytes += part.bytes;
            state.entries.push_back(Entry {
                sequence,
                part,
                waiter: Some(waiter),
            });
        });
        receipt
    }

    /// Forgets an entry whose publication failed: its caller publishes the records again, or knows that they are lost.
    pub(super) fn withdraw(&self, sequence: u64) {
        self.change(|state| state.remove(sequence));
    }

    /// The next entry, if the consumer has room for one.
    pub(super) fn next_to_send(&self) -> Option<Outgoing> {
        self.state().next_to_send()
    }

    /// Whether [`Link::next_to_send`] has one.
    pub(super) fn has_to_send(&self) -> bool {
        let state = self.state();
        match &state.line {
            Line::Closed(_) => false,
            Line::Open {
                cursor,
                sent,
                allowed,
                ..
            } => sent < allowed && state.after(*cursor) < state.entries.len(),
        }
    }

    /// The first answer of a stream: what the consumer has, in the life that it is in.
    pub(super) fn opened(&self, answer: &v1::PublishResponse) -> Result<(), Incredible> {
        self.change(|state| {
            state.line = Line::Open {
                cursor: answer.received,
                received: answer.received,
                sent: 0,
                allowed: answer.allowed,
            };
            state.acknowledge(answer)
        })
    }

    /// A later answer.
    pub(super) fn answered(&self, answer: &v1::PublishResponse) -> Result<(), Incredible> {
        self.change(|state| state.acknowledge(answer))
    }

    /// The consumer ended the stream over an entry: the first that it was sent and did not receive. Returns its
    /// sequence, if there is one.
    pub(super) fn refuse(&self, why: &Refusal) -> Option<u64> {
        self.change(|state| {
            let Line::Open { cursor, received, .. } = state.line else {
                return None;
            };
            let at = state.after(received);
            let entry = state
                .entries
                .get_mut(at)
                .filter(|entry| entry.sequence <= cursor)?;
            let sequence = entry.sequence;
            if let Some(waiter) = entry.waiter.take() {
                // A publication that was given up does not need its answer.
                let _ = waiter.send(Err(why.clone()));
            }
            state.remove(sequence);
            Some(sequence)
        })
    }

    /// The stream is gone.
    pub(super) fn close(&self, obstacle: Obstacle) {
        self.change(|state| state.line = Line::Closed(obstacle));
    }

    /// Entries that are not settled.
    pub(super) fn unsettled(&self) -> usize {
        self.state().entries.len()
    }
}

impl State {
    /// Index of the first entry after a sequence.
    fn after(&self, sequence: u64) -> usize {
        self.entries.partition_point(|entry| entry.sequence <= sequence)
    }

    fn next_to_send(&mut self) -> Option<Outgoing> {
        let Line::Open {
            cursor,
            sent,
            allowed,
            ..
        } = &mut self.line
        else {
            return None;
        };
        if sent >= allowed {
            return None;
        }
        let at = self.entries.partition_point(|entry| entry.sequence <= *cursor);
        let entry = self.entries.get(at)?;
        *cursor = entry.sequence;
        *sent += 1;
        let is_again = entry.sequence <= self.sent_max;
        self.sent_max = self.sent_max.max(entry.sequence);
        Some(Outgoing {
            sequence: entry.sequence,
            batch: entry.part.batch.clone(),
            is_again,
        })
    }

    fn acknowledge(&mut self, answer: &v1::PublishResponse) -> Result<(), Incredible> {
        let received_now = answer.received;
        if received_now > self.sent_max {
            return Err(Incredible {
                received: received_now,
                sent: self.sent_max,
            });
        }
        if let Line::Open {
            received, allowed, ..
        } = &mut self.line
        {
            *received = received_now;
            *allowed = answer.allowed;
        }
        // Entries in front have no waiter any more: the search begins behind them.
        let end = self.after(received_now);
        for entry in self.entries.iter_mut().take(end).rev() {
            let Some(waiter) = entry.waiter.take() else { break };
            let _ = waiter.send(Ok(()));
        }
        // Nothing is settled that was not received.
        let settled = self.after(answer.settled.min(received_now));
        for entry in self.entries.drain(..settled) {
            self.bytes -= entry.part.bytes;
        }
        Ok(())
    }

    fn remove(&mut self, sequence: u64) {
        if let Ok(at) = self
            .entries
            .binary_search_by_key(&sequence, |entry| entry.sequence)
            && let Some(entry) = self.entries.remove(at)
        {
            self.bytes -= entry.part.bytes;
        }
    }
}
