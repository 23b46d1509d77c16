//! Records of client-deployed immune systems, in memory.

use super::listing::page_limit;
use super::{Limits, locked};
use crate::client_records::{ClientRecord, ClientRecordStore, RecordKind, latest_allows};
use crate::error::Result;
use async_trait::async_trait;
use immune_domain::{AgentId, AgentKey, RunId, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

/// The in-memory [`ClientRecordStore`].
pub struct MemoryClientRecords {
    state: Mutex<State>,
}

struct State {
    limits: Limits,
    /// By arrival.
    records: BTreeMap<u64, ClientRecord>,
    next: u64,
    /// The latest record per run, kind and agent.
    latest: BTreeMap<(RunId, RecordKind, AgentId), u64>,
    runs: HashMap<RunId, Timestamp>,
}

impl MemoryClientRecords {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        MemoryClientRecords {
            state: Mutex::new(State {
                limits,
                records: BTreeMap::new(),
                next: 0,
                latest: BTreeMap::new(),
                runs: HashMap::new(),
            }),
        }
    }
}

impl State {
    fn append(&mut self, record: &ClientRecord) {
        self.records.insert(self.next, record.clone());
        self.latest.insert(place(&record.key, record.kind), self.next);
        self.runs.entry(record.key.run.clone()).or_insert(record.at);
        self.next += 1;
        if self.records.len() > self.limits.client_records
            && let Some((sequence, oldest)) = self.records.pop_first()
        {
            let place = place(&oldest.key, oldest.kind);
            if self.latest.get(&place) == Some(&sequence) {
                self.latest.remove(&place);
            }
        }
    }

    fn latest(&self, key: &AgentKey, kind: RecordKind) -> Option<&ClientRecord> {
        self.latest
            .get(&place(key, kind))
            .and_then(|sequence| self.records.get(sequence))
    }

    fn latest_of<'a>(&'a self, run: &'a RunId, kind: RecordKind) -> impl Iterator<Item = &'a ClientRecord> {
        let start = (run.clone(), kind, AgentId::new(""));
        self.latest
            .range(start..)
            .take_while(move |((at, of, _), _)| at == run && *of == kind)
            .filter_map(|(_, sequence)| self.records.get(sequence))
    }
}

fn place(key: &AgentKey, kind: RecordKind) -> (RunId, RecordKind, AgentId) {
    (key.run.clone(), kind, key.agent.clone())
}

#[async_trait]
impl ClientRecordStore for MemoryClientRecords {
    async fn append(&self, record: &ClientRecord) -> Result<()> {
        locked(&self.state).append(record);
        Ok(())
    }

    async fn append_if_latest(&self, record: &ClientRecord, field: &str, allowed: &[&str]) -> Result<bool> {
        let mut state = locked(&self.state);
        let may = state
            .latest(&record.key, record.kind)
            .is_some_and(|latest| latest_allows(latest, field, allowed));
        if may {
            state.append(record);
        }
        Ok(may)
    }

    async fn latest(&self, key: &AgentKey, kind: RecordKind) -> Result<Option<ClientRecord>> {
        Ok(locked(&self.state).latest(key, kind).cloned())
    }

    async fn latest_per_agent(&self, run: &RunId, kind: RecordKind, limit: u32) -> Result<Vec<ClientRecord>> {
        Ok(locked(&self.state)
            .latest_of(run, kind)
            .take(page_limit(limit))
            .cloned()
            .collect())
    }

    async fn list(
        &self,
        run: &RunId,
        agent: Option<&AgentId>,
        kind: RecordKind,
        limit: u32,
    ) -> Result<Vec<ClientRecord>> {
        let state = locked(&self.state);
        let of_run = state
            .records
            .values()
            .rev()
            .filter(|r| r.key.run == *run && r.kind == kind);
        let of_agent = of_run.filter(|r| agent.is_none_or(|agent| r.key.agent == *agent));
        Ok(of_agent.take(page_limit(limit)).cloned().collect())
    }

    async fn count(&self, run: &RunId, kind: RecordKind) -> Result<u64> {
        let state = locked(&self.state);
        Ok(state
            .records
            .values()
            .filter(|r| r.key.run == *run && r.kind == kind)
            .count() as u64)
    }

    async fn count_agents(&self, run: &RunId, kind: RecordKind) -> Result<u64> {
        Ok(locked(&self.state).latest_of(run, kind).count() as u64)
    }

    async fn register_run(&self, run: &RunId, at: Timestamp) -> Result<()> {
        locked(&self.state).runs.entry(run.clone()).or_insert(at);
        Ok(())
    }

    async fn runs(&self, limit: u32) -> Result<Vec<(RunId, Timestamp)>> {
        let state = locked(&self.state);
        let mut runs: Vec<(RunId, Timestamp)> =
            state.runs.iter().map(|(run, at)| (run.clone(), *at)).collect();
        runs.sort_by_key(|(run, at)| (Reverse(*at), run.clone()));
        runs.truncate(page_limit(limit));
        Ok(runs)
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        let mut state = locked(&self.state);
        let State {
            records,
            latest,
            runs,
            ..
        } = &mut *state;
        let had = records.len();
        records.retain(|_, record| record.at >= before);
        latest.retain(|_, sequence| records.contains_key(sequence));
        let used: HashSet<&RunId> = records.values().map(|record| &record.key.run).collect();
        runs.retain(|run, at| *at >= before || used.contains(run));
        Ok((had - records.len()) as u64)
    }
}
