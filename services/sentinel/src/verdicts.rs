//! The verdicts, for the baseline: a stream with a memory, so that a watcher that comes late or again misses little.

use immune_bus::Partition;
use immune_domain::baseline::Reason;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, ExecutionId};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Verdicts that a watcher may be behind before it has to begin anew.
const BEHIND_MAX: usize = 16_384;

/// The word on one execution.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Whose.
    pub key: AgentKey,
    /// Which.
    pub execution: ExecutionId,
    /// At which revision.
    pub revision: u32,
    /// Why it may or may not teach.
    pub reason: Reason,
}

/// The stream of verdicts.
#[derive(Debug)]
pub struct Verdicts {
    kept: Mutex<VecDeque<Arc<Verdict>>>,
    kept_max: usize,
    stream: broadcast::Sender<Arc<Verdict>>,
}

impl Verdicts {
    /// A stream that keeps so many.
    pub fn new(kept_max: usize) -> Self {
        Verdicts {
            kept: Mutex::default(),
            kept_max,
            stream: broadcast::Sender::new(BEHIND_MAX),
        }
    }

    /// Gives a verdict.
    pub fn give(&self, vitals: &Vitals, reason: Reason) {
        let verdict = Verdict {
            key: vitals.key.clone(),
            execution: vitals.execution.clone(),
            revision: vitals.revision,
            reason,
        };
        let verdict = Arc::new(verdict);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= self.kept_max {
            kept.pop_front();
        }
        kept.push_back(verdict.clone());
        // Under the lock, so that a new watcher has each verdict from the memory or from the stream, not from both
        // and not from neither. Nobody watching is no error.
        let _ = self.stream.send(verdict);
    }

    /// Forgets the verdicts on agents of a partition: whoever holds it now gives them again.
    pub fn forget(&self, partition: Partition) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|verdict| !partition.holds(&verdict.key));
    }

    /// What is kept, and everything from now on.
    pub fn watch(&self) -> (Vec<Arc<Verdict>>, broadcast::Receiver<Arc<Verdict>>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.iter().cloned().collect(), self.stream.subscribe())
    }
}
