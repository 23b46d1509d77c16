//! Profiles and the state that learns them.

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

/// The store of profiles.
#[async_trait]
pub trait BaselineStore: Send + Sync {
    /// Stores a batch; a profile replaces one of lower version, others are ignored.
    async fn put(&self, batch: &[StoredProfile]) -> Result<()>;

    /// One profile.
    async fn get(&self, key: &AgentKey) -> Result<Option<StoredProfile>>;

    /// All profiles of all runs, in the order of their keys, starting after `after`, at most `limit`.
    async fn page(&self, after: Option<&AgentKey>, limit: u32) -> Result<Vec<StoredProfile>>;

    /// Profiles of a run that may judge.
    async fn count_ready(&self, run: &RunId) -> Result<u64>;

    /// Forgets a profile; whether there was one.
    async fn remove(&self, key: &AgentKey) -> Result<bool>;
}
