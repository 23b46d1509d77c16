//! Which partitions this replica is to hold and does not yet: the store has to hand them over first.

use immune_bus::Partition;
use immune_store::baselines::{StoredProfile, Tenure};
use immune_store::{BaselineStore, StorageError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;

/// Profiles per page.
const PAGE_MAX: u32 = 500;
/// Partitions that are gained within this time are taken over together, with one reading of the profiles.
const TOGETHER: Duration = Duration::from_millis(50);
/// Wait before the store is asked again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Wait before a partition is taken over again that another replica has taken over, though the bus still says that
/// it is ours. The bus has told us of a true loss long before.
const OVERTAKEN_WAIT: Duration = Duration::from_secs(30);

/// A partition that was taken over, with what is stored of it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) partition: Partition,
    pub(crate) tenure: Tenure,
    pub(crate) profiles: Vec<StoredProfile>,
}

/// Partitions on their way here.
#[derive(Debug, Default)]
pub(crate) struct Gaining {
    /// With the time from which on the store may be asked.
    wanted: BTreeMap<u16, (Partition, Instant)>,
    /// Asked for at the store.
    taking: BTreeMap<u16, Partition>,
    is_taking: bool,
}

impl Gaining {
    /// The bus has given a partition.
    pub(crate) fn gained(&mut self, partition: Partition) {
        self.want(partition, TOGETHER);
    }

    /// Another replica has taken the partition over at the store.
    pub(crate) fn overtaken(&mut self, partition: Partition) {
        self.want(partition, OVERTAKEN_WAIT);
    }

    fn want(&mut self, partition: Partition, wait: Duration) {
        self.taking.remove(&partition.index);
        self.wanted
            .insert(partition.index, (partition, Instant::now() + wait));
    }

    /// The bus has taken a partition away.
    pub(crate) fn lost(&mut self, partition: Partition) {
        self.wanted.remove(&partition.index);
        self.taking.remove(&partition.index);
    }

    /// Whether every partition that the bus has given is here.
    pub(crate) fn is_done(&self) -> bool {
        self.wanted.is_empty() && self.taking.is_empty()
    }

    /// When the store is to be asked; `None` while it is, or when there is nothing to ask for.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        let first = self.wanted.values().map(|(_, from)| *from).min();
        first.filter(|_| !self.is_taking)
    }

    /// The partitions to ask for now.
    pub(crate) fn start(&mut self) -> Vec<Partition> {
        let now = Instant::now();
        self.wanted.retain(|index, (partition, from)| {
            let is_due = *from <= now;
            if is_due {
                self.taking.insert(*index, *partition);
            }
            !is_due
        });
        self.is_taking = !self.taking.is_empty();
        self.taking.values().copied().collect()
    }

    /// The store has answered: those that are still wanted.
    pub(crate) fn taken(&mut self, taken: Vec<Taken>) -> Vec<Taken> {
        self.is_taking = false;
        let is_wanted = |taken: &Taken| self.taking.remove(&taken.partition.index).is_some();
        taken.into_iter().filter(is_wanted).collect()
    }

    /// The store could not answer: it is asked again later.
    pub(crate) fn failed(&mut self) {
        self.is_taking = false;
        for partition in std::mem::take(&mut self.taking).into_values() {
            self.want(partition, RETRY_AFTER);
        }
    }
}

/// Takes partitions over and reads the profiles of their agents, at most so many.
pub(crate) async fn take_over(
    store: Arc<dyn BaselineStore>,
    partitions: Vec<Partition>,
    agents_max: usize,
) -> Result<Vec<Taken>, StorageError> {
    let mut taken = BTreeMap::new();
    for partition in partitions {
        let tenure = store.take_over(partition.index).await?;
        let profiles = Vec::new();
        let entry = Taken {
            partition,
            tenure,
            profiles,
        };
        taken.insert(partition.index, entry);
    }
    let Some(count) = taken.values().next().map(|taken| taken.partition.count) else {
        return Ok(Vec::new());
    };
    let (mut after, mut agents) = (None, 0);
    loop {
        let page = store.page(after.as_ref(), PAGE_MAX).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.profile.key.clone());
        for stored in page {
            if let Some(taken) = taken.get_mut(&Partition::of(&stored.profile.key, count).index) {
                agents += 1;
                taken.profiles.push(stored);
            }
        }
        if agents >= agents_max {
            warn!(agents, "the limit of agents is reached while loading profiles");
            break;
        }
    }
    Ok(taken.into_values().collect())
}
