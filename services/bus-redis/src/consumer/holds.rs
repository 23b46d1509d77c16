//! What a replica knows about the partitions that it holds: plain state, shared by the consumer, the keeper of the
//! leases and the reader of the entries. Nothing here waits.

use super::hold::{Hold, Stage};
use super::tenure::{Advance, Granted, Life, News, Reading, Renewal, Tenure};
use crate::place::Position;
use immune_bus::Begin;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Default)]
struct Inner {
    holds: BTreeMap<u16, Hold>,
    news: VecDeque<News>,
    tenures: u64,
    gained: u64,
    lost: u64,
}

/// The partitions of one replica of one consumer.
#[derive(Debug)]
pub(crate) struct Holds {
    inner: Mutex<Inner>,
    life: Mutex<Life>,
    /// Wakes the consumer: there is news, or the end.
    pub(crate) consumer: Notify,
    /// Wakes the reader: there is more to read, or the end.
    pub(crate) reader: Notify,
    /// Wakes the keeper: there is something to give back.
    pub(crate) keeper: Notify,
    /// Nothing more is to be read.
    pub(crate) closing: CancellationToken,
}

impl Default for Holds {
    fn default() -> Self {
        Holds {
            inner: Mutex::default(),
            life: Mutex::new(Life::Open),
            consumer: Notify::new(),
            reader: Notify::new(),
            keeper: Notify::new(),
            closing: CancellationToken::new(),
        }
    }
}

impl Holds {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn life(&self) -> Life {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on to a later part of life, of which each ends the reading, and wakes everybody.
    pub(crate) fn advance_life(&self, to: Life) {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        *life = (*life).max(to);
        drop(life);
        self.closing.cancel();
        self.consumer.notify_one();
        self.reader.notify_one();
        self.keeper.notify_one();
    }

    /// A partition was taken; trusted until then.
    pub(crate) fn gain(&self, index: u16, granted: Granted, until: Instant) {
        let mut inner = self.inner();
        inner.tenures += 1;
        inner.gained += 1;
        let tenure = Tenure {
            index,
            number: inner.tenures,
        };
        let hold = Hold::new(tenure, granted, until);
        // A lease that is taken anew although it is held: the tenure before has ended.
        inner.end(index);
        inner.holds.insert(index, hold);
        inner.news.push_back(News::Gained(index));
        drop(inner);
        self.consumer.notify_one();
    }

    /// A lease was kept, and Redis said which entry is the last of the partition. Returns whether Redis has lost
    /// entries that were read: the reader then goes on behind the last.
    pub(crate) fn extend(&self, renewal: &Renewal, until: Instant, last: Position) -> bool {
        let mut inner = self.inner();
        let Some(hold) = inner.hold(renewal.tenure) else {
            return false;
        };
        hold.until = hold.until.max(until);
        if renewal.acked.is_some() {
            hold.flushed = renewal.acked;
        }
        // What was read when the question went out was numbered before the answer.
        let read = renewal.read;
        let is_lost = read.position.number > last.number && hold.read.epoch == read.epoch;
        if is_lost && hold.stage == Stage::Begun {
            hold.read.epoch += 1;
            hold.read.position = last;
        }
        drop(inner);
        self.reader.notify_one();
        is_lost
    }

    /// Another replica has the partition, or may have.
    pub(crate) fn lose(&self, tenure: Tenure) {
        let mut inner = self.inner();
        if inner.hold(tenure).is_some() {
            inner.end(tenure.index);
        }
        drop(inner);
        self.consumer.notify_one();
    }

    /// Forgets the tenures that are trusted no longer.
    pub(crate) fn expire(&self, now: Instant) {
        let mut inner = self.inner();
        let over: Vec<u16> = inner
            .holds
            .iter()
            .filter(|(_, hold)| hold.until <= now)
            .map(|(i, _)| *i)
            .collect();
        for index in over {
            tracing::warn!(partition = index, "could not keep the partition in time");
            inner.end(index);
        }
    }

    /// Begins to give a partition up: nothing of it is delivered from now on.
    pub(crate) fn give_up(&self, index: u16, now: Instant) {
        let mut inner = self.inner();
        let Inner { holds, news, .. } = &mut *inner;
        let Some(hold) = holds.get_mut(&index) else {
            return;
        };
        match hold.stage {
            Stage::Untold => {
                news.retain(|news| *news != News::Gained(index));
                hold.stage = Stage::Left;
            }
            Stage::Told | Stage::Begun => {
                hold.stage = Stage::Leaving { since: now };
                news.push_back(News::Lost(index));
            }
            Stage::Leaving { .. } | Stage::Left => {}
        }
        drop(inner);
        self.consumer.notify_one();
        self.keeper.notify_one();
    }

    /// What the consumer is to be told next.
    pub(crate) fn news(&self) -> Option<News> {
        let mut inner = self.inner();
        let news = inner.news.pop_front()?;
        match news {
            News::Gained(index) => {
                if let Some(hold) = inner.holds.get_mut(&index) {
                    hold.stage = Stage::Told;
                }
            }
            News::Lost(index) => {
                if let Some(hold) = inner.holds.get_mut(&index)
                    && let Stage::Leaving { .. } = hold.stage
                {
                    hold.stage = Stage::Left;
                    self.keeper.notify_one();
                }
            }
        }
        Some(news)
    }

