//! A replica of baseline that tells what the test says.

use super::{Answer, WatchStream, ok, stream, unexpected};
use immune_bus::Partition;
use immune_domain::baseline::Profile;
use immune_proto::v1;
use immune_proto::v1::baseline_service_server::{BaselineService, BaselineServiceServer};
use immune_proto::v1::watch_profiles_response::{Change, Snapshot};
use immune_runtime::access::RoleName;
use immune_runtime::grpc::inproc::pair;
use immune_runtime::grpc::server::serve_in_process;
use immune_runtime::grpc::{ClientSecurity, Options, Peers, RoleChannel, Target};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

#[derive(Clone)]
pub struct Baseline {
    held: Arc<Mutex<Held>>,
    news: broadcast::Sender<Vec<Change>>,
}

#[derive(Default)]
struct Held {
    profiles: Vec<Profile>,
    partitions: Vec<u16>,
    count: u16,
}

impl Baseline {
    pub fn holding(partitions: &[u16], count: u16, profiles: Vec<Profile>) -> Self {
        let held = Held {
            profiles,
            partitions: partitions.to_vec(),
            count,
        };
        Baseline {
            held: Arc::new(Mutex::new(held)),
            news: broadcast::Sender::new(64),
        }
    }

    /// Holds nothing, and so tells nothing.
    pub fn silent() -> Self {
        Baseline::holding(&[], 0, Vec::new())
    }

    /// Holds a partition from now on.
    pub fn gain(&self, partition: Partition, profiles: Vec<Profile>) {
        let mut held = self.held.lock().unwrap();
        held.partitions.push(partition.index);
        held.count = partition.count;
        let indices = vec![partition.index];
        let _ = self.news.send(telling(&profiles, &indices, partition.count));
        held.profiles.extend(profiles);
    }

    pub fn lose(&self, partition: Partition) {
        let mut held = self.held.lock().unwrap();
        held.partitions.retain(|index| *index != partition.index);
        held.profiles.retain(|profile| !partition.holds(&profile.key));
    }

    pub fn serve(&self) -> RoleChannel {
        let (channel, connections) = pair();
        let routes = Routes::new(BaselineServiceServer::new(self.clone()));
        tokio::spawn(serve_in_process(routes, connections, CancellationToken::new()));
        channel
    }
}

/// Several replicas, each behind a port of its own, until the token is cancelled.
pub async fn listen(replicas: &[Baseline], shutdown: CancellationToken) -> Peers {
    let mut addresses = Vec::new();
    for replica in replicas {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap().to_string());
        let server = Server::builder().add_service(BaselineServiceServer::new(replica.clone()));
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                served = server.serve_with_incoming(TcpIncoming::from(listener)) => served.unwrap(),
                () = shutdown.cancelled() => {}
            }
        });
    }
    let target = Target::parse(RoleName::Baseline, &addresses.join(",")).unwrap();
    let (options, metrics) = (Options::default(), Default::default());
    Peers::resolve(&target, ClientSecurity::Stranger, &options, &metrics, shutdown)
}

fn telling(profiles: &[Profile], partitions: &[u16], count: u16) -> Vec<Change> {
    let snapshot = Snapshot {
        profiles: profiles.len() as u64,
        partitions: partitions.iter().copied().map(u32::from).collect(),
        partition_count: u32::from(count),
    };
    let stored = profiles.iter().map(|profile| Change::Stored(profile.into()));
    stored.chain([Change::SnapshotDone(snapshot)]).collect()
}

fn message(change: Change) -> v1::WatchProfilesResponse {
    v1::WatchProfilesResponse { change: Some(change) }
}

#[tonic::async_trait]
impl BaselineService for Baseline {
    type WatchProfilesStream = WatchStream<v1::WatchProfilesResponse>;

    async fn watch_profiles(
        &self,
        _: Request<v1::WatchProfilesRequest>,
    ) -> Answer<Self::WatchProfilesStream> {
        let (mut news, first) = {
            let held = self.held.lock().unwrap();
            let first = match held.partitions.as_slice() {
                [] => Vec::new(),
                partitions => telling(&held.profiles, partitions, held.count),
            };
            (self.news.subscribe(), first)
        };
        let (stream, sender) = stream(first.into_iter().map(message).collect());
        tokio::spawn(async move {
            while let Ok(changes) = news.recv().await {
                for change in changes {
                    if sender.send(Ok(message(change))).await.is_err() {
                        return;
                    }
                }
            }
            // Nothing more to say; the watch stays open all the same.
            sender.closed().await;
        });
        ok(stream)
    }

    async fn get_profiles(&self, _: Request<v1::GetProfilesRequest>) -> Answer<v1::GetProfilesResponse> {
        unexpected()
    }

    async fn get_profile(&self, _: Request<v1::GetProfileRequest>) -> Answer<v1::GetProfileResponse> {
        unexpected()
    }

    async fn reset_profile(&self, _: Request<v1::ResetProfileRequest>) -> Answer<v1::ResetProfileResponse> {
        unexpected()
    }

    async fn freeze_profile(
        &self,
        _: Request<v1::FreezeProfileRequest>,
    ) -> Answer<v1::FreezeProfileResponse> {
        unexpected()
    }

    async fn set_profile(&self, _: Request<v1::SetProfileRequest>) -> Answer<v1::SetProfileResponse> {
        unexpected()
    }

    async fn count_ready_profiles(
        &self,
        _: Request<v1::CountReadyProfilesRequest>,
    ) -> Answer<v1::CountReadyProfilesResponse> {
        unexpected()
    }
}
