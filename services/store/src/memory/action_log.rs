//! The action log in memory; it shares its state with the cases, whose changes write rows too.

use super::listing::{filter_limit, page_limit};
use super::locked;
use super::workflow::Workflow;
use crate::action_log::{ActionLog, Chain, LogFilter, LogRow, StoredRow};
use crate::error::Result;
use async_trait::async_trait;
use immune_domain::{RunId, Timestamp};
use std::sync::{Arc, Mutex};

/// The in-memory [`ActionLog`].
pub struct MemoryActionLog {
    workflow: Arc<Mutex<Workflow>>,
}

impl MemoryActionLog {
    pub(super) fn new(workflow: Arc<Mutex<Workflow>>) -> Self {
        MemoryActionLog { workflow }
    }
}

#[async_trait]
impl ActionLog for MemoryActionLog {
    async fn append(&self, rows: &[LogRow]) -> Result<()> {
        locked(&self.workflow).log(rows);
        Ok(())
    }

    async fn list(&self, run: &RunId, filter: &LogFilter) -> Result<Vec<StoredRow>> {
        let workflow = locked(&self.workflow);
        let needle = filter.needle();
        Ok(workflow
            .rows()
            .rev()
            .filter(|stored| filter.matches(run, needle.as_deref(), stored))
            .take(filter_limit(filter.limit))
            .cloned()
            .collect())
    }

    async fn after(&self, sequence: u64, limit: u32) -> Result<Vec<StoredRow>> {
        let workflow = locked(&self.workflow);
        Ok(workflow
            .rows_after(sequence)
            .take(page_limit(limit))
            .cloned()
            .collect())
    }

    async fn chain(&self) -> Result<Chain> {
        Ok(locked(&self.workflow).chain())
    }

    async fn purge(&self, before: Timestamp, now: Timestamp) -> Result<u64> {
        Ok(locked(&self.workflow).purge_log(before, now))
    }
}