    /// Lets the reading of a partition begin. Returns whether a place was not understood.
    pub(crate) fn begin(&self, index: u16, begin: &Begin) -> bool {
        let mut inner = self.inner();
        let Some(hold) = inner.holds.get_mut(&index) else {
            return false;
        };
        let is_strange = hold.begin(begin);
        drop(inner);
        self.reader.notify_one();
        is_strange
    }

    /// What is to be read.
    pub(crate) fn reading(&self) -> Vec<Reading> {
        let inner = self.inner();
        let begun = inner.holds.values().filter(|hold| hold.stage == Stage::Begun);
        begun.map(|hold| hold.read).collect()
    }

    /// An entry was read after the question `asked`.
    pub(crate) fn advance(&self, asked: &Reading, entry: Position) -> Advance {
        let mut inner = self.inner();
        inner
            .hold(asked.tenure)
            .map_or(Advance::Void, |hold| hold.advance(asked, entry))
    }

    /// Whether an entry of a tenure may be delivered now.
    pub(crate) fn admits(&self, tenure: Tenure, now: Instant) -> bool {
        let mut inner = self.inner();
        inner
            .hold(tenure)
            .is_some_and(|hold| hold.stage == Stage::Begun && now < hold.until)
    }

    /// An entry, and all before it, is done.
    pub(crate) fn ack(&self, tenure: Tenure, position: Position) {
        let mut inner = self.inner();
        if let Some(hold) = inner.hold(tenure) {
            hold.ack(position);
        }
    }

    /// The leases to be kept; only those with a new position when `is_dirty`.
    pub(crate) fn renewals(&self, is_dirty: bool) -> Vec<Renewal> {
        let inner = self.inner();
        let stays = inner.holds.values().filter(|hold| hold.stage != Stage::Left);
        stays
            .map(Hold::renewal)
            .filter(|renewal| !is_dirty || renewal.acked.is_some())
            .collect()
    }

    /// Takes out the tenures that are to be given back: those that the consumer knows to be over, those that it was
    /// not told of for too long, and all when it is gone.
    pub(crate) fn leavers(&self, told_before: Option<Instant>) -> Vec<Renewal> {
        let is_ended = self.life() == Life::Ended;
        let mut inner = self.inner();
        let leaves = |hold: &Hold| match hold.stage {
            Stage::Left => true,
            Stage::Leaving { since } => is_ended || told_before.is_some_and(|at| since <= at),
            Stage::Untold | Stage::Told | Stage::Begun => is_ended,
        };
        let left: Vec<u16> = inner
            .holds
            .iter()
            .filter(|(_, hold)| leaves(hold))
            .map(|(i, _)| *i)
            .collect();
        let mut leavers = Vec::new();
        for index in left {
            let Some(hold) = inner.holds.remove(&index) else {
                continue;
            };
            inner.lost += 1;
            leavers.push(hold.renewal());
        }
        leavers
    }

    /// The partitions held, without those that are given up.
    pub(crate) fn held(&self) -> Vec<u16> {
        let inner = self.inner();
        let stays = |hold: &Hold| match hold.stage {
            Stage::Untold | Stage::Told | Stage::Begun => true,
            Stage::Leaving { .. } | Stage::Left => false,
        };
        inner
            .holds
            .iter()
            .filter(|(_, hold)| stays(hold))
            .map(|(i, _)| *i)
            .collect()
    }

    /// Whether the replica has anything to do with a partition.
    pub(crate) fn knows(&self, index: u16) -> bool {
        self.inner().holds.contains_key(&index)
    }

    /// When the first tenure is trusted no longer.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.inner().holds.values().map(|hold| hold.until).min()
    }

    /// The time of the oldest entry that was read and is not acknowledged, milliseconds.
    pub(crate) fn oldest_open_ms(&self) -> Option<u64> {
        let inner = self.inner();
        inner
            .holds
            .values()
            .filter_map(|hold| hold.oldest_open)
            .map(|id| id.ms)
            .min()
    }

    /// How many tenures ever began and ended.
    pub(crate) fn turnover(&self) -> (u64, u64) {
        let inner = self.inner();
        (inner.gained, inner.lost)
    }
}

impl Inner {
    fn hold(&mut self, tenure: Tenure) -> Option<&mut Hold> {
        self.holds
            .get_mut(&tenure.index)
            .filter(|hold| hold.read.tenure == tenure)
    }

    /// Ends a tenure without giving anything back.
    fn end(&mut self, index: u16) {
        let Some(hold) = self.holds.remove(&index) else {
            return;
        };
        self.lost += 1;
        match hold.stage {
            Stage::Untold => self.news.retain(|news| *news != News::Gained(index)),
            Stage::Told | Stage::Begun => self.news.push_back(News::Lost(index)),
            // The consumer was told, or will be.
            Stage::Leaving { .. } | Stage::Left => {}
        }
    }
}
