//! Policies that change while agents are watched.

use super::{Directory, Shard, lock};
use immune_domain::AgentKey;
use immune_domain::policy::Detector;
use std::sync::atomic::Ordering;

impl Directory {
    /// The generation of the policies that hold now, if the agents have those of an earlier one.
    pub fn policies_to_follow(&self) -> Option<u64> {
        let generation = self.policies.generation();
        (self.policed.load(Ordering::Relaxed) != generation).then_some(generation)
    }

    /// Every agent has the policies of this generation, or of a later one.
    pub fn has_followed(&self, generation: u64) {
        self.policed.store(generation, Ordering::Relaxed);
    }

    /// Gives every agent of a shard the policy that holds for it now. Returns those about which the guarded detector
    /// decides from now on, and which it has never seen.
    pub fn police(&self, shard: usize) -> Vec<AgentKey> {
        let mut shard = lock(&self.shards[shard]);
        let Shard {
            agents, elsewhere, ..
        } = &mut *shard;
        for (key, agent) in elsewhere.iter_mut() {
            agent.policy = self.policy(key, agent.agent_type.as_deref(), agent.namespace.as_deref());
        }
        let mut begin = Vec::new();
        for (key, agent) in agents.iter_mut() {
            agent.policy = self.policy(key, agent.agent_type.as_deref(), agent.namespace.as_deref());
            match agent.policy.detector {
                Detector::Specified => agent.guarding = None,
                Detector::Guarded if agent.guarding.is_none() => begin.push(key.clone()),
                Detector::Guarded => {}
            }
        }
        begin
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Census;
    use crate::metrics::Metrics;
    use crate::standing::Standing;
    use immune_bus::Partition;
    use immune_domain::Timestamp;
    use immune_domain::policy::{LivePolicies, Match, Policies, Policy, Rule};
    use std::sync::Arc;

    fn follow(directory: &Directory) -> Vec<AgentKey> {
        let generation = directory.policies_to_follow().expect("policies were replaced");
        let begin = (0..directory.shards())
            .flat_map(|shard| directory.police(shard))
            .collect();
        directory.has_followed(generation);
        begin
    }

    /// Scenario: two agents are watched; a rule for one of them appears, and goes again.
    /// Guarantees: it has the rule's policy and then the former one, the other keeps its own; the guarded detector is
    /// said to begin with the one, and is gone with the rule.
    #[test]
    fn a_rule_holds_for_agents_that_are_watched_already() {
        let by_the_rule = Policies {
            defaults: Policy {
                detector: Detector::Specified,
                ..Policy::default()
            },
            ..Policies::default()
        };
        let policies = LivePolicies::new(by_the_rule.clone());
        let standing = Arc::new(Standing::new());
        let directory = Directory::new(policies.clone(), 1_000, 0.5, Metrics::default(), standing);
        directory.gain(Partition::WHOLE);
        let (one, other) = (AgentKey::new("r", "one"), AgentKey::new("r", "other"));
        for key in [&one, &other] {
            directory.change(key, |_, _| ()).expect("it is held here");
        }
        let threshold = |key: &AgentKey| {
            directory.look(key, |agent, _| {
                agent.expect("it is known").policy.threshold_stddev
            })
        };
        let mut with_rule = by_the_rule.clone();
        with_rule.rules.push(Rule {
            name: "one".to_owned(),
            matches: Match {
                agent: Some("one".to_owned()),
                ..Match::default()
            },
            set: [
                ("threshold_stddev".to_owned(), 4.0.into()),
                ("detector".to_owned(), "guarded".into()),
            ]
            .into(),
        });
        policies.replace(with_rule);
        assert_eq!(follow(&directory), std::slice::from_ref(&one));
        assert_eq!((threshold(&one), threshold(&other)), (4.0, 2.5));
        assert!(directory.begin_history(&one));
        directory.end_history(&one, &[], Timestamp::EPOCH);

        policies.replace(by_the_rule);
        assert!(follow(&directory).is_empty());
        assert_eq!(threshold(&one), 2.5);
        assert!(directory.look(&one, |agent, _| {
            agent.is_some_and(|agent| agent.guarding.is_none())
        }));
        assert!(directory.policies_to_follow().is_none());
        directory.tick(0, Timestamp::EPOCH, &mut Census::default());
    }
}
