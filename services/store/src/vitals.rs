//! Records of executions.

use crate::error::Result;
use crate::series::{Buckets, Latencies};
use async_trait::async_trait;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, AgentKey, ExecutionId, RunId, Timestamp};
use std::time::Duration;

/// What is known of an agent from its records.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentSummary {
    /// Who.
    pub key: AgentKey,
    /// Executions on record.
    pub executions: u64,
    /// The latest record.
    pub latest: Vitals,
    /// When the first record was received, removed ones included for as long as the agent has any.
    pub first_received_at: Timestamp,
}

/// The store of vitals. A record is identified by run, agent and execution id; appending one again with a higher
/// revision replaces it, with an equal or lower one changes nothing. Records of an agent are in the order of their
/// `timestamp`, those of one microsecond in the order of their execution ids.
#[async_trait]
pub trait VitalsStore: Send + Sync {
    /// Stores a batch; when it returns, the batch survives a crash.
    async fn append(&self, batch: &[Vitals]) -> Result<()>;

    /// Removes executions that turned out to be parts of others.
    async fn retract(&self, executions: &[(AgentKey, ExecutionId)]) -> Result<()>;

    /// Records of an agent whose `timestamp` is at or after `since`, oldest first, at most `limit` (the latest).
    async fn recent(&self, key: &AgentKey, since: Timestamp, limit: u32) -> Result<Vec<Vitals>>;

    /// The latest record of an agent by `timestamp`.
    async fn latest(&self, key: &AgentKey) -> Result<Option<Vitals>>;

    /// Records on file for an agent.
    async fn execution_count(&self, key: &AgentKey) -> Result<u64>;

    /// Records on file for a run.
    async fn total_executions(&self, run: &RunId) -> Result<u64>;

    /// Agents of a run, ordered by id, starting after `after`, at most `limit`.
    async fn agents(&self, run: &RunId, after: Option<&str>, limit: u32) -> Result<Vec<AgentSummary>>;

    /// What is known of these agents of a run, ordered by id, each once; those without a record are left out. At most
    /// [`PAGE_MAX`](crate::PAGE_MAX) of them are looked at.
    async fn summaries(&self, run: &RunId, agents: &[AgentId]) -> Result<Vec<AgentSummary>>;

    /// The latest latencies of these agents of a run, at most `limit` of each, in one question; ordered by id, those
    /// without a record left out.
    async fn recent_latencies(&self, run: &RunId, agents: &[AgentId], limit: u32) -> Result<Vec<Latencies>>;

    /// Records of an agent whose `timestamp` is at or after `from` and before `to`, oldest first, at most `limit`
    /// (the latest).
    async fn between(
        &self,
        key: &AgentKey,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<Vitals>>;

    /// The records of an agent whose `timestamp` is at or after `from` and before `to`, summed up in steps of `width`
    /// that begin at `from`, oldest first; steps without a record are left out. `from` and `width` are whole
    /// milliseconds, `width` at least one, and there are at most [`PAGE_MAX`](crate::PAGE_MAX) steps.
    async fn buckets(
        &self,
        key: &AgentKey,
        from: Timestamp,
        to: Timestamp,
        width: Duration,
    ) -> Result<Buckets>;

    /// Agents of a run with a record received at or after `since`.
    async fn agents_seen(&self, run: &RunId, since: Timestamp) -> Result<u64>;

    /// Removes records received before `before`; returns how many. For the retention sweeper.
    async fn purge(&self, before: Timestamp) -> Result<u64>;

    /// Answers when the store does.
    async fn ping(&self) -> Result<()>;
}
