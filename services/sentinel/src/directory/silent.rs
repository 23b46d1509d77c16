//! Agents that are not heard any more: found by going round all agents, a few shards a second.
//!
//! That costs the same every second, however many fall silent, and nothing when a record is taken but what its gap
//! teaches. Twelve bytes an agent; one that is silent is named once more, to be counted and listed.

use super::{Directory, Shard, lock};
use crate::agent::Agent;
use crate::silence::{Hearing, Presence, Telemetry};
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, RunId, Timestamp};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// Shards that are listened for in a second: every agent once in eight, which is soon enough for a silence of a minute
/// and more.
pub const SHARDS_A_SECOND: usize = 8;

impl Directory {
    /// Something was heard that ingestion received at this time.
    pub fn heard(&self, received_at: Timestamp) {
        let mut hearing = self.hearing.lock().unwrap_or_else(PoisonError::into_inner);
        hearing.heard(received_at);
    }

    /// Agents have come with a partition: each is given time to speak.
    pub fn begin_hearing(&self, now: Timestamp) {
        let mut hearing = self.hearing.lock().unwrap_or_else(PoisonError::into_inner);
        hearing.begin(now);
    }

    /// What is heard of all.
    pub(crate) fn hearing(&self) -> Hearing {
        *self.hearing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many agents are silent, as far as was listened.
    pub fn count_silent(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).silent.len()).sum()
    }

    /// Listens for the agents of the next shard.
    pub fn listen(&self) {
        let hearing = self.hearing();
        let shard = self.listened.fetch_add(1, Ordering::Relaxed) % self.shards.len();
        let mut shard = lock(&self.shards[shard]);
        let Shard {
            agents,
            profiles,
            silent,
            ..
        } = &mut *shard;
        // Those that have left memory, or gone with their partition.
        silent.retain(|key| agents.contains_key(key));
        for (key, agent) in agents.iter_mut() {
            let is_ready = |agent: &Agent| {
                let profile = profiles.get(key).map(|known| &known.profile);
                profile.is_some_and(|profile| profile.is_ready(agent.policy.baseline_samples_min))
            };
            if !agent.listen(&hearing, is_ready) {
                continue;
            }
            match agent.telemetry() {
                Telemetry::Silent => silent.insert(key.clone()),
                Telemetry::Live | Telemetry::Gone => silent.remove(key),
            };
            self.changes.mark(key);
        }
    }

    /// The agents of a run that are held here and silent, at most so many.
    pub fn silent(&self, run: &RunId, max: usize) -> Vec<AgentKey> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let of_run = shard.silent.iter().filter(|key| key.run == *run);
            found.extend(of_run.take(max - found.len()).cloned());
        }
        found
    }

    /// Whether it is known when an agent was heard last.
    pub fn was_heard(&self, key: &AgentKey) -> bool {
        let shard = self.shard(key);
        let agent = shard.agents.get(key);
        agent.is_some_and(|agent| agent.last_seen != Timestamp::EPOCH)
    }

    /// The latest record of an agent that is on file: it is missed if it says nothing from now on.
    pub fn remember(&self, latest: &Vitals, presence: Presence) {
        let mut shard = self.shard(&latest.key);
        let is_full = shard.agents.len() >= self.agents_max && !shard.agents.contains_key(&latest.key);
        if is_full || !self.holds(&latest.key) {
            return;
        }
        let agent = shard
            .agents
            .entry(latest.key.clone())
            .or_insert_with(|| Agent::new(self.policy(&latest.key, None, None)));
        if agent.last_seen == Timestamp::EPOCH {
            self.note_attributes(agent, latest);
            agent.last_seen = latest.received_at;
            agent.presence = presence;
        }
    }
}

#[cfg(test)]
#[path = "silent_tests.rs"]
mod tests;
