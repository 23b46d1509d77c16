//! Contained agents in memory. One task writes ([`crate::follow`]), every check reads; nobody waits for more than a
//! look into a map.

use immune_domain::case::Case;
use immune_domain::{AgentId, AgentKey, CaseId, RunId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;

/// Why an agent is kept out.
#[derive(Debug, PartialEq)]
pub(crate) struct Held {
    pub(crate) run: RunId,
    pub(crate) agent: AgentId,
    /// Kind and namespace as far as known when the case opened; policy is resolved by them.
    pub(crate) agent_type: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) case: CaseId,
    pub(crate) severity: f64,
    /// The word of the most confident diagnosis.
    pub(crate) diagnosis: String,
    /// One sentence for whoever is denied, the same as over REST.
    pub(crate) reason: String,
}

impl Held {
    pub(crate) fn of(case: &Case) -> Self {
        Held {
            run: case.key.run.clone(),
            agent: case.key.agent.clone(),
            agent_type: case.agent_type.clone(),
            namespace: case.namespace.clone(),
            case: case.id.clone(),
            severity: case.infection.severity,
            diagnosis: case.diagnosis().to_string(),
            reason: format!(
                "quarantined: {} of severity {:.1}, case {}",
                case.diagnosis(),
                case.infection.severity,
                case.id
            ),
        }
    }
}

/// Agents by run and id. Nested, so that looking needs no key of its own.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    runs: HashMap<Box<str>, HashMap<Box<str>, Arc<Held>>>,
    count: usize,
}

impl Agents {
    fn get(&self, run: &str, agent: &str) -> Option<&Arc<Held>> {
        self.runs.get(run)?.get(agent)
    }

    /// Takes an agent in, unless there is no room for another one.
    fn put(&mut self, held: Held, max: usize) -> bool {
        let is_known = self.get(held.run.as_str(), held.agent.as_str()).is_some();
        if !is_known && self.count >= max {
            return false;
        }
        self.count += usize::from(!is_known);
        let run = self.runs.entry(held.run.as_str().into()).or_default();
        run.insert(held.agent.as_str().into(), Arc::new(held));
        true
    }

    fn remove(&mut self, key: &AgentKey, case: &CaseId) {
        let Some(run) = self.runs.get_mut(key.run.as_str()) else {
            return;
        };
        // A later case may be the one that holds the agent now.
        if run.get(key.agent.as_str()).is_none_or(|held| held.case != *case) {
            return;
        }
        run.remove(key.agent.as_str());
        self.count -= 1;
        if run.is_empty() {
            self.runs.remove(key.run.as_str());
        }
    }
}

/// A table in the making: every open case is read before it takes the place of the last one.
#[derive(Debug)]
pub(crate) struct Draft {
    agents: Agents,
    beyond: usize,
    max: usize,
}

impl Draft {
    /// Takes in an open case.
    pub(crate) fn put(&mut self, case: &Case) {
        if case.denies_admission() && !self.agents.put(Held::of(case), self.max) {
            self.beyond += 1;
        }
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Table {
    agents: RwLock<Agents>,
    max: usize,
    /// Contained agents that had no room when they were met.
    beyond: AtomicUsize,
    began: Instant,
    /// When the events had been followed to their end, microseconds after `began`, plus one; 0 before all was read.
    followed: AtomicU64,
}

impl Table {
    /// An empty table for so many agents.
    pub(crate) fn new(max: usize) -> Self {
        Table {
            agents: RwLock::default(),
            max,
            beyond: AtomicUsize::new(0),
            began: Instant::now(),
            followed: AtomicU64::new(0),
        }
    }

    /// Why the agent is kept out; `None` when nothing does.
    pub(crate) fn get(&self, run: &str, agent: &str) -> Option<Arc<Held>> {
        let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner);
        agents.get(run, agent).cloned()
    }

    /// Takes in a case as it is now.
    pub(crate) fn put(&self, case: &Case) {
        if !case.denies_admission() {
            return self.forget(&case.key, &case.id);
        }
        let held = Held::of(case);
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        if !agents.put(held, self.max) {
            self.beyond.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets an agent go that was kept out by this case.
    pub(crate) fn forget(&self, key: &AgentKey, case: &CaseId) {
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        agents.remove(key, case);
    }

    /// An empty table to read every open case into.
    pub(crate) fn draft(&self) -> Draft {
        Draft {
            agents: Agents::default(),
            beyond: 0,
            max: self.max,
        }
    }

    /// Puts what was read in the place of what was known.
    pub(crate) fn replace(&self, draft: Draft) {
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *agents, draft.agents);
        drop(agents);
        // A large table takes a while to be freed; nobody waits for it.
        drop(before);
        self.beyond.store(draft.beyond, Ordering::Relaxed);
    }

    /// Says that everything that had been saved by anyone at a moment is known.
    pub(crate) fn followed(&self, at: Instant) {
        let after = at.saturating_duration_since(self.began).as_micros();
        let after = u64::try_from(after).unwrap_or(u64::MAX - 1);
        self.followed.store(after + 1, Ordering::Release);
    }

    /// How old the last news may be; `None` before every open case was read once.
    pub(crate) fn age(&self) -> Option<Duration> {
        let after = self.followed.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.began.elapsed().saturating_sub(Duration::from_micros(after)))
    }

    /// How many contained agents had no room, until all are read again.
    pub(crate) fn beyond(&self) -> usize {
        self.beyond.load(Ordering::Relaxed)
    }

    /// As if so much time had passed.
    #[cfg(test)]
    pub(crate) fn grow_older(&mut self, by: Duration) {
        self.began -= by;
    }

    /// How many agents are kept out.
    pub(crate) fn len(&self) -> usize {
        self.agents.read().unwrap_or_else(PoisonError::into_inner).count
    }
}

#[cfg(test)]
pub(crate) mod tests;
