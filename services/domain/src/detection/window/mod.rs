//! The recent window of one agent: its executions of the last seconds, and their sums.
//!
//! **Time.** The window runs on the agent's own clock, never trusting it: a timestamp ahead of its receipt is taken
//! back to it; one more than [`LATE_AFTER`] behind never enters; and "now" for the agent is our now minus the
//! smallest lag that its recent records had (see [`lag`]), so that an export delay or a slow clock shifts the
//! window instead of emptying it, and no clock can hold it open.
//!
//! **Cost.** A record in order costs O(1) amortised; one out of order moves the entries after it, at most
//! [`EXECUTIONS_MAX`]. Sums are integers (latency in nanoseconds), so that what leaves takes away exactly what it
//! brought and nothing drifts.

mod lag;
mod sample;

pub use sample::{Sample, fingerprint, recent_of};

use super::Recent;
use crate::Timestamp;
use lag::Lag;
use sample::{Entry, Sums};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Telemetry that ends more than this before it is received is history: stored and counted, never in the window.
pub const LATE_AFTER: Duration = Duration::from_secs(5 * 60);

/// The most executions in a window; beyond it the oldest leave early.
pub const EXECUTIONS_MAX: usize = 4_096;

/// Up to this many entries a scan for an execution is as fast as an index.
const SCAN_MAX: usize = 32;

/// Capacity that an empty window keeps.
const IDLE_CAPACITY: usize = 8;

/// The recent executions of one agent, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Window {
    entries: VecDeque<Entry>,
    /// Fingerprint -> timestamp, once a scan would be slow.
    #[allow(
        clippy::box_collection,
        reason = "most windows have none: a pointer is 40 bytes less per agent"
    )]
    index: Option<Box<HashMap<u64, i64>>>,
    sums: Sums,
    lag: Lag,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entered {
    /// It is in the window.
    Added,
    /// It took the place of an earlier record of the same execution.
    Replaced,
    /// The window has this execution at this revision or a later one; nothing changed.
    Repeated,
    /// It ended before the window begins; nothing changed.
    Passed,
    /// It is late telemetry ([`LATE_AFTER`]); nothing changed.
    Late,
}

impl Window {
    /// Takes a record in. `now` is our time of looking at it, `length` the length of the window.
    pub fn insert(&mut self, sample: &Sample, now: Timestamp, length: Duration) -> Entered {
        if is_late(sample.timestamp, sample.received_at) {
            return Entered::Late;
        }
        let timestamp = sample.timestamp.min(sample.received_at).as_micros();
        if self.lag.observe(now.as_micros(), timestamp, micros(length)) == lag::Observed::OurClockWentBack {
            self.restart();
        }
        self.evict(now, length);
        if timestamp <= self.horizon(now, length) {
            return Entered::Passed;
        }
        let entered = match self.find(sample.execution) {
            Some(at) if self.entries[at].revision >= sample.revision => return Entered::Repeated,
            Some(at) => {
                self.remove(at);
                Entered::Replaced
            }
            None => Entered::Added,
        };
        if self.entries.len() >= EXECUTIONS_MAX {
            if self
                .entries
                .front()
                .is_some_and(|oldest| timestamp < oldest.timestamp)
            {
                return Entered::Passed;
            }
            self.remove(0);
        }
        self.put(Entry::of(sample, timestamp));
        entered
    }

    /// Lets go of what the window has moved past. Returns whether anything left.
    pub fn evict(&mut self, now: Timestamp, length: Duration) -> bool {
        let horizon = self.horizon(now, length);
        let before = self.entries.len();
        while self
            .entries
            .front()
            .is_some_and(|oldest| oldest.timestamp <= horizon)
        {
            self.remove(0);
        }
        if self.entries.is_empty() && self.entries.capacity() > IDLE_CAPACITY {
            // Most agents are quiet most of the time; a burst must not cost its memory for ever.
            self.entries = VecDeque::new();
            self.index = None;
        }
        self.entries.len() != before
    }

    /// Takes an execution out, because it turned out to be a part of another. Whether it was there.
    pub fn retract(&mut self, execution: u64) -> bool {
        match self.find(execution) {
            Some(at) => {
                self.remove(at);
                true
            }
            None => false,
        }
    }

    /// Empties the window: what was seen before a healing says nothing about the time after it.
    pub fn restart(&mut self) {
        self.entries = VecDeque::new();
        self.index = None;
        self.sums = Sums::default();
    }

    /// The window in numbers.
    pub fn recent(&self) -> Recent {
        self.sums.recent(self.entries.len() as u32)
    }

    /// Executions in the window.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When the oldest execution in the window ended, by the agent's clock.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.entries
            .front()
            .map(|entry| Timestamp::from_micros(entry.timestamp))
    }

    /// Whether an execution is in the window.
    pub fn contains(&self, execution: u64) -> bool {
        self.find(execution).is_some()
    }

    /// Bytes on the heap, about.
    pub fn heap_bytes(&self) -> usize {
        let index = self
            .index
            .as_ref()
            .map_or(0, |index| index.capacity() * 17 + size_of::<HashMap<u64, i64>>());
        self.entries.capacity() * size_of::<Entry>() + index
    }

    /// Entries at or before this time, microseconds, have left: the window is `(now - length, now]`.
    fn horizon(&self, now: Timestamp, length: Duration) -> i64 {
        now.as_micros()
            .saturating_sub(self.lag.micros())
            .saturating_sub(micros(length))
    }

    fn find(&self, execution: u64) -> Option<usize> {
        let Some(index) = &self.index else {
            return self.entries.iter().position(|entry| entry.execution == execution);
        };
        let timestamp = *index.get(&execution)?;
        let first = self.entries.partition_point(|entry| entry.timestamp < timestamp);
        (first..self.entries.len()).find(|&at| self.entries[at].execution == execution)
    }

    fn put(&mut self, entry: Entry) {
        // From the back: records come nearly in order.
        let after = self
            .entries
            .iter()
            .rev()
            .take_while(|other| other.timestamp > entry.timestamp)
            .count();
        self.sums.add(&entry);
        self.entries.insert(self.entries.len() - after, entry);
        if let Some(index) = &mut self.index {
            index.insert(entry.execution, entry.timestamp);
        } else if self.entries.len() > SCAN_MAX {
            self.index = Some(Box::new(
                self.entries.iter().map(|e| (e.execution, e.timestamp)).collect(),
            ));
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some(entry) = self.entries.remove(at) {
            self.sums.subtract(&entry);
            if let Some(index) = &mut self.index {
                index.remove(&entry.execution);
            }
        }
        if self.entries.len() <= SCAN_MAX / 2 {
            self.index = None;
        }
    }
}

/// Whether a record is history rather than news.
pub fn is_late(timestamp: Timestamp, received_at: Timestamp) -> bool {
    received_at.since(timestamp) > LATE_AFTER
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
