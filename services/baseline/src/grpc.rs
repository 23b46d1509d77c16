//! `immune.v1.BaselineService`: translation only.

use crate::Service;
use crate::acting::{Act, Asked, Refusal};
use crate::board::{self, Change};
use immune_domain::baseline::{Learned, Origin, Profile};
use immune_domain::case::Person;
use immune_domain::{AgentKey, ErrorKind};
use immune_proto::convert::{WireError, id, nested, profile, run, word};
use immune_proto::v1;
use immune_proto::v1::baseline_service_server::BaselineService;
use immune_proto::v1::watch_profiles_response::{Change as WireChange, Snapshot};
use immune_runtime::access::person_of;
use immune_runtime::grpc::{not_owner, status};
use immune_store::StorageError;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Messages of a watch that may wait for its reader.
const STREAM_MAX: usize = 256;

/// Profiles that are asked for at once at most.
const PROFILES_MAX: usize = 1_000;

/// Bytes of a person's reason.
const REASON_BYTES_MAX: usize = 2_048;

#[tonic::async_trait]
impl BaselineService for Service {
    type WatchProfilesStream = ReceiverStream<Result<v1::WatchProfilesResponse, Status>>;

    async fn get_profile(
        &self,
        request: Request<v1::GetProfileRequest>,
    ) -> Result<Response<v1::GetProfileResponse>, Status> {
        let key: AgentKey = nested("key", request.into_inner().key).map_err(invalid)?;
        self.check_held(&key).await?;
        let profile = self.board.get(&key).map(|profile| v1::Profile::from(&*profile));
        Ok(Response::new(v1::GetProfileResponse { profile }))
    }

    async fn get_profiles(
        &self,
        request: Request<v1::GetProfilesRequest>,
    ) -> Result<Response<v1::GetProfilesResponse>, Status> {
        let v1::GetProfilesRequest { run_id, agent_ids } = request.into_inner();
        let run = run("run_id", run_id).map_err(invalid)?;
        if agent_ids.len() > PROFILES_MAX {
            let problem = format!("has {} ids, the most is {PROFILES_MAX}", agent_ids.len());
            return Err(invalid(WireError::new("agent_ids", problem)));
        }
        let mut profiles = Vec::with_capacity(agent_ids.len());
        for agent in agent_ids {
            let key = AgentKey {
                run: run.clone(),
                agent: id("agent_ids", agent).map_err(invalid)?,
            };
            profiles.extend(self.board.get(&key).map(|profile| v1::Profile::from(&*profile)));
        }
        Ok(Response::new(v1::GetProfilesResponse { profiles }))
    }

    async fn watch_profiles(
        &self,
        _request: Request<v1::WatchProfilesRequest>,
    ) -> Result<Response<Self::WatchProfilesStream>, Status> {
        let (sender, receiver) = mpsc::channel(STREAM_MAX);
        let service = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = service.send_changes(&sender) => {}
                () = service.board.closed().cancelled() => {}
                () = sender.closed() => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn reset_profile(
        &self,
        request: Request<v1::ResetProfileRequest>,
    ) -> Result<Response<v1::ResetProfileResponse>, Status> {
        let by = person_of(&request)?;
        let v1::ResetProfileRequest { key, reason } = request.into_inner();
        let existed = self.act(key, Act::Reset, by, reason).await?.is_some();
        Ok(Response::new(v1::ResetProfileResponse { existed }))
    }

    async fn freeze_profile(
        &self,
        request: Request<v1::FreezeProfileRequest>,
    ) -> Result<Response<v1::FreezeProfileResponse>, Status> {
        let by = person_of(&request)?;
        let v1::FreezeProfileRequest {
            key,
            is_frozen,
            reason,
        } = request.into_inner();
        let profile = self.act(key, Act::Freeze(is_frozen), by, reason).await?;
        let profile = profile.map(|profile| v1::Profile::from(&*profile));
        Ok(Response::new(v1::FreezeProfileResponse { profile }))
    }

    async fn set_profile(
        &self,
        request: Request<v1::SetProfileRequest>,
    ) -> Result<Response<v1::SetProfileResponse>, Status> {
        let by = person_of(&request)?;
        let v1::SetProfileRequest {
            key,
            origin,
            sample_count,
            moments,
            known,
            reason,
        } = request.into_inner();
        let origin = match word("origin", &origin).map_err(invalid)? {
            origin @ (Origin::Pinned | Origin::Imported | Origin::Accepted) => origin,
            Origin::Seen | Origin::Reset => {
                let problem =
                    format!("{origin} is not given by a person; known: `pinned` `imported` `accepted`");
                return Err(invalid(WireError::new("origin", problem)));
            }
        };
        let moments = profile::moments_from_wire(moments).map_err(invalid)?;
        let known = profile::known("known", &known).map_err(invalid)?;
        let learned = Learned::from_numbers(sample_count, moments, known)
            .map_err(|error| invalid(WireError::new("moments", error.to_string())))?;
        let profile = self
            .act(key, Act::Set(Box::new(learned), origin), by, reason)
            .await?;
        let profile = profile.map(|profile| v1::Profile::from(&*profile));
        Ok(Response::new(v1::SetProfileResponse { profile }))
    }

    async fn count_ready_profiles(
        &self,
        request: Request<v1::CountReadyProfilesRequest>,
    ) -> Result<Response<v1::CountReadyProfilesResponse>, Status> {
        let run = run("run_id", request.into_inner().run_id).map_err(invalid)?;
        let count = self.store.count_ready(&run).await.map_err(stored)?;
        Ok(Response::new(v1::CountReadyProfilesResponse { count }))
    }
}

type WatchSender = mpsc::Sender<Result<v1::WatchProfilesResponse, Status>>;

impl Service {
    /// Has the learning loop do what a person wants, and waits until it is stored.
    async fn act(
        &self,
        key: Option<v1::AgentKey>,
        act: Act,
        by: Person,
        reason: String,
    ) -> Result<Option<Arc<Profile>>, Status> {
        let key: AgentKey = nested("key", key).map_err(invalid)?;
        if reason.len() > REASON_BYTES_MAX {
            let problem = format!("has {} bytes, the most is {REASON_BYTES_MAX}", reason.len());
            return Err(invalid(WireError::new("reason", problem)));
        }
        self.check_held(&key).await?;
        let (answer, answered) = oneshot::channel();
        let gone = || {
            let message =
                "the partition moved or the role stopped before the change was stored; look, and try again";
            status(ErrorKind::Unavailable, "baseline.stopped", message)
        };
        let asked = Asked {
            key,
            act,
            by,
            reason,
            answer,
        };
        self.commands.send(asked).await.map_err(|_| gone())?;
        answered
            .await
            .map_err(|_| gone())?
            .map_err(|refusal| refused(&refusal))
    }

