//! Brings executions and verdicts together, whichever comes first, each exactly once.
//!
//! An execution is remembered for a while after it taught, so that a repetition does not teach twice and a
//! correction (a late child, a withdrawal) takes the first lesson back. What is remembered is bounded by count and by
//! time; what still waits is bounded by whoever holds it.

use crate::early::Early;
use crate::entries::Spot;
use immune_domain::Timestamp;
use immune_domain::baseline::Sample;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// What becomes of a record that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// Its verdict has not come.
    Waits,
    /// Its verdict was here before it.
    Judged {
        /// Whether it may teach.
        teaches: bool,
    },
    /// It was here before.
    Repeated,
    /// It corrects a record that is not remembered, and may have taught: it must not teach a second time.
    Orphaned,
    /// Its execution does not count.
    Void,
}

/// What a verdict meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// The record that waited for it.
    Record(Spot),
    /// Nothing yet; it is kept.
    Nothing,
    /// Nothing yet, and there is no room to keep it.
    Refused,
    /// A record that has had its verdict.
    Judged,
}

/// What a record that takes effect does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Settled {
    /// It counts.
    Counts {
        /// Taught earlier by the same execution, and no longer true.
        forget: Option<Taught>,
        /// No other record of its execution has counted.
        is_first: bool,
    },
    /// Nothing: its execution was withdrawn, or a later record was quicker.
    Void,
}

/// What an execution taught.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Taught {
    /// The numbers.
    pub sample: Sample,
    /// Which life of the agent has them; a reset begins another.
    pub life: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Whatever comes of it is judged on its own.
    Counts,
    /// Turned out to be a part of another execution; nothing of it counts any more.
    Withdrawn,
    /// What it taught is not remembered here; nothing of it counts a second time.
    Foreign,
}

#[derive(Debug)]
struct Slot {
    standing: Standing,
    /// The highest revision of a record that came.
    came: Option<u32>,
    /// The highest revision that has taken effect.
    settled: Option<u32>,
    /// Records without a verdict.
    waiting: Vec<(u32, Spot)>,
    /// Records that have not taken effect.
    open: u32,
    taught: Option<Taught>,
}

/// Executions that wait for their verdict, and those remembered, by [`crate::recent::identity`].
#[derive(Debug)]
pub struct Matching {
    slots: HashMap<u64, Slot>,
    /// In the order in which they came.
    order: VecDeque<(u64, Timestamp)>,
    early: Early,
    age_max: Duration,
}

impl Matching {
    /// Remembers none for longer.
    pub fn new(age_max: Duration) -> Self {
        Matching {
            slots: HashMap::new(),
            order: VecDeque::new(),
            early: Early::default(),
            age_max,
        }
    }

    /// A record came, and is held at `spot`. One that waits or is judged has to be followed by [`Matching::settle`]
    /// or [`Matching::give_up`].
    pub fn record(&mut self, identity: u64, revision: u32, spot: Spot, now: Timestamp) -> Came {
        let early = self.early.take(identity, revision);
        let slot = self.slot(identity, now);
        match slot.standing {
            Standing::Counts => {}
            Standing::Withdrawn | Standing::Foreign => return Came::Void,
        }
        match slot.came {
            Some(came) if came >= revision => return Came::Repeated,
            None if revision > 0 => {
                slot.standing = Standing::Foreign;
                return Came::Orphaned;
            }
            None | Some(_) => slot.came = Some(revision),
        }
        slot.open += 1;
        match early {
            Some(teaches) => Came::Judged { teaches },
            None => {
                slot.waiting.push((revision, spot));
                Came::Waits
            }
        }
    }

