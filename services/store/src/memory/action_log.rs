//! The action log in memory; it shares its state with the cases, whose changes write rows too.

use super::listing::page_limit;
use super::locked;
use super::workflow::Workflow;
use crate::action_log::{ActionLog, LogRow, StoredRow};
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

    async fn recent(&self, run: &RunId, before: Option<u64>, limit: u32) -> Result<Vec<StoredRow>> {
        let workflow = locked(&self.workflow);
        let older = workflow
            .rows()
            .rev()
            .filter(|stored| before.is_none_or(|before| stored.sequence < before));
        Ok(older
            .filter(|stored| stored.row.run == *run)
            .take(page_limit(limit))
            .cloned()
            .collect())
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        Ok(locked(&self.workflow).purge_log(before))
    }
}
