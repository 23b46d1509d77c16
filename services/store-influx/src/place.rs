//! Where a record lies: the time of its point, which together with the tags is its identity in InfluxDB.
//!
//! Two executions of one agent may end at the same microsecond, and points of one time overwrite each other. So the
//! nanoseconds below the record's time are taken from a hash of the execution: 1,000 places for a time in
//! microseconds, and 1,000,000 for a whole millisecond, because clocks that tell no finer time put many executions
//! there. The exact time is a field. What is read in the order of points is therefore put in order again within a
//! millisecond, the *group*.

use immune_domain::{AgentKey, ExecutionId, Timestamp};
use sha2::{Digest, Sha256};

const MICROS_PER_GROUP: i64 = 1_000;
/// Nanoseconds in a group.
pub(crate) const GROUP: i64 = 1_000_000;
/// The first and the last group that InfluxDB has time for (years 1677 and 2262). Times beyond lie at the edge, in
/// the order of their field.
const GROUP_MIN: i64 = i64::MIN / GROUP + 1;
const GROUP_MAX: i64 = i64::MAX / GROUP - 1;

/// An execution's identity in short, and where its hash puts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    id: u128,
    slot: u64,
}

/// An agent in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AgentHash(u128);

fn hash(parts: &[&str]) -> (u128, u64) {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let bytes: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    let mut slot = [0; 8];
    id.copy_from_slice(&bytes[..16]);
    slot.copy_from_slice(&bytes[16..24]);
    (u128::from_le_bytes(id), u64::from_le_bytes(slot))
}

impl Identity {
    pub(crate) fn of(key: &AgentKey, execution: &ExecutionId) -> Self {
        let (id, slot) = hash(&[key.run.as_str(), key.agent.as_str(), execution.as_str()]);
        Identity { id, slot }
    }

    /// The point's time for a record's time, nanoseconds. `attempt` above 0 is for a place that another execution
    /// has taken.
    pub(crate) fn place(self, timestamp: Timestamp, attempt: u64) -> i64 {
        let micros = timestamp.as_micros();
        let group = micros.div_euclid(MICROS_PER_GROUP);
        if group < GROUP_MIN {
            return GROUP_MIN * GROUP + self.within(GROUP, attempt);
        }
        if group > GROUP_MAX {
            return GROUP_MAX * GROUP + self.within(GROUP, attempt);
        }
        match micros.rem_euclid(MICROS_PER_GROUP) {
            0 => group * GROUP + self.within(GROUP, attempt),
            _ => micros * 1_000 + self.within(1_000, attempt),
        }
    }

    fn within(self, places: i64, attempt: u64) -> i64 {
        (self.slot.wrapping_add(attempt) % places as u64) as i64
    }
}

impl AgentHash {
    pub(crate) fn of(key: &AgentKey) -> Self {
        AgentHash(hash(&[key.run.as_str(), key.agent.as_str()]).0)
    }
}

/// The first and the last nanosecond of the group of a place.
pub(crate) fn group_of(place: i64) -> (i64, i64) {
    let start = place.div_euclid(GROUP) * GROUP;
    (start, start + (GROUP - 1))
}

/// The first nanosecond at which a record of this time or later can lie.
pub(crate) fn earliest(timestamp: Timestamp) -> i64 {
    timestamp
        .as_micros()
        .div_euclid(MICROS_PER_GROUP)
        .clamp(GROUP_MIN, GROUP_MAX)
        * GROUP
}

/// The last nanosecond at which a record of this time or earlier can lie.
pub(crate) fn latest(timestamp: Timestamp) -> i64 {
    earliest(timestamp) + (GROUP - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        /// Guarantees: every time has a place that InfluxDB accepts, in the group of its millisecond, and groups are
        /// in the order of time.
        #[test]
        fn places_follow_time(a in any::<i64>(), b in any::<i64>(), attempt in any::<u64>(), name in "[a-z]{0,8}") {
            let identity = Identity::of(&AgentKey::new("r", "a"), &ExecutionId::new(name));
            let place = |micros| identity.place(Timestamp::from_micros(micros), attempt);
            prop_assert!(place(a) > i64::MIN + 2 && place(a) < i64::MAX - 1);
            let (start, end) = group_of(place(a));
            prop_assert_eq!(start, earliest(Timestamp::from_micros(a)));
            prop_assert_eq!(end, latest(Timestamp::from_micros(a)));
            if a <= b {
                prop_assert!(start <= group_of(place(b)).0);
            }
        }
    }

    /// Guarantees: the place is the record's time but for the nanoseconds, and the same in every process and version:
    /// a changed hash would write corrections beside what they correct.
    #[test]
    fn places_are_for_ever() {
        let identity = Identity::of(&AgentKey::new("run", "agent"), &ExecutionId::new("execution"));
        let time = Timestamp::from_micros(1_767_225_600_000_001);
        let place = identity.place(time, 0);
        assert_eq!(place / 1_000, time.as_micros());
        assert_eq!(place % 1_000, 911);
        assert_ne!(identity.place(time, 1), place);
        let whole = identity.place(Timestamp::from_micros(1_767_225_600_000_000), 0);
        assert_eq!(whole / GROUP, 1_767_225_600_000);
    }

    /// Guarantees: executions of a clock in whole seconds do not overwrite each other as a rule.
    #[test]
    fn coarse_clocks_have_room() {
        let key = AgentKey::new("r", "a");
        let places: HashSet<i64> = (0..1_000)
            .map(|n| Identity::of(&key, &ExecutionId::new(format!("e{n}"))).place(Timestamp::EPOCH, 0))
            .collect();
        assert!(places.len() >= 998, "{}", places.len());
    }
}
