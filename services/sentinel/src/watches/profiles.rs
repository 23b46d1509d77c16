//! Profiles: a watch per replica of baseline, as replicas come and go; each tells what it holds.

use super::Pause;
use crate::directory::Directory;
use immune_bus::Partition;
use immune_domain::baseline::Profile;
use immune_proto::convert::WireError;
use immune_proto::v1;
use immune_proto::v1::baseline_service_client::BaselineServiceClient;
use immune_proto::v1::watch_profiles_response::{Change, Snapshot};
use immune_runtime::grpc::{Peer, Peers};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::warn;

/// Follows the profiles of every replica until the token is cancelled.
pub async fn follow(baseline: Peers, directory: Arc<Directory>, shutdown: CancellationToken) {
    let watch = |peer| watch(peer, directory.clone(), shutdown.clone());
    baseline.follow(shutdown.clone(), watch).await;
}

async fn watch(peer: Peer, directory: Arc<Directory>, shutdown: CancellationToken) {
    let mut pause = Pause::new("profiles", peer.address.clone());
    while !shutdown.is_cancelled() {
        tokio::select! {
            ended = watch_once(&peer, &directory, &mut pause) => pause.note(ended),
            () = shutdown.cancelled() => return,
        }
        pause.wait(&shutdown).await;
    }
}

async fn watch_once(peer: &Peer, directory: &Directory, pause: &mut Pause) -> Result<(), Status> {
    let mut stream = BaselineServiceClient::new(peer.channel.clone())
        .watch_profiles(v1::WatchProfilesRequest {})
        .await?
        .into_inner();
    let mut generation = directory.begin_profiles();
    while let Some(message) = stream.message().await? {
        pause.had_some();
        match message.change {
            Some(Change::Stored(profile)) => match Profile::try_from(profile) {
                Ok(profile) => directory.set_profile(profile, generation),
                Err(error) => unreadable(&error),
            },
            Some(Change::SnapshotDone(snapshot)) => {
                directory.end_profiles(generation, &partitions(&snapshot));
                // What is told from now on belongs to the partition that this replica may gain next.
                generation = directory.begin_profiles();
            }
            None => {}
        }
    }
    Ok(())
}

fn unreadable(error: &WireError) {
    warn!(%error, "a profile cannot be read");
}

/// The partitions of a snapshot; those that cannot be are left out.
fn partitions(snapshot: &Snapshot) -> Vec<Partition> {
    let Ok(count) = u16::try_from(snapshot.partition_count) else {
        return Vec::new();
    };
    let indices = snapshot
        .partitions
        .iter()
        .filter_map(|index| u16::try_from(*index).ok());
    indices
        .filter(|index| *index < count)
        .map(|index| Partition { index, count })
        .collect()
}
