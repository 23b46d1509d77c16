//! Profiles in memory.

use super::Limits;
use super::listing::page_limit;
use super::locked;
use super::workflow::Workflow;
use crate::action_log::LogRow;
use crate::baselines::{BaselineStore, Put, StoredProfile, Tenure};
use crate::error::Result;
use async_trait::async_trait;
use immune_domain::{AgentKey, RunId};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex};

/// The in-memory [`BaselineStore`]; holds one profile per agent.
pub struct MemoryBaselines {
    profiles: Mutex<BTreeMap<AgentKey, StoredProfile>>,
    /// The latest tenure of each partition. Locked before the profiles where both are needed.
    tenures: Mutex<HashMap<u16, Tenure>>,
    /// Has the action log. Locked last.
    workflow: Arc<Mutex<Workflow>>,
}

impl MemoryBaselines {
    pub(super) fn new(workflow: Arc<Mutex<Workflow>>) -> Self {
        MemoryBaselines {
            profiles: Mutex::default(),
            tenures: Mutex::default(),
            workflow,
        }
    }
}

impl Default for MemoryBaselines {
    /// With an action log of its own.
    fn default() -> Self {
        MemoryBaselines::new(Arc::new(Mutex::new(Workflow::new(Limits::default()))))
    }
}

#[async_trait]
impl BaselineStore for MemoryBaselines {
    async fn take_over(&self, partition: u16) -> Result<Tenure> {
        let mut tenures = locked(&self.tenures);
        let tenure = tenures.entry(partition).or_insert(Tenure {
            partition,
            fence: 0,
            place: None,
        });
        tenure.fence += 1;
        Ok(tenure.clone())
    }

    async fn put_with(&self, batch: &[StoredProfile], tenures: &[Tenure], rows: &[LogRow]) -> Result<Put> {
        let mut latest = locked(&self.tenures);
        let is_overtaken = |tenure: &&Tenure| {
            latest
                .get(&tenure.partition)
                .is_none_or(|latest| latest.fence != tenure.fence)
        };
        if let Some(Tenure { partition, .. }) = tenures.iter().find(is_overtaken) {
            return Ok(Put::Overtaken {
                partition: *partition,
            });
        }
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
        for tenure in tenures.iter().filter(|tenure| tenure.place.is_some()) {
            latest.insert(tenure.partition, tenure.clone());
        }
        locked(&self.workflow).log(rows);
        Ok(Put::Done)
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
}
