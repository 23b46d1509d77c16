//! The audit record: who did what, to what, when, why, with what outcome.

use crate::error::Result;
use async_trait::async_trait;
use immune_domain::{AgentId, RunId, Timestamp};
use serde::{Deserialize, Serialize};

/// One row to append.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// Run that it concerns.
    pub run: RunId,
    /// When.
    pub at: Timestamp,
    /// What (`approval_requested`, `user_approved`, `user_rejected`, `explicit_heal_requested`, `healing_attempt`, ...).
    pub kind: String,
    /// To whom, when it concerns one agent.
    pub agent: Option<AgentId>,
    /// Who: a verified subject, or a role's name.
    pub actor: String,
    /// `done` or `refused`.
    pub outcome: String,
    /// Details: severity, diagnosis_type, action, success, trigger, reason, case_id, ...
    pub payload: serde_json::Value,
}

/// A stored row with its place in the order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredRow {
    /// Place in the order.
    pub sequence: u64,
    /// What was written.
    #[serde(flatten)]
    pub row: LogRow,
}

/// The append-only log.
#[async_trait]
pub trait ActionLog: Send + Sync {
    /// Appends rows, all or none.
    async fn append(&self, rows: &[LogRow]) -> Result<()>;

    /// Newest first; older than `before` when given; at most `limit`.
    async fn recent(&self, run: &RunId, before: Option<u64>, limit: u32) -> Result<Vec<StoredRow>>;

    /// Removes rows older than `before`; returns how many.
    async fn purge(&self, before: Timestamp) -> Result<u64>;
}