    /// Refuses to speak of an agent whose partition is held elsewhere.
    async fn check_held(&self, key: &AgentKey) -> Result<(), Status> {
        if self.board.holds(key).await {
            Ok(())
        } else {
            Err(not_owner::status())
        }
    }

    /// Everything that is held, then each change; ends when the reader is gone or too far behind.
    async fn send_changes(&self, sender: &WatchSender) {
        self.board.holds_some().await;
        let (mut changes, held) = self.board.watch();
        if send_profiles(sender, &held.profiles).await.is_err() {
            return;
        }
        let mut next = WireChange::SnapshotDone(snapshot(&held));
        while send(sender, next).await.is_ok() {
            next = match changes.recv().await {
                Ok(Change::Stored(profile)) => WireChange::Stored((&*profile).into()),
                Ok(Change::Gained(partition, profiles)) => {
                    if send_profiles(sender, &profiles).await.is_err() {
                        return;
                    }
                    WireChange::SnapshotDone(Snapshot {
                        profiles: profiles.len() as u64,
                        partitions: vec![u32::from(partition.index)],
                        partition_count: u32::from(partition.count),
                    })
                }
                Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(missed)) => {
                    let message = format!("{missed} changes were missed; watch again");
                    let behind = status(ErrorKind::Unavailable, "baseline.watch_behind", message);
                    // The reader is gone, or will read this and come back.
                    let _ = sender.send(Err(behind)).await;
                    return;
                }
            };
        }
    }
}

fn snapshot(held: &board::Snapshot) -> Snapshot {
    Snapshot {
        profiles: held.profiles.len() as u64,
        partitions: held.partitions.iter().copied().map(u32::from).collect(),
        partition_count: u32::from(held.partition_count),
    }
}

async fn send_profiles(sender: &WatchSender, profiles: &[Arc<Profile>]) -> Result<(), ()> {
    for profile in profiles {
        send(sender, WireChange::Stored((&**profile).into())).await?;
    }
    Ok(())
}

async fn send(sender: &WatchSender, change: WireChange) -> Result<(), ()> {
    sender
        .send(Ok(v1::WatchProfilesResponse { change: Some(change) }))
        .await
        .map_err(|_| ())
}

fn invalid(error: WireError) -> Status {
    status(error.kind(), "baseline.invalid_request", error.to_string())
}

fn refused(refusal: &Refusal) -> Status {
    let (kind, word) = match refusal {
        Refusal::NotHeld => return not_owner::status(),
        Refusal::Unknown => (ErrorKind::NotFound, "baseline.unknown_agent"),
        Refusal::Learning { .. } => (ErrorKind::Conflict, "baseline.learning"),
        Refusal::TooFew { .. } => (ErrorKind::Invalid, "baseline.too_few_executions"),
        Refusal::Full { .. } => (ErrorKind::Overloaded, "baseline.full"),
        Refusal::Busy => (ErrorKind::Overloaded, "baseline.busy"),
    };
    status(kind, word, refusal.to_string())
}

fn stored(error: StorageError) -> Status {
    tracing::warn!(%error, "the store of profiles failed");
    status(error.kind(), "baseline.store", error.to_string())
}
