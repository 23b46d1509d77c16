//! What a replica knows about the partitions that it holds: plain state, shared by the consumer, the keeper of the
//! leases and the reader of the entries. Nothing here waits.

use super::tenure::{Advance, Granted, Life, News, Reading, Renewal, Tenure};
use crate::place::{Id, Position};
use immune_bus::{Begin, Place};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How far a tenure has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The consumer does not know of it.
    Untold,
    /// The consumer knows of it and has not begun.
    Told,
    /// Entries are read and delivered.
    Begun,
    /// It is given up, and the consumer does not know that yet.
    Leaving { since: Instant },
    /// It is given up, and the consumer knows.
    Left,
}

#[derive(Debug)]
struct Hold {
    number: u64,
    granted: Granted,
    until: Instant,
    stage: Stage,
    read: Reading,
    acked: Option<Position>,
    flushed: Option<Position>,
    newest: Id,
    oldest_open: Option<Id>,
}

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
        let number = inner.tenures;
        let tenure = Tenure { index, number };
        let hold = Hold {
            number,
            granted,
            until,
            stage: Stage::Untold,
            read: Reading {
                tenure,
                epoch: 0,
                position: Position::START,
            },
            acked: granted.acked,
            flushed: granted.acked,
            newest: Id::default(),
            oldest_open: None,
        };
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
        if hold.stage != Stage::Told {
            return false;
        }
        let acked = hold.granted.acked.unwrap_or(Position::START);
        let mut is_strange = false;
        let mut position = match begin {
            Begin::After(None) => acked,
            Begin::After(Some(place)) => Place::as_str(place).parse().unwrap_or_else(|_| {
                is_strange = true;
                acked
            }),
            Begin::Again { since } => {
                let ms = u64::try_from(since.as_micros() / 1_000).unwrap_or(0);
                let since = Position::before(ms);
                if since.id < acked.id { since } else { acked }
            }
        };
        // Redis has lost what was after its last entry: new entries follow that one.
        let last = hold.granted.last;
        if position.id > last.id {
            position = last;
        }
        hold.read.position = position;
        hold.stage = Stage::Begun;
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
        let Some(hold) = inner.hold(asked.tenure) else {
            return Advance::Void;
        };
        if hold.stage != Stage::Begun || hold.read.epoch != asked.epoch || entry.id <= hold.read.position.id {
            return Advance::Void;
        }
        let before = hold.read.position;
        hold.read.position = entry;
        hold.newest = entry.id;
        hold.oldest_open.get_or_insert(entry.id);
        if before.number == 0 || entry.number == 0 || entry.number == before.number + 1 {
            Advance::Next
        } else if entry.number <= before.number {
            Advance::Renumbered
        } else {
            Advance::Gap {
                entries: entry.number - before.number - 1,
                since_ms: before.id.ms,
            }
        }
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
        let Some(hold) = inner.hold(tenure) else {
            return;
        };
        if hold.acked.is_none_or(|acked| acked.id < position.id) {
            hold.acked = Some(position);
        }
        hold.oldest_open = (position.id < hold.newest).then_some(position.id);
    }

    /// The leases to be kept; only those with a new position when `is_dirty`.
    pub(crate) fn renewals(&self, is_dirty: bool) -> Vec<Renewal> {
        let inner = self.inner();
        let mut renewals = Vec::new();
        for (index, hold) in &inner.holds {
            let acked = hold.acked.filter(|_| hold.acked != hold.flushed);
            if hold.stage == Stage::Left || (is_dirty && acked.is_none()) {
                continue;
            }
            renewals.push(Renewal {
                tenure: Tenure {
                    index: *index,
                    number: hold.number,
                },
                fence: hold.granted.fence,
                acked,
                read: hold.read,
            });
        }
        renewals
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
            leavers.push(Renewal {
                tenure: Tenure {
                    index,
                    number: hold.number,
                },
                fence: hold.granted.fence,
                acked: hold.acked.filter(|_| hold.acked != hold.flushed),
                read: hold.read,
            });
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
            .filter(|hold| hold.number == tenure.number)
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
