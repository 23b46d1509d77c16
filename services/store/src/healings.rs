//! Attempts and immune memory.

use crate::error::Result;
use async_trait::async_trait;
use immune_domain::diagnosis::Diagnosis;
use immune_domain::healing::{Action, Healing, Outcome};
pub use immune_domain::memory::{Lesson, lesson};
use immune_domain::memory::{Memory, Pin};
use immune_domain::{AgentKey, CaseId, HealingId, RunId, Timestamp};

/// Which healings to list. Newest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HealingFilter {
    /// Only of this run.
    pub run: Option<RunId>,
    /// Only of this agent.
    pub agent: Option<AgentKey>,
    /// Only of this case.
    pub case: Option<CaseId>,
    /// Only older than this, for paging.
    pub before: Option<Timestamp>,
    /// At most this many; 0 means 100.
    pub limit: u32,
}

/// Counts of a run's attempts that ended in success or failure, over its whole life: purging keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HealingTotals {
    /// Proven recoveries.
    pub succeeded: u64,
    /// Failures.
    pub failed: u64,
}

/// The store of attempts and of what they taught.
#[async_trait]
pub trait HealingStore: Send + Sync {
    /// Records an attempt before the lever is asked. Recording the same id again changes nothing.
    async fn begin(&self, healing: &Healing) -> Result<()>;

    /// Replaces the attempt's outcome. The first change to a final outcome counts into memory, in the same
    /// transaction; a final outcome is never replaced. Returns whether anything changed. Everything but the
    /// outcome stays as it was begun; an attempt that was not begun is not changed.
    async fn finish(&self, healing: &Healing) -> Result<bool>;

    /// One attempt.
    async fn get(&self, id: &HealingId) -> Result<Option<Healing>>;

    /// Attempts that match, newest first.
    async fn list(&self, filter: &HealingFilter) -> Result<Vec<Healing>>;

    /// What is remembered for an agent and a diagnosis.
    async fn memories(&self, key: &AgentKey, diagnosis: Diagnosis) -> Result<Vec<Memory>>;

    /// What is remembered in a run, in the order of agents, at most `limit`.
    async fn all_memories(&self, run: &RunId, limit: u32) -> Result<Vec<Memory>>;

    /// Sets or clears a person's word; creates the memory when there is none. A memory without a count or a word
    /// says nothing and is removed.
    async fn pin(
        &self,
        key: &AgentKey,
        diagnosis: Diagnosis,
        action: Action,
        pin: Option<Pin>,
        now: Timestamp,
    ) -> Result<()>;

    /// Forgets what is remembered of one action, or of all when `action` is `None`; returns how many.
    async fn forget(&self, key: &AgentKey, diagnosis: Diagnosis, action: Option<Action>) -> Result<u64>;

    /// Totals of a run.
    async fn totals(&self, run: &RunId) -> Result<HealingTotals>;

    /// Removes attempts begun before `before` that have ended; memory stays. Returns how many.
    async fn purge(&self, before: Timestamp) -> Result<u64>;
}

/// When an attempt ended for good; `None` while it is under way.
pub fn ended_at(outcome: &Outcome) -> Option<Timestamp> {
    match outcome {
        Outcome::Succeeded { at, .. }
        | Outcome::Failed { at, .. }
        | Outcome::Unsupported { at, .. }
        | Outcome::Abandoned { at, .. } => Some(*at),
        Outcome::Running | Outcome::Verifying { .. } => None,
    }
}
