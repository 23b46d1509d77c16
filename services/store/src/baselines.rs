//! Profiles and the state that learns them.

use crate::action_log::LogRow;
use crate::error::Result;
use async_trait::async_trait;
use immune_domain::baseline::Profile;
use immune_domain::{AgentKey, RunId};

/// A profile with the learner's own state.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredProfile {
    /// What the sentinel compares with.
    pub profile: Profile,
    /// The learner's state, versioned JSON that only the baseline role reads.
    pub learner: serde_json::Value,
}

/// The right to change the profiles of a partition of the agents, and how far they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenure {
    /// Which partition.
    pub partition: u16,
    /// Grows with every taking over; a store refuses writes under an older one.
    pub fence: u64,
    /// The last entry of the vitals bus that the stored profiles contain, in the bus's own words.
    pub place: Option<String>,
}

/// The answer to storing profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// All are stored.
    Done,
    /// Another replica has taken this partition over; nothing was stored.
    Overtaken {
        /// Which.
        partition: u16,
    },
}

/// The store of profiles.
#[async_trait]
pub trait BaselineStore: Send + Sync {
    /// Takes a partition over: whoever held it before can store nothing under it any more.
    async fn take_over(&self, partition: u16) -> Result<Tenure>;

    /// Stores a batch and how far the partitions are with it, all or nothing, unless one of the tenures is no longer
    /// the latest of its partition. A profile replaces one of lower version, others are ignored. A tenure without a
    /// place leaves the stored place as it is.
    async fn put(&self, batch: &[StoredProfile], tenures: &[Tenure]) -> Result<Put> {
        self.put_with(batch, tenures, &[]).await
    }

    /// The same, with rows of the action log that say what a person has changed: with it or not at all. After an answer
    /// that was lost, a caller that repeats the call may have written its rows twice.
    async fn put_with(&self, batch: &[StoredProfile], tenures: &[Tenure], rows: &[LogRow]) -> Result<Put>;

    /// One profile.
    async fn get(&self, key: &AgentKey) -> Result<Option<StoredProfile>>;

    /// All profiles of all runs, in the order of their keys, starting after `after`, at most `limit`.
    async fn page(&self, after: Option<&AgentKey>, limit: u32) -> Result<Vec<StoredProfile>>;

    /// Profiles of a run that may judge.
    async fn count_ready(&self, run: &RunId) -> Result<u64>;
}
