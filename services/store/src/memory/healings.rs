//! Attempts and immune memory, in memory.

use super::listing::{filter_limit, page_limit};
use super::{Limits, locked};
use crate::error::Result;
use crate::healings::{HealingFilter, HealingStore, HealingTotals, Lesson, ended_at, lesson};
use async_trait::async_trait;
use immune_domain::diagnosis::Diagnosis;
use immune_domain::healing::{Action, Healing};
use immune_domain::memory::{Memory, Pin};
use immune_domain::{AgentKey, HealingId, RunId, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;

/// The in-memory [`HealingStore`].
pub struct MemoryHealings {
    state: Mutex<State>,
}

/// Memories are kept by their words, which gives the order that every backend has.
type MemoryKey = (AgentKey, &'static str, &'static str);

struct State {
    limits: Limits,
    attempts: HashMap<HealingId, Healing>,
    /// Ended attempts in the order of their ends, so that the oldest can make room.
    ended: VecDeque<HealingId>,
    memories: BTreeMap<MemoryKey, Memory>,
    totals: HashMap<RunId, HealingTotals>,
}

impl MemoryHealings {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        MemoryHealings {
            state: Mutex::new(State {
                limits,
                attempts: HashMap::new(),
                ended: VecDeque::new(),
                memories: BTreeMap::new(),
                totals: HashMap::new(),
            }),
        }
    }
}

fn memory_key(key: &AgentKey, diagnosis: Diagnosis, action: Action) -> MemoryKey {
    (key.clone(), diagnosis.as_str(), action.as_str())
}

fn blank(key: &AgentKey, diagnosis: Diagnosis, action: Action, last_at: Timestamp) -> Memory {
    Memory {
        key: key.clone(),
        diagnosis,
        action,
        successes: 0,
        failures: 0,
        last_at,
        pin: None,
    }
}

impl State {
    /// Learns from an attempt that has just ended.
    fn ended(&mut self, healing: &Healing) {
        let Some(at) = ended_at(&healing.outcome) else {
            return;
        };
        self.ended.push_back(healing.id.clone());
        if self.ended.len() > self.limits.ended_healings
            && let Some(oldest) = self.ended.pop_front()
        {
            self.attempts.remove(&oldest);
        }
        let Some(lesson) = lesson(&healing.outcome) else {
            return;
        };
        let totals = self.totals.entry(healing.key.run.clone()).or_default();
        let memory = self
            .memories
            .entry(memory_key(&healing.key, healing.diagnosis, healing.action))
            .or_insert_with(|| blank(&healing.key, healing.diagnosis, healing.action, at));
        memory.learn(lesson, at);
        match lesson {
            Lesson::Helped => totals.succeeded += 1,
            Lesson::DidNotHelp => totals.failed += 1,
        }
    }

    fn memories_of<'a>(
        &'a self,
        key: &'a AgentKey,
        diagnosis: Diagnosis,
    ) -> impl Iterator<Item = (&'a MemoryKey, &'a Memory)> {
        let start = (key.clone(), diagnosis.as_str(), "");
        self.memories
            .range(start..)
            .take_while(move |(at, _)| at.0 == *key && at.1 == diagnosis.as_str())
    }
}

#[async_trait]
impl HealingStore for MemoryHealings {
    async fn begin(&self, healing: &Healing) -> Result<()> {
        let mut state = locked(&self.state);
        if !state.attempts.contains_key(&healing.id) {
            state.attempts.insert(healing.id.clone(), healing.clone());
            state.ended(healing);
        }
        Ok(())
    }

    async fn finish(&self, healing: &Healing) -> Result<bool> {
        let mut state = locked(&self.state);
        let Some(stored) = state.attempts.get_mut(&healing.id) else {
            return Ok(false);
        };
        if ended_at(&stored.outcome).is_some() || stored.outcome == healing.outcome {
            return Ok(false);
        }
        stored.outcome = healing.outcome.clone();
        let stored = stored.clone();
        state.ended(&stored);
        Ok(true)
    }

    async fn get(&self, id: &HealingId) -> Result<Option<Healing>> {
        Ok(locked(&self.state).attempts.get(id).cloned())
    }

    async fn list(&self, filter: &HealingFilter) -> Result<Vec<Healing>> {
        let state = locked(&self.state);
        let mut found: Vec<&Healing> = state
            .attempts
            .values()
            .filter(|healing| matches(filter, healing))
            .collect();
        found.sort_by_key(|healing| Reverse((healing.started_at, &healing.id)));
        Ok(found
            .into_iter()
            .take(filter_limit(filter.limit))
            .cloned()
            .collect())
    }

    async fn memories(&self, key: &AgentKey, diagnosis: Diagnosis) -> Result<Vec<Memory>> {
        Ok(locked(&self.state)
            .memories_of(key, diagnosis)
            .map(|(_, memory)| memory.clone())
            .collect())
    }

    async fn all_memories(&self, run: &RunId, limit: u32) -> Result<Vec<Memory>> {
        let state = locked(&self.state);
        let start = (AgentKey::new(run.clone(), ""), "", "");
        let of_run = state
            .memories
            .range(start..)
            .take_while(|(at, _)| at.0.run == *run);
        Ok(of_run
            .take(page_limit(limit))
            .map(|(_, memory)| memory.clone())
            .collect())
    }

    async fn pin(
        &self,
        key: &AgentKey,
        diagnosis: Diagnosis,
        action: Action,
        pin: Option<Pin>,
        now: Timestamp,
    ) -> Result<()> {
        let mut state = locked(&self.state);
        let place = memory_key(key, diagnosis, action);
        let memory = state
            .memories
            .entry(place.clone())
            .or_insert_with(|| blank(key, diagnosis, action, now));
        memory.pin = pin;
        if pin.is_none() && memory.successes == 0 && memory.failures == 0 {
            state.memories.remove(&place);
        }
        Ok(())
    }

    async fn forget(&self, key: &AgentKey, diagnosis: Diagnosis, action: Option<Action>) -> Result<u64> {
        let mut state = locked(&self.state);
        let places: Vec<MemoryKey> = state
            .memories_of(key, diagnosis)
            .filter(|(_, memory)| action.is_none_or(|action| memory.action == action))
            .map(|(place, _)| place.clone())
            .collect();
        for place in &places {
            state.memories.remove(place);
        }
        Ok(places.len() as u64)
    }

    async fn totals(&self, run: &RunId) -> Result<HealingTotals> {
        Ok(locked(&self.state).totals.get(run).copied().unwrap_or_default())
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        let mut state = locked(&self.state);
        let had = state.attempts.len();
        let State { attempts, ended, .. } = &mut *state;
        attempts.retain(|_, healing| healing.started_at >= before || ended_at(&healing.outcome).is_none());
        ended.retain(|id| attempts.contains_key(id));
        Ok((had - attempts.len()) as u64)
    }
}

fn matches(filter: &HealingFilter, healing: &Healing) -> bool {
    filter.run.as_ref().is_none_or(|run| healing.key.run == *run)
        && filter.agent.as_ref().is_none_or(|agent| healing.key == *agent)
        && filter.case.as_ref().is_none_or(|case| healing.case == *case)
        && filter.before.is_none_or(|before| healing.started_at < before)
}
