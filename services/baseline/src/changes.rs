//! Which agents of a partition have changed since they were stored, the longest changed first.

use immune_domain::AgentKey;
use std::collections::{BTreeMap, HashMap};

/// A change with its number.
pub(crate) type Numbered = (u64, AgentKey);

/// Changed agents, each once.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    numbers: HashMap<AgentKey, u64>,
    in_order: BTreeMap<u64, AgentKey>,
    next: u64,
    /// The first of those that are being written.
    writing: Option<u64>,
}

impl Changes {
    /// An agent has changed; one that waits already keeps its turn.
    pub(crate) fn mark(&mut self, key: &AgentKey) {
        if !self.numbers.contains_key(key) {
            self.insert(self.next, key.clone());
            self.next += 1;
        }
    }

    /// An agent is no more.
    pub(crate) fn remove(&mut self, key: &AgentKey) {
        if let Some(number) = self.numbers.remove(key) {
            self.in_order.remove(&number);
        }
    }

    /// Takes out at most so many, to be written. They are followed by [`Changes::stored`] or [`Changes::put_back`].
    pub(crate) fn take(&mut self, count_max: usize) -> Vec<Numbered> {
        let mut taken = Vec::with_capacity(self.in_order.len().min(count_max));
        while taken.len() < count_max {
            let Some((number, key)) = self.in_order.pop_first() else {
                break;
            };
            self.numbers.remove(&key);
            taken.push((number, key));
        }
        self.writing = taken.first().map(|(number, _)| *number);
        taken
    }

    /// What was taken is stored.
    pub(crate) fn stored(&mut self) {
        self.writing = None;
    }

    /// What was taken is not stored, and has its turn again.
    pub(crate) fn put_back(&mut self, taken: Vec<Numbered>) {
        self.writing = None;
        for (number, key) in taken {
            self.remove(&key);
            self.insert(number, key);
        }
    }

    /// All changes with a lower number are stored.
    pub(crate) fn stored_below(&self) -> u64 {
        let waiting = self.in_order.first_key_value().map(|(number, _)| *number);
        let oldest = self.writing.into_iter().chain(waiting).min();
        oldest.unwrap_or(self.next)
    }

    /// The number of the next change.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn len(&self) -> usize {
        self.in_order.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }

    fn insert(&mut self, number: u64, key: AgentKey) {
        self.in_order.insert(number, key.clone());
        self.numbers.insert(key, number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> AgentKey {
        AgentKey::new("default", name)
    }

    /// Scenario: three agents change, two are written, one of them changes meanwhile, the write fails and is repeated.
    /// Guarantees: what is not stored is never taken for stored, and everything is written at last.
    #[test]
    fn a_failed_write_has_its_turn_again() {
        let mut changes = Changes::default();
        ["a", "b", "a", "c"]
            .iter()
            .for_each(|name| changes.mark(&key(name)));
        let safe_from = changes.next();
        let taken = changes.take(2);
        assert_eq!(taken, [(0, key("a")), (1, key("b"))]);
        changes.mark(&key("a"));
        assert_eq!(changes.stored_below(), 0);
        changes.put_back(taken);
        assert_eq!((changes.len(), changes.stored_below()), (3, 0));
        assert_eq!(changes.take(2).len(), 2);
        changes.mark(&key("b"));
        changes.stored();
        assert_eq!(changes.stored_below(), 2);
        assert_eq!(changes.take(1), [(2, key("c"))]);
        changes.stored();
        assert!(
            changes.stored_below() >= safe_from,
            "the later change of b does not count"
        );
        assert!(!changes.is_empty());
        changes.remove(&key("b"));
        assert!(changes.is_empty());
    }
}
