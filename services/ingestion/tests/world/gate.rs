//! A store that lets appends wait, or fails them, until told otherwise.

use async_trait::async_trait;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, AgentKey, ExecutionId, RunId, Timestamp};
use immune_store::error::Result;
use immune_store::series::{Buckets, Latencies};
use immune_store::vitals::AgentSummary;
use immune_store::{StorageError, VitalsStore};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// What appends do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They pass.
    Open,
    /// They wait.
    Closed,
    /// They fail as those of a store that is away.
    Away,
}

/// The store.
pub struct Gate {
    inner: Arc<dyn VitalsStore>,
    mode: watch::Sender<Mode>,
    /// Appends that began.
    begun: AtomicUsize,
    /// Records of this agent are refused in a way that repeating cannot mend.
    poison: Option<&'static str>,
}

impl Gate {
    pub fn new(mode: Mode) -> Arc<Gate> {
        Gate::with_poison(mode, None)
    }

    pub fn with_poison(mode: Mode, poison: Option<&'static str>) -> Arc<Gate> {
        let inner = immune_store::memory::stores().vitals;
        Arc::new(Gate {
            inner,
            mode: watch::Sender::new(mode),
            begun: AtomicUsize::new(0),
            poison,
        })
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl VitalsStore for Gate {
    async fn append(&self, batch: &[Vitals]) -> Result<()> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let mut mode = self.mode.subscribe();
        let mode = *mode
            .wait_for(|mode| *mode != Mode::Closed)
            .await
            .expect("the gate outlives its calls");
        if mode == Mode::Away {
            return Err(StorageError::Unavailable {
                doing: "appending",
                source: "away".into(),
            });
        }
        if let Some(poison) = self.poison
            && batch.iter().any(|vitals| vitals.key.agent.as_str() == poison)
        {
            return Err(StorageError::refused("appending", "no such record"));
        }
        self.inner.append(batch).await
    }

    async fn retract(&self, executions: &[(AgentKey, ExecutionId)]) -> Result<()> {
        self.inner.retract(executions).await
    }

    async fn recent(&self, key: &AgentKey, since: Timestamp, limit: u32) -> Result<Vec<Vitals>> {
        self.inner.recent(key, since, limit).await
    }

    async fn latest(&self, key: &AgentKey) -> Result<Option<Vitals>> {
        self.inner.latest(key).await
    }

    async fn execution_count(&self, key: &AgentKey) -> Result<u64> {
        self.inner.execution_count(key).await
    }

    async fn total_executions(&self, run: &RunId) -> Result<u64> {
        self.inner.total_executions(run).await
    }

    async fn agents(&self, run: &RunId, after: Option<&str>, limit: u32) -> Result<Vec<AgentSummary>> {
        self.inner.agents(run, after, limit).await
    }

    async fn summaries(&self, run: &RunId, agents: &[AgentId]) -> Result<Vec<AgentSummary>> {
        self.inner.summaries(run, agents).await
    }

    async fn recent_latencies(&self, run: &RunId, agents: &[AgentId], limit: u32) -> Result<Vec<Latencies>> {
        self.inner.recent_latencies(run, agents, limit).await
    }

    async fn between(
        &self,
        key: &AgentKey,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<Vitals>> {
        self.inner.between(key, from, to, limit).await
    }

    async fn buckets(
        &self,
        key: &AgentKey,
        from: Timestamp,
        to: Timestamp,
        width: Duration,
    ) -> Result<Buckets> {
        self.inner.buckets(key, from, to, width).await
    }

    async fn agents_seen(&self, run: &RunId, since: Timestamp) -> Result<u64> {
        self.inner.agents_seen(run, since).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        self.inner.purge(before).await
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }
}
