//! Vitals in memory.

use super::listing::page_limit;
use super::{Limits, locked};
use crate::PAGE_MAX;
use crate::error::Result;
use crate::series::{Buckets, Latencies, sum_up};
use crate::vitals::{AgentSummary, VitalsStore};
use async_trait::async_trait;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, AgentKey, ExecutionId, RunId, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Mutex;
use std::time::Duration;

/// The in-memory [`VitalsStore`].
pub struct MemoryVitals {
    state: Mutex<State>,
}

struct State {
    limits: Limits,
    agents: BTreeMap<AgentKey, Agent>,
    totals: HashMap<RunId, u64>,
    /// All records by arrival, so that the oldest can make room.
    arrivals: BTreeMap<u64, (AgentKey, ExecutionId)>,
    next_arrival: u64,
}

#[derive(Default)]
struct Agent {
    /// In the order of the contract: by timestamp, then by execution.
    records: BTreeMap<(Timestamp, ExecutionId), Kept>,
    places: HashMap<ExecutionId, Timestamp>,
    first_received_at: Timestamp,
}

struct Kept {
    vitals: Vitals,
    arrival: u64,
}

impl MemoryVitals {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        MemoryVitals {
            state: Mutex::new(State {
                limits,
                agents: BTreeMap::new(),
                totals: HashMap::new(),
                arrivals: BTreeMap::new(),
                next_arrival: 0,
            }),
        }
    }
}

impl State {
    fn put(&mut self, vitals: &Vitals) {
        let agent = self.agents.entry(vitals.key.clone()).or_insert_with(|| Agent {
            first_received_at: vitals.received_at,
            ..Agent::default()
        });
        let arrival = match agent.places.get(&vitals.execution) {
            Some(at) => {
                let place = (*at, vitals.execution.clone());
                let kept = &agent.records[&place];
                if kept.vitals.revision >= vitals.revision {
                    return;
                }
                let arrival = kept.arrival;
                agent.records.remove(&place);
                arrival
            }
            None => {
                let arrival = self.next_arrival;
                self.next_arrival += 1;
                self.arrivals
                    .insert(arrival, (vitals.key.clone(), vitals.execution.clone()));
                *self.totals.entry(vitals.key.run.clone()).or_default() += 1;
                arrival
            }
        };
        agent.first_received_at = agent.first_received_at.min(vitals.received_at);
        agent.places.insert(vitals.execution.clone(), vitals.timestamp);
        let place = (vitals.timestamp, vitals.execution.clone());
        agent.records.insert(
            place,
            Kept {
                vitals: vitals.clone(),
                arrival,
            },
        );
        self.make_room(&vitals.key);
    }

    fn make_room(&mut self, key: &AgentKey) {
        let oldest = self
            .agents
            .get(key)
            .filter(|agent| agent.records.len() > self.limits.vitals_per_agent)
            .and_then(|agent| agent.records.keys().next().cloned());
        if let Some((_, execution)) = oldest {
            self.remove(key, &execution);
        }
        if self.arrivals.len() > self.limits.vitals
            && let Some((_, (key, execution))) = self.arrivals.first_key_value()
        {
            let (key, execution) = (key.clone(), execution.clone());
            self.remove(&key, &execution);
        }
    }

    fn remove(&mut self, key: &AgentKey, execution: &ExecutionId) -> bool {
        let Some(agent) = self.agents.get_mut(key) else {
            return false;
        };
        let Some(at) = agent.places.remove(execution) else {
            return false;
        };
        if let Some(kept) = agent.records.remove(&(at, execution.clone())) {
            self.arrivals.remove(&kept.arrival);
        }
        if agent.records.is_empty() {
            self.agents.remove(key);
        }
        if let Some(total) = self.totals.get_mut(&key.run) {
            *total -= 1;
            if *total == 0 {
                self.totals.remove(&key.run);
            }
        }
        true
    }

    /// Agents of a run after an id, in order.
    fn agents_of<'a>(
        &'a self,
        run: &'a RunId,
        after: Option<&str>,
    ) -> impl Iterator<Item = (&'a AgentKey, &'a Agent)> {
        let start = match after {
            Some(after) => Bound::Excluded(AgentKey::new(run.clone(), after)),
            None => Bound::Included(AgentKey::new(run.clone(), "")),
        };
        self.agents
            .range((start, Bound::Unbounded))
            .take_while(move |(key, _)| key.run == *run)
    }
}

/// Records from a time to before another, in order.
fn within(agent: &Agent, from: Timestamp, to: Timestamp) -> impl DoubleEndedIterator<Item = &Vitals> {
    let place = |at| (at, ExecutionId::new(""));
    // A range that ends before it begins has nothing, and would panic.
    let records = agent.records.range(place(from)..place(to.max(from)));
    records.map(|(_, kept)| &kept.vitals)
}

#[async_trait]
impl VitalsStore for MemoryVitals {
    async fn append(&self, batch: &[Vitals]) -> Result<()> {
        let mut state = locked(&self.state);
        for vitals in batch {
            state.put(vitals);
        }
        Ok(())
    }

