//! Telling others what was stored: a wrapper around every contract that speaks to an observer after a successful
//! write. For mirrors and exports (InfluxDB, OpenTelemetry), which must never slow down or fail what they watch.

mod workflow;

use crate::Stores;
use crate::action_log::LogRow;
use crate::baselines::{BaselineStore, Put, StoredProfile, Tenure};
use crate::cases::NewEvent;
use crate::error::Result;
use crate::series::{Buckets, Latencies};
use crate::vitals::{AgentSummary, VitalsStore};
use async_trait::async_trait;
use immune_domain::case::Case;
use immune_domain::healing::Healing;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, AgentKey, ExecutionId, RunId, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// Someone who is told what was stored, by the process that stored it. A method returns at once and cannot fail: an
/// observer that has work to do puts it into a bounded queue of its own and counts what finds no room. The same thing
/// may be told twice, when a write was repeated. Every method does nothing unless it is given a body.
pub trait Observer: Send + Sync {
    /// Records of executions, new, corrected or redelivered.
    fn vitals(&self, batch: &[Vitals]) {
        let _ = batch;
    }

    /// Profiles that were put; one of a version that was stored already may be among them.
    fn profiles(&self, batch: &[StoredProfile]) {
        let _ = batch;
    }

    /// A case as it was opened (version 1) or saved, and the events that were announced with it.
    fn case(&self, case: &Case, events: &[NewEvent]) {
        let _ = (case, events);
    }

    /// An attempt that began, or whose outcome changed.
    fn healing(&self, healing: &Healing) {
        let _ = healing;
    }

    /// Rows of the action log, those that were written alongside a case included.
    fn log(&self, rows: &[LogRow]) {
        let _ = rows;
    }
}

/// The stores, watched by an observer. Wrap again for a second one.
pub fn observe(stores: Stores, observer: Arc<dyn Observer>) -> Stores {
    let Stores {
        vitals,
        baselines,
        cases,
        healings,
        client_records,
        action_log,
        access,
        notifications,
    } = stores;
    Stores {
        vitals: Arc::new(Watched::new(vitals, &observer)),
        baselines: Arc::new(Watched::new(baselines, &observer)),
        cases: Arc::new(Watched::new(cases, &observer)),
        healings: Arc::new(Watched::new(healings, &observer)),
        client_records,
        action_log: Arc::new(Watched::new(action_log, &observer)),
        // Nobody is told about keys and sessions.
        access,
        notifications,
    }
}

/// One contract and who watches it.
struct Watched<T: ?Sized> {
    inner: Arc<T>,
    observer: Arc<dyn Observer>,
}

impl<T: ?Sized> Watched<T> {
    fn new(inner: Arc<T>, observer: &Arc<dyn Observer>) -> Self {
        Watched {
            inner,
            observer: observer.clone(),
        }
    }
}

#[async_trait]
impl VitalsStore for Watched<dyn VitalsStore> {
    async fn append(&self, batch: &[Vitals]) -> Result<()> {
        self.inner.append(batch).await?;
        if !batch.is_empty() {
            self.observer.vitals(batch);
        }
        Ok(())
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

#[async_trait]
impl BaselineStore for Watched<dyn BaselineStore> {
    async fn take_over(&self, partition: u16) -> Result<Tenure> {
        self.inner.take_over(partition).await
    }

    async fn put_with(&self, batch: &[StoredProfile], tenures: &[Tenure], rows: &[LogRow]) -> Result<Put> {
        let put = self.inner.put_with(batch, tenures, rows).await?;
        match put {
            Put::Done => {
                if !batch.is_empty() {
                    self.observer.profiles(batch);
                }
                if !rows.is_empty() {
                    self.observer.log(rows);
                }
            }
            Put::Overtaken { .. } => {}
        }
        Ok(put)
    }

    async fn get(&self, key: &AgentKey) -> Result<Option<StoredProfile>> {
        self.inner.get(key).await
    }

    async fn page(&self, after: Option<&AgentKey>, limit: u32) -> Result<Vec<StoredProfile>> {
        self.inner.page(after, limit).await
    }

    async fn count_ready(&self, run: &RunId) -> Result<u64> {
        self.inner.count_ready(run).await
    }
}
