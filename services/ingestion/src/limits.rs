//! From when on an execution that still runs is worth reporting, by agent: taken from the profiles of every replica
//! of baseline, as they change.

use foldhash::HashMap;
use immune_domain::AgentKey;
use immune_domain::baseline::{Limits, Profile, running_limits};
use immune_proto::v1;
use immune_proto::v1::baseline_service_client::BaselineServiceClient;
use immune_proto::v1::watch_profiles_response::Change;
use immune_runtime::grpc::{Peer, Peers};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Agents whose limits are kept.
const AGENTS_MAX: usize = 200_000;
/// Wait before a watch on profiles begins again.
const WATCH_AGAIN: Duration = Duration::from_millis(500);

/// The limits that are known.
#[derive(Clone, Default)]
pub(crate) struct Known(Arc<RwLock<HashMap<AgentKey, Limits>>>);

impl Known {
    /// Reads them; not to be kept waiting.
    pub fn read<T>(&self, read: impl FnOnce(&HashMap<AgentKey, Limits>) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, change: Change) {
        let mut limits = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::Stored(profile) => {
                if let Ok(profile) = Profile::try_from(profile)
                    && (limits.len() < AGENTS_MAX || limits.contains_key(&profile.key))
                {
                    limits.insert(profile.key.clone(), running_limits(&profile));
                }
            }
            Change::SnapshotDone(_) => {}
        }
    }
}

/// Follows the profiles of every replica until it is dropped.
pub(crate) async fn watch(baseline: Peers, limits: Known) {
    let watch = |peer| watch_one(peer, limits.clone());
    baseline.follow(CancellationToken::new(), watch).await;
}

async fn watch_one(peer: Peer, limits: Known) {
    let mut baseline = BaselineServiceClient::new(peer.channel);
    loop {
        if let Ok(watch) = baseline.watch_profiles(v1::WatchProfilesRequest {}).await {
            let mut changes = watch.into_inner();
            while let Ok(Some(v1::WatchProfilesResponse { change: Some(change) })) = changes.message().await {
                limits.note(change);
            }
        }
        tokio::time::sleep(WATCH_AGAIN).await;
    }
}
