//! Who holds which agents: remembered per bucket of agents, so that most calls go to the right replica at once.

use immune_bus::Partition;
use immune_domain::AgentKey;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Buckets. A multiple of the usual numbers of partitions (powers of two up to it), so that the agents of a bucket
/// are of one partition.
const BUCKETS: u16 = 1024;

/// The replica that answered last for each bucket.
#[derive(Debug, Clone)]
pub(super) struct Owners(Arc<[AtomicU32]>);

impl Owners {
    pub(super) fn new() -> Self {
        Owners((0..BUCKETS).map(|_| AtomicU32::new(0)).collect())
    }

    /// The id of the replica that answered last; `None` when none has.
    pub(super) fn last(&self, key: &AgentKey) -> Option<u32> {
        let id = self.bucket(key).load(Ordering::Relaxed);
        (id != 0).then_some(id)
    }

    pub(super) fn remember(&self, key: &AgentKey, id: u32) {
        self.bucket(key).store(id, Ordering::Relaxed);
    }

    fn bucket(&self, key: &AgentKey) -> &AtomicU32 {
        &self.0[usize::from(Partition::of(key, BUCKETS).index)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the agents of a bucket are of one partition, whatever power of two the partitions are.
    #[test]
    fn a_bucket_is_of_one_partition() {
        for count in [1u16, 2, 16, 64, 256, 1024] {
            for agent in 0..2_000 {
                let key = AgentKey::new("run", format!("agent-{agent}").as_str());
                let bucket = Partition::of(&key, BUCKETS).index;
                assert_eq!(Partition::of(&key, count).index, bucket % count);
            }
        }
    }
}
