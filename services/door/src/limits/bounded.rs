//! A map of a stated size that forgets what was not touched for longest, in two generations.

use std::collections::HashMap;
use std::hash::Hash;

/// Keeps at most `max` entries, and at least the half of them that was touched last.
pub(super) struct Bounded<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash + Clone, V> Bounded<K, V> {
    pub fn new(max: usize) -> Self {
        Bounded {
            young: HashMap::new(),
            old: HashMap::new(),
            half: (max / 2).max(1),
        }
    }

    /// An entry, without touching it.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// An entry, made when there is none; touched.
    pub fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.young.contains_key(&key) && self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        let before = self.old.remove(&key);
        self.young
            .entry(key)
            .or_insert_with(|| before.unwrap_or_else(make))
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a million keys pass by, one of them again and again.
    /// Guarantees: the size is bounded, and what is touched stays.
    #[test]
    fn what_is_touched_stays() {
        let mut map = Bounded::new(100);
        *map.entry(0, || 0) = 7;
        for key in 1..1_000_000_u32 {
            map.entry(key, || 1);
            assert!(map.len() <= 100);
            if key % 49 == 0 {
                assert_eq!(*map.entry(0, || 0), 7);
            }
        }
        assert_eq!(map.get(&0), Some(&7));
        assert_eq!(map.get(&5), None);
    }
}
