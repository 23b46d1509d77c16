//! When a partition is gained: the guarded detector of every agent with a profile begins from the executions on
//! record, instead of being blind until it has seen enough live ones.
//!
//! And when every agent with a profile was heard last, so that one that fell silent while nobody listened is missed.
//!
//! Not here: an agent that left memory because of the limit begins from nothing when it comes back.

use crate::directory::Directory;
use crate::guarding::HISTORY;
use crate::silence::Presence;
use futures::{StreamExt as _, stream};
use immune_domain::{AgentId, AgentKey, RunId, Timestamp};
use immune_store::VitalsStore;
use std::collections::BTreeMap;
use tracing::warn;

/// Agents whose records are read at the same time.
const READS_MAX: usize = 16;

/// Agents whose latest records are asked for in one question.
const NAMED_MAX: usize = 1_000;

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

/// Has these agents missed if they say nothing from now on: all whose executions were not read for the detector, some
/// in one question at a time.
pub(crate) async fn remember(keys: Vec<AgentKey>, directory: &Directory, store: &dyn VitalsStore) {
    let mut runs: BTreeMap<RunId, Vec<AgentId>> = BTreeMap::new();
    for key in keys {
        if !directory.was_heard(&key) {
            runs.entry(key.run).or_default().push(key.agent);
        }
    }
    for (run, agents) in runs {
        for some in agents.chunks(NAMED_MAX) {
            match store.summaries(&run, some).await {
                Ok(found) => found.iter().for_each(|summary| {
                    let within = summary.latest.received_at.since(summary.first_received_at);
                    directory.remember(&summary.latest, Presence::about(summary.executions, within));
                }),
                Err(error) => {
                    warn!(%run, %error, "cannot read when agents were heard last; those that are silent by now are not missed");
                }
            }
        }
    }
}
