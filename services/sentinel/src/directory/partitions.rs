//! Agents come and go with their partitions, and begin from what is on record.

use super::{Directory, Shard, keep_active, lock};
use crate::agent::Agent;
use crate::silence::Presence;
use immune_bus::Partition;
use immune_domain::policy::Detector;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, Timestamp};
use std::time::Duration;

impl Directory {
    /// A partition was gained: its agents begin with the cases that are open.
    pub fn gain(&self, partition: Partition) {
        self.standing.gain(partition);
        for shard in &self.shards {
            let mut shard = lock(shard);
            let Shard {
                agents, elsewhere, ..
            } = &mut *shard;
            for (key, agent) in elsewhere.extract_if(|key, _| partition.holds(key)) {
                // The watch may have spoken of it since the partition was marked as held.
                agents.entry(key).or_insert(agent);
            }
        }
        self.changes.end_all();
    }

    /// A partition was lost: of its agents no more is kept than an open case.
    pub fn lose(&self, partition: Partition) {
        self.standing.lose(partition);
        for shard in &self.shards {
            let mut shard = lock(shard);
            let Shard {
                agents,
                elsewhere,
                active,
                ..
            } = &mut *shard;
            let left = agents.extract_if(|key, _| partition.holds(key));
            elsewhere.extend(left.filter_map(|(key, agent)| Some((key, agent.only_case()?))));
            active.retain(|key| !partition.holds(key));
        }
    }

    /// Whether there may be agents about which the guarded detector decides.
    pub fn has_guarded(&self) -> bool {
        self.policies.has_detector(Detector::Guarded)
    }

    /// The longest window that an agent may have.
    pub fn window_max(&self) -> Duration {
        Duration::from_secs(u64::from(self.policies.now().window_seconds_max()))
    }

    /// The executions on record of an agent are about to be read, see [`Agent::begin_history`]. `false` where they
    /// are not needed, or there is no room for the agent, or it is held elsewhere.
    pub fn begin_history(&self, key: &AgentKey) -> bool {
        let mut shard = self.shard(key);
        let is_full = shard.agents.len() >= self.agents_max && !shard.agents.contains_key(key);
        if is_full || !self.holds(key) {
            return false;
        }
        let Shard { agents, profiles, .. } = &mut *shard;
        let agent = agents
            .entry(key.clone())
            .or_insert_with(|| Agent::new(self.policy(key, None, None)));
        if let Some(known) = profiles.get(key) {
            agent.follow(&known.profile);
        }
        agent.begin_history()
    }

    /// The executions on record of an agent, oldest first. Those received at or after `live_from` count as live.
    pub fn end_history(&self, key: &AgentKey, history: &[Vitals], live_from: Timestamp) {
        let mut shard = self.shard(key);
        let Shard {
            agents,
            profiles,
            active,
            ..
        } = &mut *shard;
        let Some(agent) = agents.get_mut(key) else {
            return;
        };
        if let Some(latest) = history.last().filter(|_| agent.last_seen == Timestamp::EPOCH) {
            // Which policy holds depends on what telemetry says of the agent; live telemetry has said nothing yet.
            self.note_attributes(agent, latest);
            agent.last_seen = latest.received_at;
            agent.presence = Presence::of(
                history.iter().map(|vitals| vitals.received_at),
                &agent.policy.silence,
            );
        }
        let profile = profiles.get(key).map(|known| &*known.profile);
        agent.end_history(profile, history, live_from);
        keep_active(agent, key, active);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::{healed, ran, waiting};
    use crate::metrics::Metrics;
    use crate::standing::Standing;
    use immune_domain::policy::LivePolicies;
    use std::sync::Arc;

    /// Scenario: an agent with a window and an open case leaves with its partition, is contained and released
    /// elsewhere, and comes back; another one comes back with its case still open.
    /// Guarantees: the window is forgotten, an open case is not; of agents elsewhere nothing is changed or reported.
    #[test]
    fn a_partition_takes_its_agents_along() {
        let policies = LivePolicies::default();
        let standing = Arc::new(Standing::new());
        let directory = Directory::new(policies, 1_000, 0.5, Metrics::default(), standing);
        let vitals = ran("1", 10.0, 1_000.0);
        let (key, now) = (vitals.key.clone(), vitals.received_at);
        let case_of = |directory: &Directory| {
            directory.look(&key, |agent, _| {
                agent.map(|agent| (agent.case.is_some(), agent.window.len()))
            })
        };
        directory.gain(Partition::WHOLE);
        directory.take(&vitals, true, now);
        let generation = directory.begin_cases();
        directory.set_case(&waiting(5.0), generation);
        assert_eq!(case_of(&directory), Some((true, 1)));
        directory.lose(Partition::WHOLE);
        assert_eq!(
            case_of(&directory),
            Some((true, 0)),
            "an open case is known of everybody"
        );
        assert!(directory.change(&key, |_, _| ()).is_none() && !directory.begin_history(&key));
        let census = (0..directory.shards()).fold(super::super::Census::default(), |mut census, shard| {
            assert!(directory.tick(shard, now, &mut census).is_empty());
            census
        });
        assert_eq!((census.agents, census.active), (0, 0));
        directory.gain(Partition::WHOLE);
        assert_eq!(case_of(&directory), Some((true, 0)));
        assert!(directory.is_acquainted(&key));
        directory.lose(Partition::WHOLE);
        directory.set_case(&healed(20.0), generation);
        assert_eq!(case_of(&directory), None);
        directory.gain(Partition::WHOLE);
        assert!(
            !directory.is_acquainted(&key),
            "what happened elsewhere is asked for"
        );
        directory.lose(Partition::WHOLE);
        directory.set_case(&waiting(5.0), generation);
        directory.end_cases(directory.begin_cases(), now);
        assert_eq!(case_of(&directory), None, "closed while nobody watched");
    }
}
