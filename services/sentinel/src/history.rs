//! When a partition is gained: the guarded detector of every agent with a profile begins from the executions on
//! record, instead of being blind until it has seen enough live ones.
//!
//! Not here: an agent that left memory because of the limit begins from nothing when it comes back.

use crate::directory::Directory;
use crate::guarding::HISTORY;
use futures::{StreamExt as _, stream};
use immune_domain::{AgentKey, Timestamp};
use immune_store::VitalsStore;
use tracing::warn;

/// Agents whose records are read at the same time.
const READS_MAX: usize = 16;

/// Reads the records of these agents, a few agents at a time. Executions received at or after `live_from` count as
/// live: the bus delivers them again, where it can.
pub(crate) async fn load(
    keys: Vec<AgentKey>,
    directory: &Directory,
    store: &dyn VitalsStore,
    live_from: Timestamp,
) {
    stream::iter(keys)
        .for_each_concurrent(READS_MAX, async |key| {
            load_one(&key, directory, store, live_from).await;
        })
        .await;
}

async fn load_one(key: &AgentKey, directory: &Directory, store: &dyn VitalsStore, live_from: Timestamp) {
    if !directory.begin_history(key) {
        return;
    }
    let read = store.recent(key, Timestamp::EPOCH, HISTORY as u32).await;
    let history = read.unwrap_or_else(|error| {
        warn!(agent = %key, %error, "cannot read the executions on record; the guarded detector begins without");
        Vec::new()
    });
    directory.end_history(key, &history, live_from);
}
