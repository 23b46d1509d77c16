//! What a replica knows about one partition that it holds.

use super::tenure::{Advance, Granted, Reading, Renewal, Tenure};
use crate::place::{Id, Position};
use immune_bus::{Begin, Place};
use tokio::time::Instant;

/// How far a tenure has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
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
pub(super) struct Hold {
    pub(super) granted: Granted,
    /// Trusted until then.
    pub(super) until: Instant,
    pub(super) stage: Stage,
    pub(super) read: Reading,
    acked: Option<Position>,
    /// What Redis has of it.
    pub(super) flushed: Option<Position>,
    newest: Id,
    /// The oldest entry that was read and is not acknowledged; after an acknowledgement, the one before it.
    pub(super) oldest_open: Option<Id>,
}

impl Hold {
    pub(super) fn new(tenure: Tenure, granted: Granted, until: Instant) -> Self {
        Hold {
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
        }
    }

    /// Lets the reading begin. Returns whether a place was not understood.
    pub(super) fn begin(&mut self, begin: &Begin) -> bool {
        if self.stage != Stage::Told {
            return false;
        }
        let acked = self.granted.acked.unwrap_or(Position::START);
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
        let last = self.granted.last;
        if position.id > last.id {
            position = last;
        }
        self.read.position = position;
        self.stage = Stage::Begun;
        is_strange
    }

    /// An entry was read after the question `asked`.
    pub(super) fn advance(&mut self, asked: &Reading, entry: Position) -> Advance {
        let before = self.read.position;
        if self.stage != Stage::Begun || self.read.epoch != asked.epoch || entry.id <= before.id {
            return Advance::Void;
        }
        self.read.position = entry;
        self.newest = entry.id;
        self.oldest_open.get_or_insert(entry.id);
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

    /// An entry, and all before it, is done.
    pub(super) fn ack(&mut self, position: Position) {
        if self.acked.is_none_or(|acked| acked.id < position.id) {
            self.acked = Some(position);
        }
        self.oldest_open = (position.id < self.newest).then_some(position.id);
    }

    /// What keeps the lease, or gives it back.
    pub(super) fn renewal(&self) -> Renewal {
        Renewal {
            tenure: self.read.tenure,
            fence: self.granted.fence,
            acked: self.acked.filter(|_| self.acked != self.flushed),
            read: self.read,
        }
    }
}
