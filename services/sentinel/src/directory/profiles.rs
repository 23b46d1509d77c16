//! Profiles, as the watches on the replicas of baseline tell them.
//!
//! Each watch tells the profiles of the partitions that its replica holds, and then which partitions these are. What
//! arrives last counts: when a partition moves, a late word of the replica that had it is replaced by the next lesson.

use super::{Directory, Known, lock};
use crate::changes::progress;
use immune_bus::Partition;
use immune_domain::AgentKey;
use immune_domain::baseline::Profile;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Directory {
    /// A watch on profiles begins to tell those of some partitions; returns the number of this telling.
    pub fn begin_profiles(&self) -> u64 {
        self.profile_generation.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// A profile was stored.
    pub fn set_profile(&self, profile: Profile, generation: u64) {
        let key = profile.key.clone();
        let known = Known {
            profile: Arc::new(profile),
            generation,
        };
        let is_watched = self.changes.is_watched() && self.holds(&key);
        let mut shard = self.shard(&key);
        if let Some(agent) = shard.agents.get_mut(&key) {
            agent.follow(&known.profile);
        }
        let Some(agent) = shard.agents.get(&key).filter(|_| is_watched) else {
            shard.profiles.insert(key, known);
            return;
        };
        let samples_min = agent.policy.baseline_samples_min;
        let after = progress(Some(&known.profile), samples_min);
        let before = shard.profiles.insert(key.clone(), known);
        if progress(before.as_ref().map(|known| &*known.profile), samples_min) != after {
            self.changes.mark(&key);
        }
    }

    /// A telling has named every profile of these partitions: their others were forgotten while nobody watched.
    pub fn end_profiles(&self, generation: u64, partitions: &[Partition]) {
        let Some(count) = partitions.first().map(|partition| partition.count) else {
            return;
        };
        for shard in &self.shards {
            lock(shard).profiles.retain(|key, known| {
                known.generation == generation || !partitions.contains(&Partition::of(key, count))
            });
        }
        self.standing.profiles_told(partitions.iter().copied());
    }

    /// The agents of a partition that have a profile.
    pub fn profiled(&self, partition: Partition) -> Vec<AgentKey> {
        let shards = self.shards.iter().map(lock);
        shards
            .flat_map(|shard| {
                let keys = shard.profiles.keys().filter(|key| partition.holds(key));
                keys.cloned().collect::<Vec<_>>()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::standing::Standing;
    use immune_domain::Timestamp;
    use immune_domain::baseline::{Moments, State};
    use immune_domain::policy::LivePolicies;

    fn directory() -> Directory {
        let standing = Arc::new(Standing::new());
        Directory::new(LivePolicies::default(), 1_000, 0.5, Metrics::default(), standing)
    }

    fn profile(agent: &str, version: u64) -> Profile {
        Profile {
            key: AgentKey::new("default", agent),
            version,
            state: State::Active,
            sample_count: 20,
            moments: [Moments::default(); 3],
            updated_at: Timestamp::EPOCH,
            of: Default::default(),
            is_frozen: false,
            known: None,
        }
    }

    fn version(directory: &Directory, agent: &str) -> Option<u64> {
        let key = AgentKey::new("default", agent);
        directory.look(&key, |_, profile| profile.map(|profile| profile.version))
    }

    /// Scenario: two watches tell one half of the agents each; then the first begins anew without one of its agents;
    /// then a partition moves from the second to the first, and one of its agents was forgotten on the way.
    /// Guarantees: a telling removes what it does not name of its own partitions, and nothing of others.
    #[test]
    fn each_telling_speaks_of_its_own_partitions() {
        let directory = directory();
        let halves = [0, 1].map(|index| Partition { index, count: 2 });
        let of = |half: Partition| -> Vec<String> {
            let agents = (0..40).map(|i| format!("a{i}"));
            agents
                .filter(|a| half.holds(&AgentKey::new("default", a.as_str())))
                .collect()
        };
        let (ours, theirs) = (of(halves[0]), of(halves[1]));
        let (one, two) = (directory.begin_profiles(), directory.begin_profiles());
        ours.iter()
            .for_each(|a| directory.set_profile(profile(a, 1), one));
        theirs
            .iter()
            .for_each(|a| directory.set_profile(profile(a, 1), two));
        directory.end_profiles(one, &halves[..1]);
        directory.end_profiles(two, &halves[1..]);
        assert!(
            ours.iter()
                .chain(&theirs)
                .all(|a| version(&directory, a) == Some(1))
        );
        assert_eq!(directory.profiled(halves[1]).len(), theirs.len());
        let again = directory.begin_profiles();
        ours[1..]
            .iter()
            .for_each(|a| directory.set_profile(profile(a, 2), again));
        directory.end_profiles(again, &halves[..1]);
        assert_eq!(
            (version(&directory, &ours[0]), version(&directory, &ours[1])),
            (None, Some(2))
        );
        assert!(theirs.iter().all(|a| version(&directory, a) == Some(1)));
        let gained = directory.begin_profiles();
        theirs[1..]
            .iter()
            .for_each(|a| directory.set_profile(profile(a, 3), gained));
        directory.end_profiles(gained, &halves[1..]);
        assert_eq!(
            (version(&directory, &theirs[0]), version(&directory, &theirs[1])),
            (None, Some(3))
        );
        assert_eq!(version(&directory, &ours[1]), Some(2));
        directory.end_profiles(directory.begin_profiles(), &[]);
        assert_eq!(
            version(&directory, &ours[1]),
            Some(2),
            "a replica that holds nothing removes nothing"
        );
    }
}
