//! One partition that this replica holds: its agents, what waits to be learned, and how far it is.
//!
//! Where the bus delivers again what was not stored (its deliveries name their place), entries take effect strictly in
//! their order, so that one place says what the profiles contain. Elsewhere each record takes effect as soon as it
//! may, and an agent that begins to learn does not wait for one that is judged.

use crate::acting::Pending;
use crate::agent::Agent;
use crate::changes::Changes;
use crate::config::Config;
use crate::entries::{Entries, Item, Lesson, Spot};
use crate::matching::{Came, Matching, Met};
use crate::metrics::Metrics;
use crate::recent::identity;
use crate::verdicts::Verdict;
use crate::writing::BATCH_MAX;
use immune_bus::{Delivery, Record};
use immune_domain::baseline::Late;
use immune_domain::policy::LivePolicies;
use immune_domain::{AgentKey, Timestamp};
use immune_store::baselines::{StoredProfile, Tenure};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long a record waits for its verdict when later records of the partition have theirs: enough for another
/// replica of the sentinel to take over and repeat what it judged.
const MISSED_AFTER: Duration = Duration::from_secs(30);

/// What all partitions of a replica share.
pub(crate) struct Rules {
    pub(crate) config: Config,
    pub(crate) policies: LivePolicies,
    pub(crate) metrics: Metrics,
    /// Agents of all partitions together.
    pub(crate) agents: AtomicUsize,
}

impl Rules {
    pub(crate) fn stale_after(&self) -> Duration {
        Duration::from_secs(self.config.stale_after_seconds)
    }
}

/// A partition that is held.
pub(crate) struct Held {
    pub(crate) rules: Arc<Rules>,
    pub(crate) tenure: Tenure,
    pub(crate) agents: HashMap<AgentKey, Agent>,
    /// Grows with every new agent, so that a lesson of one that was reset is not taken from its successor.
    pub(crate) lives: u64,
    pub(crate) changes: Changes,
    pub(crate) entries: Entries,
    pub(crate) matching: Matching,
    pub(crate) late: Late,
    /// Records whose lesson waits, where each takes effect on its own.
    due: VecDeque<Spot>,
    /// Entries with a lower number were judged as far as the sentinel will.
    judged_below: u64,
    /// Whether the bus names places.
    pub(crate) is_placed: bool,
    /// Whether the place is not stored.
    pub(crate) has_moved: bool,
    /// Whether there was more for the last write than it has room for.
    pub(crate) is_cut: bool,
    /// What people have done that is not stored.
    pub(crate) pending: Vec<Pending>,
    /// Agents whose stored state time has changed.
    pub(crate) stale: Vec<AgentKey>,
    /// The last entry that has taken effect, to be acknowledged: that is the acknowledgement of all before it.
    pub(crate) done: Option<Delivery>,
    /// Where the bus names no places: an entry that is acknowledged when the changes below the number are stored.
    pub(crate) acknowledging: Option<(u64, Delivery)>,
}

impl Held {
    pub(crate) fn new(rules: Arc<Rules>, tenure: Tenure, profiles: &[StoredProfile]) -> Self {
        let agents: HashMap<AgentKey, Agent> = profiles
            .iter()
            .map(|stored| (stored.profile.key.clone(), Agent::of(stored)))
            .collect();
        rules.agents.fetch_add(agents.len(), Ordering::Relaxed);
        let matching = Matching::new(Duration::from_secs(rules.config.waiting_seconds_max));
        let late = Late::new(Duration::from_secs(rules.config.learn_late_seconds));
        Held {
            rules,
            tenure,
            agents,
            lives: 1,
            changes: Changes::default(),
            entries: Entries::default(),
            matching,
            late,
            due: VecDeque::new(),
            judged_below: 0,
            is_placed: false,
            has_moved: false,
            is_cut: false,
            pending: Vec::new(),
            stale: Vec::new(),
            acknowledging: None,
            done: None,
        }
    }

    /// Which taking over of the partition this is.
    pub(crate) fn fence(&self) -> u64 {
        self.tenure.fence
    }

