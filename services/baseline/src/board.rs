//! The stored profiles of the partitions held here, for readers and watchers. Written by the learning loop only.

use immune_bus::Partition;
use immune_domain::AgentKey;
use immune_domain::baseline::Profile;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Changes that a watcher may be behind before it has to begin anew.
const CHANGES_MAX: usize = 16_384;
/// How long a question about an agent waits for its partition, when that is on its way here.
const ARRIVING_WAIT: Duration = Duration::from_secs(2);
/// How long after the start no partition at all means that the first is on its way here.
const STARTING_WAIT: Duration = Duration::from_secs(5);

/// A change of what is held.
#[derive(Debug, Clone)]
pub enum Change {
    /// Stored, new or again.
    Stored(Arc<Profile>),
    /// A partition is held from now on, with these profiles.
    Gained(Partition, Arc<[Arc<Profile>]>),
}

/// What is held at one time.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Every profile.
    pub profiles: Vec<Arc<Profile>>,
    /// The partitions.
    pub partitions: Vec<u16>,
    /// Of how many.
    pub partition_count: u16,
}

#[derive(Debug, Default)]
struct Holdings {
    profiles: HashMap<AgentKey, Arc<Profile>>,
    held: BTreeSet<u16>,
    /// Given by the bus, not yet loaded.
    arriving: BTreeSet<u16>,
    /// Partitions in all; 0 before the first is given.
    count: u16,
}

enum Whereabouts {
    Here,
    Arriving,
    Elsewhere,
}

/// The stored profiles of the partitions held here.
#[derive(Debug)]
pub struct Board {
    holdings: RwLock<Holdings>,
    changes: broadcast::Sender<Change>,
    /// Told of every partition that comes or goes.
    moves: watch::Sender<()>,
    started_at: Instant,
    closed: CancellationToken,
}

impl Board {
    pub(crate) fn new() -> Self {
        Board {
            holdings: RwLock::default(),
            changes: broadcast::Sender::new(CHANGES_MAX),
            moves: watch::Sender::new(()),
            started_at: Instant::now(),
            closed: CancellationToken::new(),
        }
    }

    /// One profile, as stored.
    pub fn get(&self, key: &AgentKey) -> Option<Arc<Profile>> {
        self.read(|holdings| holdings.profiles.get(key).cloned())
    }

    /// Whether the partition of an agent is held here; waits a moment for one that is on its way.
    pub async fn holds(&self, key: &AgentKey) -> bool {
        let mut moves = self.moves.subscribe();
        let settled = async {
            loop {
                match self.whereabouts(key) {
                    Whereabouts::Here => return true,
                    Whereabouts::Elsewhere => return false,
                    Whereabouts::Arriving if moves.changed().await.is_err() => return false,
                    Whereabouts::Arriving => {}
                }
            }
        };
        tokio::select! {
            settled = timeout(ARRIVING_WAIT, settled) => settled.unwrap_or(false),
            () = self.closed.cancelled() => matches!(self.whereabouts(key), Whereabouts::Here),
        }
    }

    fn whereabouts(&self, key: &AgentKey) -> Whereabouts {
        self.read(|holdings| {
            if holdings.count == 0 {
                return if self.started_at.elapsed() < STARTING_WAIT {
                    Whereabouts::Arriving
                } else {
                    Whereabouts::Elsewhere
                };
            }
            let index = Partition::of(key, holdings.count).index;
            if holdings.held.contains(&index) {
                Whereabouts::Here
            } else if holdings.arriving.contains(&index) {
                Whereabouts::Arriving
            } else {
                Whereabouts::Elsewhere
            }
        })
    }

    /// Changes from now on, and what is held now. A change in between is in both.
    pub fn watch(&self) -> (broadcast::Receiver<Change>, Snapshot) {
        let changes = self.changes.subscribe();
        let snapshot = self.read(|holdings| Snapshot {
            profiles: holdings.profiles.values().cloned().collect(),
            partitions: holdings.held.iter().copied().collect(),
            partition_count: holdings.count,
        });
        (changes, snapshot)
    }

    /// Waits until some partition is held; for ever where none comes.
    pub async fn holds_some(&self) {
        let mut moves = self.moves.subscribe();
        while self.read(|holdings| holdings.held.is_empty()) {
            if moves.changed().await.is_err() {
                return;
            }
        }
    }

    /// A partition is on its way here.
    pub(crate) fn expect(&self, partition: Partition) {
        self.write(|holdings| {
            holdings.count = partition.count;
            holdings.arriving.insert(partition.index);
        });
        self.moves.send_replace(());
    }

    /// A partition is held, with what is stored of it.
    pub(crate) fn gain(&self, partition: Partition, profiles: Arc<[Arc<Profile>]>) {
        self.write(|holdings| {
            holdings.count = partition.count;
            holdings.arriving.remove(&partition.index);
            holdings.held.insert(partition.index);
            let keyed = profiles
                .iter()
                .map(|profile| (profile.key.clone(), profile.clone()));
            holdings.profiles.extend(keyed);
        });
        self.moves.send_replace(());
        // Nobody watching is no error; the same below.
        let _ = self.changes.send(Change::Gained(partition, profiles));
    }

    /// A partition is held no longer. Watchers are not told: its profiles stay true until its next holder says
    /// otherwise.
    pub(crate) fn lose(&self, partition: Partition) {
        self.write(|holdings| {
            holdings.arriving.remove(&partition.index);
            if holdings.held.remove(&partition.index) {
                holdings.profiles.retain(|key, _| !partition.holds(key));
            }
        });
        self.moves.send_replace(());
    }

    /// Shows profiles that are stored now.
    pub(crate) fn show(&self, stored: impl IntoIterator<Item = Profile>) {
        for profile in stored {
            let profile = Arc::new(profile);
            self.write(|holdings| holdings.profiles.insert(profile.key.clone(), profile.clone()));
            let _ = self.changes.send(Change::Stored(profile));
        }
    }

    /// Ends every watch, so that the server can drain.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Cancelled when the role has stopped.
    pub fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    fn read<T>(&self, read: impl FnOnce(&Holdings) -> T) -> T {
        read(&self.holdings.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, write: impl FnOnce(&mut Holdings) -> T) -> T {
        write(&mut self.holdings.write().unwrap_or_else(PoisonError::into_inner))
    }
}