    async fn retract(&self, executions: &[(AgentKey, ExecutionId)]) -> Result<()> {
        let mut state = locked(&self.state);
        for (key, execution) in executions {
            state.remove(key, execution);
        }
        Ok(())
    }

    async fn recent(&self, key: &AgentKey, since: Timestamp, limit: u32) -> Result<Vec<Vitals>> {
        let state = locked(&self.state);
        let Some(agent) = state.agents.get(key) else {
            return Ok(Vec::new());
        };
        let newest = agent
            .records
            .range((since, ExecutionId::new(""))..)
            .rev()
            .take(page_limit(limit));
        let mut found: Vec<Vitals> = newest.map(|(_, kept)| kept.vitals.clone()).collect();
        found.reverse();
        Ok(found)
    }

    async fn latest(&self, key: &AgentKey) -> Result<Option<Vitals>> {
        let state = locked(&self.state);
        let newest = state
            .agents
            .get(key)
            .and_then(|agent| agent.records.last_key_value());
        Ok(newest.map(|(_, kept)| kept.vitals.clone()))
    }

    async fn execution_count(&self, key: &AgentKey) -> Result<u64> {
        Ok(locked(&self.state)
            .agents
            .get(key)
            .map_or(0, |agent| agent.records.len() as u64))
    }

    async fn total_executions(&self, run: &RunId) -> Result<u64> {
        Ok(locked(&self.state).totals.get(run).copied().unwrap_or(0))
    }

    async fn agents(&self, run: &RunId, after: Option<&str>, limit: u32) -> Result<Vec<AgentSummary>> {
        let state = locked(&self.state);
        let mut page = Vec::new();
        for (key, agent) in state.agents_of(run, after).take(page_limit(limit)) {
            if let Some((_, newest)) = agent.records.last_key_value() {
                page.push(AgentSummary {
                    key: key.clone(),
                    executions: agent.records.len() as u64,
                    latest: newest.vitals.clone(),
                    first_received_at: agent.first_received_at,
                });
            }
        }
        Ok(page)
    }

    async fn summaries(&self, run: &RunId, agents: &[AgentId]) -> Result<Vec<AgentSummary>> {
        let state = locked(&self.state);
        let wanted: BTreeSet<&AgentId> = agents.iter().take(PAGE_MAX as usize).collect();
        let found = wanted.into_iter().filter_map(|agent| {
            let key = AgentKey {
                run: run.clone(),
                agent: agent.clone(),
            };
            let agent = state.agents.get(&key)?;
            Some(AgentSummary {
                executions: agent.records.len() as u64,
                latest: agent.records.last_key_value()?.1.vitals.clone(),
                first_received_at: agent.first_received_at,
                key,
            })
        });
        Ok(found.collect())
    }

    async fn recent_latencies(&self, run: &RunId, agents: &[AgentId], limit: u32) -> Result<Vec<Latencies>> {
        let state = locked(&self.state);
        let wanted: BTreeSet<&AgentId> = agents.iter().take(PAGE_MAX as usize).collect();
        let found = wanted.into_iter().filter_map(|agent| {
            let key = AgentKey {
                run: run.clone(),
                agent: agent.clone(),
            };
            let newest = state.agents.get(&key)?.records.values().rev();
            let mut points: Vec<(Timestamp, f64)> = newest
                .take(page_limit(limit))
                .map(|kept| (kept.vitals.timestamp, kept.vitals.latency_ms))
                .collect();
            points.reverse();
            Some(Latencies {
                agent: key.agent,
                points,
            })
        });
        Ok(found.filter(|found| !found.points.is_empty()).collect())
    }

    async fn between(
        &self,
        key: &AgentKey,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<Vitals>> {
        let state = locked(&self.state);
        let newest = state
            .agents
            .get(key)
            .into_iter()
            .flat_map(|agent| within(agent, from, to));
        let mut found: Vec<Vitals> = newest.rev().take(page_limit(limit)).cloned().collect();
        found.reverse();
        Ok(found)
    }

    async fn buckets(
        &self,
        key: &AgentKey,
        from: Timestamp,
        to: Timestamp,
        width: Duration,
    ) -> Result<Buckets> {
        let state = locked(&self.state);
        let records = state
            .agents
            .get(key)
            .into_iter()
            .flat_map(|agent| within(agent, from, to));
        Ok(Buckets {
            buckets: sum_up(records, from, width),
            is_truncated: false,
        })
    }

    async fn agents_seen(&self, run: &RunId, since: Timestamp) -> Result<u64> {
        let state = locked(&self.state);
        let seen = |agent: &Agent| {
            agent
                .records
                .values()
                .rev()
                .any(|kept| kept.vitals.received_at >= since)
        };
        Ok(state
            .agents_of(run, None)
            .filter(|(_, agent)| seen(agent))
            .count() as u64)
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        let mut state = locked(&self.state);
        let mut old = Vec::new();
        for (key, agent) in &state.agents {
            let records = agent
                .records
                .values()
                .filter(|kept| kept.vitals.received_at < before);
            old.extend(records.map(|kept| (key.clone(), kept.vitals.execution.clone())));
        }
        for (key, execution) in &old {
            state.remove(key, execution);
        }
        Ok(old.len() as u64)
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}
