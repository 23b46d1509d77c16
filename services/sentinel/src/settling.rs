//! A partition that was gained: what must be known before its records are judged.
//!
//! Its records wait until a baseline has told its profiles and quarantine its open cases: judged without a profile,
//! the onset of a fault would be called healthy and teach; judged without the case, an agent under treatment would be
//! accused again. How long they wait has a limit: what platforms say of their agents must get through while another
//! role is away.

use crate::directory::Directory;
use crate::history;
use crate::standing::Standing;
use immune_bus::Partition;
use immune_domain::Timestamp;
use immune_store::VitalsStore;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

/// What comes on top of the longest window when records are delivered again: an execution waits ten seconds before it
/// teaches, and until then its verdict may have been given and taken by nobody; the rest is for a writer that stores
/// or publishes a batch late.
const REPLAY_BEYOND_WINDOW: Duration = Duration::from_secs(20);

/// How much of the past is delivered again when a partition is gained: windows are rebuilt from it, and the verdicts
/// and reports of the replica that had it are repeated, for those who did not get them. 30 s by default.
pub(crate) fn replay(directory: &Directory) -> Duration {
    directory.window_max() + REPLAY_BEYOND_WINDOW
}

/// A partition whose records may come now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) partition: Partition,
    /// Which gain of this replica it was: the partition may have been lost, and gained again, since.
    pub(crate) gain: u64,
}

/// What settling needs.
#[derive(Clone)]
pub(crate) struct Settling {
    pub(crate) directory: Arc<Directory>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) store: Arc<dyn VitalsStore>,
    pub(crate) settled: mpsc::UnboundedSender<Settled>,
    /// How long the records of a partition wait.
    pub(crate) patience: Duration,
}

impl Settling {
    /// Waits for what must be known of a partition, then says that it is settled. Guarded detectors begin from the
    /// executions on record, before that where the records come in time. Given up when the partition is lost.
    pub(crate) async fn run(self, settled: Settled, live_from: Timestamp) {
        let Settled { partition, .. } = settled;
        let deadline = Instant::now() + self.patience;
        let known = async {
            tokio::join!(
                self.standing.until_profiles(partition),
                self.standing.until_cases()
            );
        };
        if timeout_at(deadline, known).await.is_err() {
            let (profiles, cases) = {
                let state = self.standing.state();
                let state = state.borrow();
                (self.standing.knows_profiles(partition), state.cases_known)
            };
            warn!(
                partition = partition.index,
                profiles, cases, "a partition is judged although not everything is known"
            );
        }
        if !self.directory.has_guarded() {
            self.say(settled);
            return self.remember(partition).await;
        }
        let history = async {
            // Which agents there are is known with their profiles.
            self.standing.until_profiles(partition).await;
            let agents = self.directory.profiled(partition);
            history::load(agents, &self.directory, &*self.store, live_from).await;
        };
        tokio::pin!(history);
        let is_loaded = timeout_at(deadline, &mut history).await.is_ok();
        self.say(settled);
        if !is_loaded {
            history.await;
        }
        self.remember(partition).await;
    }

    /// Who is silent by now was heard before: when, the records tell.
    async fn remember(&self, partition: Partition) {
        self.standing.until_profiles(partition).await;
        let agents = self.directory.profiled(partition);
        history::remember(agents, &self.directory, &*self.store).await;
    }

    fn say(&self, settled: Settled) {
        info!(partition = settled.partition.index, "a partition is judged");
        // Unbounded: as many as partitions were gained. Nobody listening: the role has stopped.
        let _ = self.settled.send(settled);
    }
}
