//! Cases in memory.

use super::listing::{filter_limit, page_limit};
use super::locked;
use super::workflow::{Claim, Workflow};
use crate::cases::{
    Alongside, CaseFilter, CaseStore, CaseTotals, Event, Opened, Saved, due_at, is_unsettled,
    wants_containment,
};
use crate::error::{Result, StorageError};
use async_trait::async_trait;
use immune_domain::case::Case;
use immune_domain::{AgentKey, CaseId, InfectionId, RunId, Timestamp};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The in-memory [`CaseStore`].
pub struct MemoryCases {
    workflow: Arc<Mutex<Workflow>>,
}

impl MemoryCases {
    pub(super) fn new(workflow: Arc<Mutex<Workflow>>) -> Self {
        MemoryCases { workflow }
    }
}

#[async_trait]
impl CaseStore for MemoryCases {
    async fn open_case(&self, case: &Case, contained_max: u32, alongside: &Alongside) -> Result<Opened> {
        const DOING: &str = "opening a case";
        if case.version != 1 {
            return Err(StorageError::refused(
                DOING,
                format!("case {} has version {}", case.id, case.version),
            ));
        }
        let mut workflow = locked(&self.workflow);
        let reported = workflow
            .infections
            .get(&case.infection.id)
            .and_then(|id| workflow.cases.get(id));
        if let Some(reported) = reported {
            return Ok(Opened::AlreadyReported(Box::new(reported.clone())));
        }
        let open = workflow.open.get(&case.key).and_then(|id| workflow.cases.get(id));
        if let Some(open) = open {
            return Ok(Opened::AlreadyOpen(Box::new(open.clone())));
        }
        if workflow.cases.contains_key(&case.id) {
            return Err(StorageError::refused(DOING, format!("case {} exists", case.id)));
        }
        if wants_containment(case) {
            let contained = workflow.contained_now(&case.key.run);
            if contained > contained_max {
                return Ok(Opened::Crowded(contained));
            }
        }
        workflow.store(case);
        workflow.write(alongside);
        Ok(Opened::New)
    }

    async fn save_case(&self, case: &Case, expected_version: u64, alongside: &Alongside) -> Result<Saved> {
        const DOING: &str = "saving a case";
        if expected_version.checked_add(1) != Some(case.version) {
            let what = format!(
                "case {} has version {} after {expected_version}",
                case.id, case.version
            );
            return Err(StorageError::refused(DOING, what));
        }
        let mut workflow = locked(&self.workflow);
        let Some(stored) = workflow.cases.get(&case.id) else {
            return Ok(Saved::Missing);
        };
        if stored.version != expected_version {
            return Ok(Saved::Conflict(Box::new(stored.clone())));
        }
        if stored.key != case.key {
            return Err(StorageError::refused(
                DOING,
                format!("case {} is of agent {}", case.id, stored.key),
            ));
        }
        let other = workflow.open.get(&case.key).filter(|open| **open != case.id);
        if let Some(other) = other.filter(|_| !case.state.is_closed()) {
            let what = format!("case {} cannot be open beside case {other}", case.id);
            return Err(StorageError::refused(DOING, what));
        }
        workflow.store(case);
        workflow.write(alongside);
        Ok(Saved::Done)
    }

    async fn get(&self, id: &CaseId) -> Result<Option<Case>> {
        Ok(locked(&self.workflow).cases.get(id).cloned())
    }

    async fn cases(&self, ids: &[CaseId]) -> Result<Vec<Case>> {
        let workflow = locked(&self.workflow);
        let ids: BTreeSet<&CaseId> = ids.iter().collect();
        Ok(ids
            .into_iter()
            .filter_map(|id| workflow.cases.get(id))
            .cloned()
            .collect())
    }

    async fn open_case_of(&self, key: &AgentKey) -> Result<Option<Case>> {
        let workflow = locked(&self.workflow);
        Ok(workflow
            .open
            .get(key)
            .and_then(|id| workflow.cases.get(id))
            .cloned())
    }

    async fn case_of_infection(&self, infection: &InfectionId) -> Result<Option<Case>> {
        let workflow = locked(&self.workflow);
        Ok(workflow
            .infections
            .get(infection)
            .and_then(|id| workflow.cases.get(id))
            .cloned())
    }

    async fn list(&self, filter: &CaseFilter) -> Result<Vec<Case>> {
        let workflow = locked(&self.workflow);
        let mut found: Vec<&Case> = workflow
            .cases
            .values()
            .filter(|case| matches(filter, case))
            .collect();
        found.sort_by_key(|case| Reverse((case.opened_at, &case.id)));
        Ok(found
            .into_iter()
            .take(filter_limit(filter.limit))
            .cloned()
            .collect())
    }

    async fn claimable(&self, now: Timestamp, limit: u32) -> Result<Vec<Case>> {
        let workflow = locked(&self.workflow);
        let mut due: Vec<&Case> = workflow
            .cases
            .values()
            .filter(|case| due_at(case).is_some_and(|due| due <= now))
            .collect();
        due.sort_by_key(|case| (case.opened_at, &case.id));
        Ok(due.into_iter().take(page_limit(limit)).cloned().collect())
    }

    async fn claim_unsettled(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Case>> {
        let mut workflow = locked(&self.workflow);
        let Workflow { cases, claims, .. } = &mut *workflow;
        claims.retain(|_, claim| claim.until > now);
        let mut free: Vec<&Case> = cases
            .values()
            .filter(|case| is_unsettled(case))
            .filter(|case| claims.get(&case.id).is_none_or(|claim| claim.worker == worker))
            .collect();
        free.sort_by_key(|case| (case.updated_at, &case.id));
        free.truncate(page_limit(limit));
        for case in &free {
            let worker = worker.to_owned();
            claims.insert(case.id.clone(), Claim { worker, until });
        }
        Ok(free.into_iter().cloned().collect())
    }

    async fn unclaim(&self, worker: &str) -> Result<()> {
        locked(&self.workflow)
            .claims
            .retain(|_, claim| claim.worker != worker);
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        locked(&self.workflow).changes.subscribe()
    }

    async fn totals(&self, run: &RunId) -> Result<CaseTotals> {
        Ok(locked(&self.workflow).totals(run))
    }

    async fn events_after(&self, sequence: u64, limit: u32) -> Result<Vec<Event>> {
        Ok(locked(&self.workflow)
            .events_after(sequence)
            .take(page_limit(limit))
            .cloned()
            .collect())
    }

    async fn last_event(&self) -> Result<u64> {
        Ok(locked(&self.workflow).last_event())
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        let mut workflow = locked(&self.workflow);
        Ok(workflow.purge_cases(before))
    }

    async fn purge_events(&self, before: Timestamp) -> Result<u64> {
        Ok(locked(&self.workflow).purge_events(before))
    }
}

fn matches(filter: &CaseFilter, case: &Case) -> bool {
    filter.run.as_ref().is_none_or(|run| case.key.run == *run)
        && filter.agent.as_ref().is_none_or(|agent| case.key == *agent)
        && filter.open.is_none_or(|open| case.state.is_closed() != open)
        && (filter.states.is_empty() || filter.states.iter().any(|state| state == case.state.as_str()))
        && filter
            .before
            .as_ref()
            .is_none_or(|(at, id)| (case.opened_at, &case.id) < (*at, id))
}
