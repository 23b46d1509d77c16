//! The effect of a record on its agent.

use crate::agent::Agent;
use crate::entries::{Item, Lesson, Spot};
use crate::matching::{Settled, Taught};
use crate::partition::Held;
use immune_domain::{AgentKey, Timestamp};
use std::sync::atomic::Ordering;

impl Held {
    /// Lets a record take effect, whether or not it is ready.
    pub(crate) fn effect(&mut self, spot: Spot, now: Timestamp) {
        match self.entries.replace(spot, Item::Done) {
            Item::Teaches(lesson, ticket) => {
                let is_well = self.late.is_well(&lesson.key, ticket);
                self.late.end(&lesson.key);
                self.settle(&lesson, is_well, now);
            }
            Item::Withheld(lesson) => self.settle(&lesson, false, now),
            Item::Waits(lesson) => {
                self.matching.give_up(lesson.identity, lesson.revision);
                self.rules.metrics.unjudged.inc();
            }
            Item::Retracts { key, identity } => match self.matching.retract(identity) {
                Some(taught) => self.forget(&key, identity, &taught),
                None if self.has_taught(&key, identity) => {
                    self.rules.metrics.unreplaced.inc();
                }
                None => {}
            },
            Item::Done => {}
        }
    }

    fn settle(&mut self, lesson: &Lesson, teaches: bool, now: Timestamp) {
        let metrics = &self.rules.metrics;
        let (forget, is_first) = match self.matching.settle(lesson.identity, lesson.revision) {
            Settled::Counts { forget, is_first } => (forget, is_first),
            Settled::Void => return,
        };
        if is_first && self.has_taught(&lesson.key, lesson.identity) {
            metrics.repeated.inc();
            return self.matching.disown(lesson.identity);
        }
        if let Some(taught) = forget {
            self.forget(&lesson.key, lesson.identity, &taught);
        }
        if !teaches {
            self.rules.metrics.withheld.inc();
        } else if let Some(life) = self.learn(lesson, now) {
            let sample = lesson.sample;
            self.matching.taught(lesson.identity, Taught { sample, life });
        }
    }

    fn has_taught(&self, key: &AgentKey, identity: u64) -> bool {
        self.agents
            .get(key)
            .is_some_and(|agent| agent.recent.contains(identity))
    }

    fn forget(&mut self, key: &AgentKey, identity: u64, taught: &Taught) {
        let agent = self.agents.get_mut(key);
        if let Some(agent) = agent.filter(|agent| agent.life == taught.life) {
            agent.learner.forget(&taught.sample);
            agent.recent.remove(identity);
            self.rules.metrics.forgotten.inc();
            self.changes.mark(key);
        }
    }

    /// Learns; returns which life of the agent it taught, `None` where it taught nothing.
    fn learn(&mut self, lesson: &Lesson, now: Timestamp) -> Option<u64> {
        let (key, rules) = (&lesson.key, self.rules.clone());
        let mut newcomer = None;
        let agent = match self.agents.get_mut(key) {
            Some(agent) if agent.is_frozen || !agent.counts(lesson.began) => {
                rules.metrics.withheld.inc();
                return None;
            }
            Some(agent) => agent,
            None if !lesson.told.succeeded() => return None,
            None if rules.agents.load(Ordering::Relaxed) >= rules.config.agents_max => {
                rules.metrics.refused.inc();
                return None;
            }
            None => newcomer.insert(Agent::new(now, self.lives)),
        };
        if !lesson.told.succeeded() {
            agent.known.learn(&lesson.told);
            agent.recent.push(lesson.identity);
            self.changes.mark(key);
            return None;
        }
        if !agent.learner.learn(&lesson.sample) {
            rules.metrics.incredible.inc();
            return None;
        }
        agent.known.learn(&lesson.told);
        if agent.lineage.take(lesson.make, lesson.began) {
            agent.begin_version(self.lives);
            self.lives += 1;
            rules.metrics.versions.inc();
        }
        let (agent_type, namespace) = (lesson.agent_type.as_deref(), lesson.namespace.as_deref());
        let policy = rules
            .policies
            .resolve(&key.run, &key.agent, agent_type, namespace);
        agent.samples_min = policy.baseline_samples_min;
        agent.updated_at = now;
        agent.recent.push(lesson.identity);
        let life = agent.life;
        if let Some(newcomer) = newcomer {
            self.agents.insert(key.clone(), newcomer);
            self.lives += 1;
            rules.agents.fetch_add(1, Ordering::Relaxed);
        }
        self.changes.mark(key);
        rules.metrics.learned.inc();
        Some(life)
    }
}
