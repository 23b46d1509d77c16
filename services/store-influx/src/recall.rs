//! What this process remembers of the executions that it wrote: their revision and their place. So most corrections
//! need no question, and two executions that hash to one place are told apart.

use crate::place::{AgentHash, Identity};
use immune_domain::Timestamp;
use immune_domain::vitals::Vitals;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How much an execution may have ended before the beginning of our memory and still be new: the time from the end
/// of an execution to its first report, and clocks that differ.
const MARGIN: Duration = Duration::from_secs(60);

/// What is known of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) revision: u32,
    /// Time of its point, nanoseconds.
    pub(crate) place: i64,
    /// Time of its entry by reception, if it has one.
    pub(crate) displaced: Option<i64>,
    /// The reception of its first revision.
    pub(crate) first_received: Timestamp,
    /// The reception of this revision.
    pub(crate) received: Timestamp,
    /// Whether it counts; otherwise it was retracted.
    pub(crate) live: bool,
}

struct Entry {
    known: Known,
    agent: AgentHash,
    turn: u64,
}

/// A bounded memory; the execution that was written longest ago makes room.
pub(crate) struct Recall {
    entries: HashMap<Identity, Entry>,
    places: HashMap<(AgentHash, i64), Identity>,
    /// In the order of writing; an execution that was written again is there again, and only its last turn counts.
    turns: VecDeque<(Identity, u64)>,
    next_turn: u64,
    max: usize,
    /// Everything that this process received later is remembered. `None` before the first record.
    since: Option<Timestamp>,
}

impl Recall {
    pub(crate) fn new(max: usize) -> Self {
        Recall {
            entries: HashMap::new(),
            places: HashMap::new(),
            turns: VecDeque::new(),
            next_turn: 0,
            max,
            since: None,
        }
    }

    pub(crate) fn get(&self, identity: Identity) -> Option<Known> {
        self.entries.get(&identity).map(|entry| entry.known)
    }

    /// Which execution of an agent lies at a place.
    pub(crate) fn occupant(&self, agent: AgentHash, place: i64) -> Option<Identity> {
        self.places.get(&(agent, place)).copied()
    }

    /// Marks the beginning of memory.
    pub(crate) fn begin(&mut self, first_received: Timestamp) {
        self.since.get_or_insert(first_received);
    }

    /// Whether a record that is not remembered may be in the store all the same.
    pub(crate) fn may_be_forgotten(&self, vitals: &Vitals) -> bool {
        vitals.revision > 0
            || self
                .since
                .is_none_or(|since| vitals.timestamp < since.plus(MARGIN))
    }

    pub(crate) fn put(&mut self, identity: Identity, agent: AgentHash, known: Known) {
        let turn = self.next_turn;
        self.next_turn += 1;
        if let Some(old) = self.entries.insert(identity, Entry { known, agent, turn }) {
            self.free(old.agent, old.known.place, identity);
        }
        self.places.insert((agent, known.place), identity);
        self.turns.push_back((identity, turn));
        while self.entries.len() > self.max {
            self.forget_oldest();
        }
        if self.turns.len() > 2 * self.max.max(1_024) {
            self.turns
                .retain(|(identity, turn)| self.entries.get(identity).is_some_and(|e| e.turn == *turn));
        }
    }

    fn forget_oldest(&mut self) {
        let Some((identity, turn)) = self.turns.pop_front() else {
            return;
        };
        if self
            .entries
            .get(&identity)
            .is_some_and(|entry| entry.turn == turn)
            && let Some(entry) = self.entries.remove(&identity)
        {
            self.free(entry.agent, entry.known.place, identity);
            self.since = self.since.max(Some(entry.known.received));
        }
    }

    /// Forgets what was received before a time, because it is no longer in the store.
    pub(crate) fn forget_before(&mut self, before: Timestamp) {
        let places = &mut self.places;
        self.entries.retain(|_, entry| {
            let stays = entry.known.received >= before;
            if !stays {
                places.remove(&(entry.agent, entry.known.place));
            }
            stays
        });
    }

    fn free(&mut self, agent: AgentHash, place: i64, identity: Identity) {
        if self.places.get(&(agent, place)) == Some(&identity) {
            self.places.remove(&(agent, place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use immune_domain::{AgentKey, ExecutionId};
    use immune_store::conformance::samples::{at, vitals};

    fn known(second: i64) -> Known {
        Known {
            revision: 0,
            place: second,
            displaced: None,
            first_received: at(second),
            received: at(second),
            live: true,
        }
    }

    /// Scenario: more executions than there is room for, one of them written again and again.
    /// Guarantees: the memory is bounded, the oldest goes first, and from then on older records may be forgotten ones.
    #[test]
    fn memory_is_bounded() {
        let key = AgentKey::new("r", "a");
        let (agent, id) = (AgentHash::of(&key), |n: i64| {
            Identity::of(&key, &ExecutionId::new(n.to_string()))
        });
        let mut recall = Recall::new(3);
        assert!(recall.may_be_forgotten(&vitals(&key, "x", at(1_000_000))));
        recall.begin(at(0));
        for n in 0..5 {
            recall.put(id(n), agent, known(n));
            recall.put(id(0), agent, known(0));
        }
        assert!(recall.get(id(0)).is_some() && recall.get(id(4)).is_some());
        assert_eq!(recall.get(id(1)), None);
        assert_eq!(recall.occupant(agent, 1), None);
        assert_eq!(recall.occupant(agent, 4), Some(id(4)));
        assert!(recall.may_be_forgotten(&vitals(&key, "x", at(61))));
        assert!(!recall.may_be_forgotten(&vitals(&key, "x", at(63))));
        recall.forget_before(at(4));
        assert_eq!(recall.get(id(0)), None);
        for n in 0..10_000 {
            recall.put(id(4), agent, known(n));
        }
        assert!(recall.turns.len() <= 2_048, "{}", recall.turns.len());
        assert_eq!(recall.places.len(), 1);
    }
}