    /// A verdict came. Without its record it is kept, if `has_room`.
    pub fn verdict(
        &mut self,
        identity: u64,
        revision: u32,
        teaches: bool,
        has_room: bool,
        now: Timestamp,
    ) -> Met {
        if let Some(slot) = self.slots.get_mut(&identity) {
            if let Some(at) = slot.waiting.iter().position(|(waiting, _)| *waiting == revision) {
                return Met::Record(slot.waiting.swap_remove(at).1);
            }
            let is_known = slot.came.is_some_and(|came| came >= revision);
            if is_known || slot.standing != Standing::Counts {
                return Met::Judged;
            }
        }
        if self.early.contains(identity, revision) {
            Met::Judged
        } else if has_room {
            self.early.put(identity, revision, teaches, now);
            Met::Nothing
        } else {
            Met::Refused
        }
    }

    /// An execution turned out to be a part of another one; returns the records of it that wait for a verdict, and
    /// need none.
    pub fn withdraw(&mut self, identity: u64, now: Timestamp) -> Vec<Spot> {
        let slot = self.slot(identity, now);
        slot.standing = Standing::Withdrawn;
        let waiting = std::mem::take(&mut slot.waiting);
        slot.open = slot
            .open
            .saturating_sub(u32::try_from(waiting.len()).unwrap_or(u32::MAX));
        waiting.into_iter().map(|(_, spot)| spot).collect()
    }

    /// Takes back what a withdrawn execution taught, if it is remembered.
    pub fn retract(&mut self, identity: u64) -> Option<Taught> {
        self.slots.get_mut(&identity)?.taught.take()
    }

    /// A judged record takes effect. What it teaches, if it does, is told with [`Matching::taught`].
    pub fn settle(&mut self, identity: u64, revision: u32) -> Settled {
        let Some(slot) = self.slots.get_mut(&identity) else {
            return Settled::Void;
        };
        slot.open = slot.open.saturating_sub(1);
        let is_outrun = slot.settled.is_some_and(|settled| settled >= revision);
        if is_outrun || slot.standing != Standing::Counts {
            return Settled::Void;
        }
        let is_first = slot.settled.replace(revision).is_none();
        let forget = slot.taught.take();
        Settled::Counts { forget, is_first }
    }

    /// An execution taught this.
    pub fn taught(&mut self, identity: u64, taught: Taught) {
        if let Some(slot) = self.slots.get_mut(&identity) {
            slot.taught = Some(taught);
        }
    }

    /// An execution has taught elsewhere: nothing of it counts a second time.
    pub fn disown(&mut self, identity: u64) {
        if let Some(slot) = self.slots.get_mut(&identity) {
            slot.standing = Standing::Foreign;
        }
    }

    /// A record has waited too long for its verdict.
    pub fn give_up(&mut self, identity: u64, revision: u32) {
        if let Some(slot) = self.slots.get_mut(&identity) {
            slot.open = slot.open.saturating_sub(1);
            slot.waiting.retain(|(waiting, _)| *waiting != revision);
        }
    }

    /// Forgets what is too old, and the oldest of those that are more than `count_max`. What still waits is kept.
    pub fn expire(&mut self, count_max: usize, now: Timestamp) {
        let age_max = self.age_max;
        self.early.expire(age_max, now);
        for _ in 0..self.order.len() {
            let is_old = |(_, since): &(u64, Timestamp)| now.since(*since) > age_max;
            if self.slots.len() <= count_max && !self.order.front().is_some_and(is_old) {
                return;
            }
            let Some((identity, _)) = self.order.pop_front() else {
                return;
            };
            if self.slots.get(&identity).is_some_and(|slot| slot.open > 0) {
                self.order.push_back((identity, now));
            } else {
                self.slots.remove(&identity);
            }
        }
    }

    /// Verdicts kept until their record comes.
    pub fn early(&self) -> usize {
        self.early.len()
    }

    /// How many are waiting or remembered.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn slot(&mut self, identity: u64, now: Timestamp) -> &mut Slot {
        self.slots.entry(identity).or_insert_with(|| {
            self.order.push_back((identity, now));
            Slot {
                standing: Standing::Counts,
                came: None,
                settled: None,
                waiting: Vec::new(),
                open: 0,
                taught: None,
            }
        })
    }
}

#[cfg(test)]
mod tests;
