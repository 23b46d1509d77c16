//! The fleet check: many agents that depart at once are one incident of what they share, and no single one of them is
//! reported for it. The rule is `immune_domain::fleet`; here it is fed, and reports wait for its word.
//!
//! An agent that is alone with its departure is reported at once. Where others of its run began to depart in the same
//! way moments before, the report waits for the next looks; if an incident explains it, it is held back for as long as
//! the incident is open, and drafted anew after it if the agent departs still. The platform's word never waits, nor
//! does what makes an open case worse.
//!
//! This replica sees the agents of its partitions only, which are a random sample of the run.
//!
//! - [`config`]: when many are too many. `member`: what an agent carries for it.
//! - `gate`: which report waits. `telling`: quarantine hears of incidents.

pub mod config;
mod gate;
mod member;
mod telling;
#[cfg(test)]
mod tests;

pub use config::Config;
pub(crate) use member::Member;
pub(crate) use telling::{NEWS_MAX, News, follow, tell};

use crate::agent::Agent;
use crate::metrics::Metrics;
use gate::Onsets;
use immune_domain::baseline::Profile;
use immune_domain::fleet::look::Member as Counted;
use immune_domain::fleet::{Change, Incident, Incidents, Look, Settings};
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, CaseId, RunId, Timestamp};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Closed incidents that are kept, of all runs.
const CLOSED_MAX: usize = 100;
/// Names of models and tools that agents share the memory of; others have their own.
const NAMES_MAX: usize = 4_096;

/// The fleet check of this replica.
#[derive(Debug)]
pub struct Fleet {
    config: Config,
    settings: Settings,
    /// Locked for one shard of agents at a time, under the lock of the shard.
    look: Mutex<Look>,
    /// Locked under the lock of a shard and of the look, never the other way round.
    inner: Mutex<Inner>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Inner {
    incidents: Incidents,
    /// The latest first.
    closed: VecDeque<Incident>,
    onsets: Onsets,
    names: HashSet<Arc<str>>,
    /// Cases whose release was asked for, by open incident.
    asked: HashMap<String, HashSet<CaseId>>,
}

impl Fleet {
    pub(crate) fn new(config: Config, metrics: Metrics) -> Self {
        Fleet {
            settings: config.settings(),
            config,
            look: Mutex::default(),
            inner: Mutex::default(),
            metrics,
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// An agent has executed: notes its model and tools, and how it departs.
    pub(crate) fn take(
        &self,
        vitals: &Vitals,
        agent: &mut Agent,
        profile: Option<&Arc<Profile>>,
        now: Timestamp,
    ) {
        if !self.config.enabled {
            return;
        }
        agent.fleet.take(vitals, |name| self.name(name));
        self.follow(&vitals.key, agent, profile, now);
    }

    /// Notes how an agent departs now.
    pub(crate) fn follow(
        &self,
        key: &AgentKey,
        agent: &mut Agent,
        profile: Option<&Arc<Profile>>,
        now: Timestamp,
    ) {
        if !self.config.enabled {
            return;
        }
        let departures = agent.departures(profile.map(Arc::as_ref));
        let is_infected = agent.is_infected();
        let new = agent.fleet.follow(departures, is_infected, now);
        if !new.is_empty() {
            self.inner().onsets.note(key, new, now);
        }
    }

    /// Begins to count the active agents anew.
    pub(crate) fn begin_look(&self) {
        self.look().begin(&self.settings);
    }

    /// The count, for the agents of one shard.
    pub(crate) fn look(&self) -> MutexGuard<'_, Look> {
        // A count that was cut short is begun anew with the next look.
        self.look.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an agent, if it is active and can be judged.
    pub(crate) fn count(
        &self,
        look: &mut Look,
        key: &AgentKey,
        agent: &Agent,
        profile: Option<&Arc<Profile>>,
        now: Timestamp,
    ) {
        if !self.config.enabled || agent.window.is_empty() || !agent.is_judged(profile.map(Arc::as_ref)) {
            return;
        }
        let member = &agent.fleet;
        let counted = Counted {
            model: member.model(),
            tools: member.tools(),
            departing: member.departures().signs,
            lately: member.lately(now),
        };
        look.count(&key.run, &counted);
    }

    /// Every active agent was counted: opens and closes incidents.
    pub(crate) fn end_look(&self, now: Timestamp, new_id: impl FnMut() -> String) -> Vec<Change> {
        if !self.config.enabled {
            return Vec::new();
        }
        let look = self.look();
        let mut inner = self.inner();
        let changes = inner.incidents.follow(&look, &self.settings, now, new_id);
        for change in &changes {
            match change {
                Change::Opened(incident) => {
                    inner.asked.insert(incident.id.clone(), HashSet::new());
                }
                Change::Closed(incident) => {
                    inner.asked.remove(&incident.id);
                    inner.closed.push_front(incident.clone());
                    inner.closed.truncate(CLOSED_MAX);
                }
            }
        }
        let open = i64::try_from(inner.incidents.open().len()).unwrap_or(i64::MAX);
        self.metrics.fleet_incidents.set(open);
        changes
    }

    /// The open incidents, of all runs.
    pub(crate) fn open(&self) -> Vec<Incident> {
        self.inner().incidents.open().cloned().collect()
    }

    /// The incidents of a run, open ones first, the newest first.
    pub(crate) fn list(&self, run: &RunId) -> Vec<Incident> {
        let inner = self.inner();
        let mut open: Vec<Incident> = inner
            .incidents
            .open()
            .filter(|i| i.run == *run)
            .cloned()
            .collect();
        open.sort_by_key(|incident| std::cmp::Reverse(incident.opened_at));
        let closed = inner.closed.iter().filter(|incident| incident.run == *run);
        open.extend(closed.cloned());
        open
    }

    /// Of these cases those whose release was not asked for yet because of an open incident; it is from now on.
    pub(crate) fn not_asked(&self, incident: &str, cases: Vec<(AgentKey, CaseId)>) -> Vec<AgentKey> {
        let mut inner = self.inner();
        let Some(asked) = inner.asked.get_mut(incident) else {
            return Vec::new();
        };
        let new = cases.into_iter().filter(|(_, case)| asked.insert(case.clone()));
        new.map(|(key, _)| key).collect()
    }

    fn name(&self, name: &str) -> Arc<str> {
        let mut inner = self.inner();
        if let Some(known) = inner.names.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        if inner.names.len() < NAMES_MAX {
            inner.names.insert(name.clone());
        }
        name
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change under it is complete in itself.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
