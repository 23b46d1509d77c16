//! Profiles in memory.

use super::listing::page_limit;
use super::locked;
use crate::baselines::{BaselineStore, StoredProfile};
use crate::error::Result;
use async_trait::async_trait;
use immune_domain::{AgentKey, RunId};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Mutex;

/// The in-memory [`BaselineStore`]; holds one profile per agent.
#[derive(Default)]
pub struct MemoryBaselines {
    profiles: Mutex<BTreeMap<AgentKey, StoredProfile>>,
}

#[async_trait]
impl BaselineStore for MemoryBaselines {
    async fn put(&self, batch: &[StoredProfile]) -> Result<()> {
        let mut profiles = locked(&self.profiles);
        for stored in batch {
            let key = &stored.profile.key;
            let is_newer = profiles
                .get(key)
                .is_none_or(|old| old.profile.version < stored.profile.version);
            if is_newer {
                profiles.insert(key.clone(), stored.clone());
            }
        }
        Ok(())
    }

    async fn get(&self, key: &AgentKey) -> Result<Option<StoredProfile>> {
        Ok(locked(&self.profiles).get(key).cloned())
    }

    async fn page(&self, after: Option<&AgentKey>, limit: u32) -> Result<Vec<StoredProfile>> {
        let profiles = locked(&self.profiles);
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = profiles
            .range::<AgentKey, _>((start, Bound::Unbounded))
            .take(page_limit(limit));
        Ok(page.map(|(_, stored)| stored.clone()).collect())
    }

    async fn count_ready(&self, run: &RunId) -> Result<u64> {
        let profiles = locked(&self.profiles);
        let ready = profiles.values().filter(|stored| stored.profile.key.run == *run);
        Ok(ready.filter(|stored| stored.profile.state.is_ready()).count() as u64)
    }

    async fn remove(&self, key: &AgentKey) -> Result<bool> {
        Ok(locked(&self.profiles).remove(key).is_some())
    }
}
