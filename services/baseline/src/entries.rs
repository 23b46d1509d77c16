//! The entries of a partition that came and have not taken effect, in their order.

use crate::recent::identity;
use immune_bus::Delivery;
use immune_domain::baseline::{Learner, Make, Sample, Ticket};
use immune_domain::detection::guarded::Told;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// Where a record is held: the number of its entry since the partition was gained, and its place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// Number of the entry.
    pub entry: u64,
    /// Which of its records.
    pub index: usize,
}

/// What is left of an execution until it takes effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    /// Whose.
    pub key: AgentKey,
    /// Which execution, by [`crate::recent::identity`].
    pub identity: u64,
    /// Of which revision of the record.
    pub revision: u32,
    /// The numbers.
    pub sample: Sample,
    /// What it tells a guarded detector; a failed execution teaches nothing else.
    pub told: Told,
    /// What the execution was made with.
    pub make: Make,
    /// When it began.
    pub began: Timestamp,
    /// What policy is resolved by.
    pub agent_type: Option<String>,
    /// What policy is resolved by.
    pub namespace: Option<String>,
}

impl Lesson {
    /// What an execution may teach.
    pub fn of(vitals: &Vitals) -> Self {
        Lesson {
            key: vitals.key.clone(),
            identity: identity(&vitals.key, vitals.execution.as_str()),
            revision: vitals.revision,
            sample: Learner::sample(vitals),
            told: Told::of(vitals),
            make: Make::of(vitals),
            began: vitals.started_at,
            agent_type: vitals.context.agent_type.clone(),
            namespace: vitals.context.namespace().map(str::to_owned),
        }
    }
}

/// A record on its way to its effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Waits for its verdict.
    Waits(Box<Lesson>),
    /// Judged: teaches, if the agent does not turn out sick while it waits.
    Teaches(Box<Lesson>, Ticket),
    /// Judged: must not teach.
    Withheld(Box<Lesson>),
    /// Takes an execution back.
    Retracts {
        /// Whose.
        key: AgentKey,
        /// Which, by [`crate::recent::identity`].
        identity: u64,
    },
    /// Has had its effect, or has none.
    Done,
}

/// What came together.
pub struct Entry {
    /// When it came.
    pub came: Timestamp,
    /// Its records.
    pub items: Vec<Item>,
    /// What is left of the delivery: its place and its acknowledgement.
    pub delivery: Delivery,
}

/// Entries in their order.
#[derive(Default)]
pub struct Entries {
    queue: VecDeque<Entry>,
    first: u64,
    records: usize,
}

impl Entries {
    /// Begins an entry; its records follow with [`Entries::push`]. Returns its number.
    pub fn begin(&mut self, mut delivery: Delivery, now: Timestamp) -> u64 {
        // What is needed of the records is kept with them; the rest of a batch is many times as large.
        let count = std::mem::replace(&mut delivery.batch, Arc::from([])).len();
        self.queue.push_back(Entry {
            came: now,
            items: Vec::with_capacity(count),
            delivery,
        });
        self.next() - 1
    }

    /// Adds a record to the entry that was begun last.
    pub fn push(&mut self, item: Item) {
        if let Some(entry) = self.queue.back_mut() {
            entry.items.push(item);
            self.records += 1;
        }
    }

    /// The number of the next entry.
    pub fn next(&self) -> u64 {
        self.first + self.queue.len() as u64
    }

    /// The number of the first entry and the entry.
    pub fn front(&self) -> Option<(u64, &Entry)> {
        self.queue.front().map(|entry| (self.first, entry))
    }

    /// Takes the first entry out.
    pub fn pop(&mut self) -> Option<Entry> {
        let entry = self.queue.pop_front()?;
        self.first += 1;
        self.records -= entry.items.len();
        Some(entry)
    }

    /// A record.
    pub fn get(&self, spot: Spot) -> Option<&Item> {
        let entry = usize::try_from(spot.entry.checked_sub(self.first)?).ok()?;
        self.queue.get(entry)?.items.get(spot.index)
    }

    /// Puts another item in the place of a record, and returns what was there; [`Item::Done`] where there is nothing.
    pub fn replace(&mut self, spot: Spot, item: Item) -> Item {
        let entry = spot.entry.checked_sub(self.first);
        let entry = entry.and_then(|entry| self.queue.get_mut(usize::try_from(entry).ok()?));
        match entry.and_then(|entry| entry.items.get_mut(spot.index)) {
            Some(place) => std::mem::replace(place, item),
            None => Item::Done,
        }
    }

    /// Records in all entries, those that are done included.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
