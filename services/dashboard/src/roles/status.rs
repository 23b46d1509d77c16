//! How the replicas of each role are.

use super::agents::sentinel;
use crate::roles::Channels;
use futures::future::join_all;
use immune_proto::v1;
use immune_proto::v1::ingestion_service_client::IngestionServiceClient;
use immune_runtime::grpc::{Peer, Peers, RoleChannel};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// How long a replica may take to say how it is.
const REPLICA_MAX: Duration = Duration::from_secs(2);
/// Replicas of a role that are asked.
const REPLICAS_MAX: usize = 64;

/// How one replica says it is.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    pub address: Arc<str>,
    /// `serving`, `not_serving`, `unreachable`.
    pub status: &'static str,
}

/// The replicas of a role that are known now; the balanced way to it where none is.
fn each(peers: &Peers) -> Vec<Peer> {
    let known = peers.each().borrow().clone();
    if known.is_empty() {
        return vec![Peer {
            address: Arc::from("none known"),
            channel: peers.any(),
        }];
    }
    known.iter().take(REPLICAS_MAX).cloned().collect()
}

/// Asks every replica of a role for its health.
pub(crate) async fn health(peers: &Peers, service: &str) -> Vec<Replica> {
    let ask = |peer: Peer| async move {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut client = HealthClient::new(peer.channel);
        let status = match timeout(REPLICA_MAX, client.check(request)).await {
            Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => "serving",
            Ok(Ok(_)) => "not_serving",
            Ok(Err(_)) | Err(_) => "unreachable",
        };
        Replica {
            address: peer.address,
            status,
        }
    };
    join_all(each(peers).into_iter().map(ask)).await
}

/// What every replica of ingestion has seen; without those that do not answer.
pub(crate) async fn ingestion(channels: &Channels) -> Vec<v1::GetIngestionStatusResponse> {
    let ask = |channel: RoleChannel| async move {
        let mut client = IngestionServiceClient::new(channel);
        let request = v1::GetIngestionStatusRequest {};
        let answer = timeout(REPLICA_MAX, client.get_ingestion_status(request)).await;
        answer.ok()?.ok().map(tonic::Response::into_inner)
    };
    let asked = each(&channels.ingestion)
        .into_iter()
        .map(|peer| ask(peer.channel));
    join_all(asked).await.into_iter().flatten().collect()
}

/// How far every replica of the sentinel is; without those that do not answer.
pub(crate) async fn sentinels(channels: &Channels) -> Vec<(Arc<str>, v1::GetSentinelStatusResponse)> {
    let ask = |peer: Peer| async move {
        let mut client = sentinel(peer.channel);
        let request = v1::GetSentinelStatusRequest {};
        let answer = timeout(REPLICA_MAX, client.get_sentinel_status(request)).await;
        Some((peer.address, answer.ok()?.ok()?.into_inner()))
    };
    let asked = each(&channels.sentinel).into_iter().map(ask);
    join_all(asked).await.into_iter().flatten().collect()
}