    /// Whether its bus delivers again what was not stored.
    pub(crate) fn is_placed(&self) -> bool {
        self.is_placed
    }

    /// Records that have not taken effect, and those in their way.
    pub(crate) fn waiting(&self) -> usize {
        self.entries.records()
    }

    /// Executions that wait or are remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.matching.len()
    }

    /// Forgets what has been remembered for too long, and the oldest beyond `remembered_max`.
    pub(crate) fn expire(&mut self, remembered_max: usize, now: Timestamp) {
        self.matching
            .expire(remembered_max.saturating_add(self.entries.records()), now);
    }

    /// Agents are no longer counted.
    pub(crate) fn count_agents_gone(&self, count: usize) {
        self.rules.agents.fetch_sub(count, Ordering::Relaxed);
    }

    /// Takes an entry in. Where nothing is delivered twice, at most `room` records are held: the first entries give
    /// way if they only wait for verdicts, else the new records teach nothing.
    pub(crate) fn take(&mut self, delivery: Delivery, room: usize, now: Timestamp) {
        self.is_placed |= delivery.place.is_some();
        let batch = delivery.batch.clone();
        let has_room = self.is_placed || self.make_room(room.saturating_sub(batch.len()), now);
        let entry = self.entries.begin(delivery, now);
        let mut index = 0;
        for record in batch.iter() {
            match record {
                Record::Vitals(vitals) if has_room => {
                    let lesson = Box::new(Lesson::of(vitals));
                    self.record(lesson, Spot { entry, index }, now);
                }
                Record::Vitals(_) => {
                    self.rules.metrics.withheld.inc();
                    continue;
                }
                Record::Retracted(key, execution) => {
                    let identity = identity(key, execution.as_str());
                    for spot in self.matching.withdraw(identity, now) {
                        self.entries.replace(spot, Item::Done);
                    }
                    let key = key.clone();
                    self.entries.push(Item::Retracts { key, identity });
                    self.effect_if_free(Spot { entry, index }, now);
                }
            }
            index += 1;
        }
    }

    fn record(&mut self, lesson: Box<Lesson>, spot: Spot, now: Timestamp) {
        let metrics = &self.rules.metrics;
        match self.matching.record(lesson.identity, lesson.revision, spot, now) {
            Came::Waits => self.entries.push(Item::Waits(lesson)),
            Came::Judged { teaches } => {
                self.entries.push(Item::Waits(lesson));
                self.word(spot, teaches, now);
            }
            Came::Repeated => {
                metrics.repeated.inc();
                self.entries.push(Item::Done);
            }
            Came::Orphaned => {
                metrics.unreplaced.inc();
                self.entries.push(Item::Done);
            }
            Came::Void => self.entries.push(Item::Done),
        }
    }

    /// Verdicts kept until their record comes.
    pub(crate) fn early(&self) -> usize {
        self.matching.early()
    }

    /// A verdict came; without its record it is kept if `has_room`. `false` when it was not.
    pub(crate) fn judge(&mut self, verdict: &Verdict, has_room: bool, now: Timestamp) -> bool {
        let identity = identity(&verdict.key, &verdict.execution);
        let (revision, teaches) = (verdict.revision, verdict.teaches);
        let met = self.matching.verdict(identity, revision, teaches, has_room, now);
        match met {
            Met::Judged | Met::Refused => {}
            Met::Record(_) | Met::Nothing => self.note_standing(verdict),
        }
        // A verdict that is only repeated tells of an old sickness.
        if verdict.is_sick && met != Met::Judged {
            self.late.sicken(&verdict.key);
        }
        match met {
            Met::Record(spot) => {
                self.judged_below = self.judged_below.max(spot.entry);
                self.word(spot, teaches, now);
            }
            // The sentinel is ahead of what came here.
            Met::Nothing | Met::Refused => self.judged_below = self.entries.next(),
            Met::Judged => {}
        }
        met != Met::Refused
    }

    /// Whether the agent was well or sick, for the question of which is right after long: the agent or its baseline.
    fn note_standing(&mut self, verdict: &Verdict) {
        let agent = self.agents.get_mut(&verdict.key);
        if let Some(agent) = agent.filter(|_| verdict.is_well || verdict.is_sick) {
            let before = agent.lasting.is_suspect();
            agent.lasting.take(verdict.is_sick);
            if agent.lasting.is_suspect() != before {
                self.changes.mark(&verdict.key);
            }
        }
    }

    /// A record has its verdict.
    fn word(&mut self, spot: Spot, teaches: bool, now: Timestamp) {
        let item = match self.entries.replace(spot, Item::Done) {
            Item::Waits(lesson) if teaches => {
                let ticket = self.late.begin(&lesson.key, now);
                Item::Teaches(lesson, ticket)
            }
            Item::Waits(lesson) => Item::Withheld(lesson),
            other @ (Item::Teaches(..) | Item::Withheld(_) | Item::Retracts { .. } | Item::Done) => other,
        };
        self.entries.replace(spot, item);
        self.effect_if_free(spot, now);
    }

    /// Where order does not matter, a record that is ready takes effect at once, and one that waits when it is due.
    fn effect_if_free(&mut self, spot: Spot, now: Timestamp) {
        if self.is_placed {
            return;
        }
        let is_ready = self
            .entries
            .get(spot)
            .is_some_and(|item| self.is_ready(item, spot.entry, now, now));
        if is_ready {
            self.effect(spot, now);
        } else {
            self.due.push_back(spot);
        }
    }

    fn is_ready(&self, item: &Item, entry: u64, came: Timestamp, now: Timestamp) -> bool {
        match item {
            Item::Teaches(lesson, ticket) => {
                let is_judged = self.agents.get(&lesson.key).is_some_and(Agent::is_judged);
                self.late.is_due(&lesson.key, *ticket, is_judged, now)
            }
            Item::Waits(_) => {
                let waited = now.since(came);
                waited >= Duration::from_secs(self.rules.config.waiting_seconds_max)
                    || (entry < self.judged_below && waited >= MISSED_AFTER)
            }
            Item::Withheld(_) | Item::Retracts { .. } | Item::Done => true,
        }
    }

    /// Lets everything take effect that may by now, as far as there is room in a write.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        self.is_cut = false;
        // Half of a write at most: what was learned has the other half.
        while self.changes.len() < BATCH_MAX / 2
            && let Some(key) = self.stale.pop()
        {
            self.changes.mark(&key);
        }
        while let Some(spot) = self.due.front().copied() {
            let item = self.entries.get(spot);
            if !item.is_none_or(|item| self.is_ready(item, spot.entry, now, now)) {
                break;
            }
            self.due.pop_front();
            self.effect(spot, now);
        }
        while let Some((number, entry)) = self.entries.front() {
            let came = entry.came;
            if !entry
                .items
                .iter()
                .all(|item| self.is_ready(item, number, came, now))
            {
                break;
            }
            if self.is_placed && self.changes.len() >= BATCH_MAX {
                self.is_cut = true;
                break;
            }
            self.effect_front(now);
        }
    }

    /// Lets the first entry take effect.
    fn effect_front(&mut self, now: Timestamp) {
        let Some((number, entry)) = self.entries.front() else {
            return;
        };
        for index in 0..entry.items.len() {
            self.effect(Spot { entry: number, index }, now);
        }
        if let Some(entry) = self.entries.pop() {
            if entry.delivery.place.is_some() {
                self.tenure.place.clone_from(&entry.delivery.place);
                self.has_moved = true;
            }
            self.done = Some(entry.delivery);
        }
    }

    /// Gives up first entries until at most `count_max` records are held; `false` where lessons are in the way.
    fn make_room(&mut self, count_max: usize, now: Timestamp) -> bool {
        while self.entries.records() > count_max {
            let waits_for_time = |item: &Item| matches!(item, Item::Teaches(..));
            match self.entries.front() {
                Some((_, entry)) if !entry.items.iter().any(waits_for_time) => self.effect_front(now),
                Some(_) => return false,
                None => return true,
            }
        }
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count_agents_gone(self.agents.len());
    }
}

#[cfg(test)]
mod tests;
