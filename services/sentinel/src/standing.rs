//! Which partitions this replica holds, and what it has been told that it needs to judge their agents.

use immune_bus::Partition;
use immune_domain::{AgentKey, Timestamp};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// How long a question about an agent waits for its partition, when that is on its way here.
const ARRIVING_WAIT: Duration = Duration::from_secs(2);
/// How long after the start no partition at all means that the first is on its way here.
const STARTING_WAIT: Duration = Duration::from_secs(5);

/// What a replica has come to, for its readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// Partitions of the bus that it holds.
    pub partitions_held: usize,
    /// Whether a baseline has told the profiles of each of them.
    pub profiles_known: bool,
    /// Whether quarantine has told its open cases.
    pub cases_known: bool,
}

/// How far a partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Gained; nothing of it is judged yet.
    Arriving,
    /// Its records are judged.
    Judged,
}

#[derive(Debug, Default)]
struct Inner {
    held: BTreeMap<u16, Stage>,
    /// Partitions in all; 0 before the first is given.
    count: u16,
    /// Partitions whose profiles were told at least once. All profiles are kept, so this does not depend on what is
    /// held.
    profiles: HashSet<Partition>,
    is_cases_known: bool,
}

/// What this replica holds and knows. Written by the loop that judges and by the watches.
#[derive(Debug)]
pub(crate) struct Standing {
    inner: RwLock<Inner>,
    state: watch::Sender<State>,
    started_at: Instant,
    /// When an execution was judged last, and how long it had waited.
    pace: Mutex<Option<(Timestamp, Duration)>>,
}

impl Standing {
    pub(crate) fn new() -> Self {
        Standing {
            inner: RwLock::default(),
            state: watch::Sender::new(State::default()),
            started_at: Instant::now(),
            pace: Mutex::new(None),
        }
    }

    /// Executions were judged at a time, of which this was received last.
    pub(crate) fn judged(&self, now: Timestamp, received_at: Timestamp) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        *pace = Some((now, now.since(received_at)));
    }

    /// When an execution was judged last, and how long it had waited then; `None` before the first.
    pub(crate) fn pace(&self) -> Option<(Timestamp, Duration)> {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state as it is and as it changes.
    pub(crate) fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// A partition is held from now on.
    pub(crate) fn gain(&self, partition: Partition) {
        self.change(|inner| {
            inner.count = partition.count;
            inner.held.insert(partition.index, Stage::Arriving);
        });
    }

    /// The records of a partition are judged from now on, if it is held still.
    pub(crate) fn begin(&self, partition: Partition) {
        self.change(|inner| {
            if let Some(stage) = inner.held.get_mut(&partition.index) {
                *stage = Stage::Judged;
            }
        });
    }

    /// A partition is held no longer.
    pub(crate) fn lose(&self, partition: Partition) {
        self.change(|inner| {
            inner.held.remove(&partition.index);
        });
    }

    /// A baseline has told all profiles of these partitions.
    pub(crate) fn profiles_told(&self, partitions: impl IntoIterator<Item = Partition>) {
        self.change(|inner| inner.profiles.extend(partitions));
    }

    /// Quarantine has told all open cases.
    pub(crate) fn cases_told(&self) {
        self.change(|inner| inner.is_cases_known = true);
    }

    /// Whether a partition is held.
    pub(crate) fn holds(&self, partition: Partition) -> bool {
        self.read(|inner| inner.count == partition.count && inner.held.contains_key(&partition.index))
    }

    /// Whether the partition of an agent is held.
    pub(crate) fn holds_agent(&self, key: &AgentKey) -> bool {
        self.read(|inner| stage(inner, key).is_some())
    }

    /// Whether the partition of an agent is held; waits a moment for one that is on its way.
    pub(crate) async fn settled(&self, key: &AgentKey) -> bool {
        let mut moves = self.state.subscribe();
        let settled = async {
            loop {
                // Before the look: what changes after it ends the wait.
                moves.mark_unchanged();
                let (has_any, stage) = self.read(|inner| (inner.count > 0, stage(inner, key)));
                match stage {
                    Some(Stage::Judged) => return true,
                    Some(Stage::Arriving) => {}
                    None if has_any => return false,
                    None if self.started_at.elapsed() >= STARTING_WAIT => return false,
                    None => {
                        let patience = timeout_at(self.started_at + STARTING_WAIT, moves.changed());
                        if !matches!(patience.await, Ok(Ok(()))) {
                            return false;
                        }
                        continue;
                    }
                }
                if moves.changed().await.is_err() {
                    return false;
                }
            }
        };
        match timeout(ARRIVING_WAIT, settled).await {
            Ok(is_held) => is_held,
            Err(_) => self.holds_agent(key),
        }
    }

    /// Whether a baseline has told the profiles of a partition.
    pub(crate) fn knows_profiles(&self, partition: Partition) -> bool {
        self.read(|inner| inner.profiles.contains(&partition))
    }

    /// Whether a baseline has told the profile of an agent, if it has one.
    pub(crate) fn knows_profile(&self, key: &AgentKey) -> bool {
        self.read(|inner| inner.profiles.contains(&Partition::of(key, inner.count)))
    }

    /// Waits until the profiles of a partition are known.
    pub(crate) async fn until_profiles(&self, partition: Partition) {
        self.until(|inner| inner.profiles.contains(&partition)).await;
    }

    /// Waits until the open cases are known.
    pub(crate) async fn until_cases(&self) {
        self.until(|inner| inner.is_cases_known).await;
    }

    async fn until(&self, holds: impl Fn(&Inner) -> bool) {
        let mut changes = self.state.subscribe();
        while !self.read(&holds) {
            // The sender lives as long as this does.
            let _ = changes.changed().await;
        }
    }

    fn read<T>(&self, read: impl FnOnce(&Inner) -> T) -> T {
        read(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let state = {
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            change(&mut inner);
            let count = inner.count;
            let is_known = |index: &u16| inner.profiles.contains(&Partition { index: *index, count });
            State {
                partitions_held: inner.held.len(),
                profiles_known: inner.held.keys().all(is_known),
                cases_known: inner.is_cases_known,
            }
        };
        // Also when it is equal: a partition that is judged from now on wakes whoever waits for it.
        self.state.send_replace(state);
    }
}

fn stage(inner: &Inner, key: &AgentKey) -> Option<Stage> {
    let index = Partition::of(key, inner.count).index;
    inner.held.get(&index).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: what is held follows what the bus says; a question about an agent whose partition is on its way
    /// waits until it is judged; one about an agent elsewhere is refused at once.
    #[tokio::test]
    async fn questions_wait_for_what_is_on_its_way() {
        let standing = std::sync::Arc::new(Standing::new());
        let key = AgentKey::new("default", "a");
        let here = Partition::of(&key, 2);
        let there = Partition {
            index: 1 - here.index,
            count: 2,
        };
        let asked = |standing: &std::sync::Arc<Standing>, key: &AgentKey| {
            let (standing, key) = (standing.clone(), key.clone());
            tokio::spawn(async move { standing.settled(&key).await })
        };
        let early = asked(&standing, &key);
        tokio::task::yield_now().await;
        standing.gain(here);
        tokio::task::yield_now().await;
        assert!(!early.is_finished() && standing.holds(here) && standing.holds_agent(&key));
        standing.begin(here);
        assert!(early.await.unwrap());
        standing.lose(here);
        standing.gain(there);
        assert!(!standing.settled(&key).await);
        assert!(!standing.state().borrow().profiles_known);
        standing.profiles_told([there]);
        assert!(standing.state().borrow().profiles_known && standing.knows_profiles(there));
    }
}
