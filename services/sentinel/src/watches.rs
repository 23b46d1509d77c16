//! The watches on profiles (baseline) and cases (quarantine), begun again whenever they end.

use crate::directory::Directory;
use crate::history;
use immune_domain::AgentKey;
use immune_domain::baseline::Profile;
use immune_domain::case::Case;
use immune_proto::convert::WireError;
use immune_proto::v1;
use immune_proto::v1::baseline_service_client::BaselineServiceClient;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_proto::v1::watch_cases_response::Change as CaseChange;
use immune_proto::v1::watch_profiles_response::Change as ProfileChange;
use immune_runtime::clock::SharedClock;
use immune_store::VitalsStore;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;
use tracing::warn;

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Follows the profiles until the token is cancelled. The executions on record of the agents that have one already
/// are read for their guarded detectors.
pub async fn profiles(
    client: BaselineServiceClient<Channel>,
    directory: Arc<Directory>,
    store: Arc<dyn VitalsStore>,
    shutdown: CancellationToken,
) {
    let mut pause = Pause::new("profiles");
    while !shutdown.is_cancelled() {
        tokio::select! {
            ended = follow_profiles(client.clone(), &directory, &store, &mut pause) => pause.note(ended),
            () = shutdown.cancelled() => return,
        }
        pause.wait(&shutdown).await;
    }
}

async fn follow_profiles(
    mut client: BaselineServiceClient<Channel>,
    directory: &Arc<Directory>,
    store: &Arc<dyn VitalsStore>,
    pause: &mut Pause,
) -> Result<(), Status> {
    let mut stream = client
        .watch_profiles(v1::WatchProfilesRequest {})
        .await?
        .into_inner();
    let generation = directory.begin_profiles();
    let mut known = directory.has_guarded().then(Vec::new);
    // Ends with the watch: the next one tells the profiles again.
    let mut loads = JoinSet::new();
    while let Some(message) = stream.message().await? {
        pause.had_some();
        let is_snapshot_done = matches!(message.change, Some(ProfileChange::SnapshotDone(_)));
        let stored = note_profile(directory, message, generation);
        if let (Some(known), Some(key)) = (&mut known, stored) {
            known.push(key);
        }
        if let Some(known) = known.take_if(|_| is_snapshot_done) {
            loads.spawn(history::load(known, directory.clone(), store.clone()));
        }
    }
    Ok(())
}

/// Returns whose profile was stored.
fn note_profile(
    directory: &Directory,
    message: v1::WatchProfilesResponse,
    generation: u64,
) -> Option<AgentKey> {
    let unreadable = |error: WireError| warn!(%error, "a profile cannot be read");
    match message.change {
        Some(ProfileChange::Stored(profile)) => match Profile::try_from(profile) {
            Ok(profile) => {
                let key = profile.key.clone();
                directory.set_profile(profile, generation);
                return Some(key);
            }
            Err(error) => unreadable(error),
        },
        Some(ProfileChange::Removed(key)) => match AgentKey::try_from(key) {
            Ok(key) => directory.remove_profile(&key),
            Err(error) => unreadable(error),
        },
        Some(ProfileChange::SnapshotDone(_)) => directory.end_profiles(generation),
        None => {}
    }
    None
}

/// Follows the cases until the token is cancelled.
pub async fn cases(
    client: QuarantineServiceClient<Channel>,
    directory: Arc<Directory>,
    clock: SharedClock,
    shutdown: CancellationToken,
) {
    let mut pause = Pause::new("cases");
    while !shutdown.is_cancelled() {
        tokio::select! {
            ended = follow_cases(client.clone(), &directory, &clock, &mut pause) => pause.note(ended),
            () = shutdown.cancelled() => return,
        }
        pause.wait(&shutdown).await;
    }
}

async fn follow_cases(
    mut client: QuarantineServiceClient<Channel>,
    directory: &Directory,
    clock: &SharedClock,
    pause: &mut Pause,
) -> Result<(), Status> {
    // Before the call: a case that is opened while it is under way must not be taken for a closed one.
    let generation = directory.begin_cases();
    let request = v1::WatchCasesRequest {
        after_sequence: 0,
        from_now: true,
    };
    let mut stream = client.watch_cases(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        pause.had_some();
        let case = match message.change {
            Some(CaseChange::Existing(case)) => Some(case),
            Some(CaseChange::Event(event)) => event.case,
            Some(CaseChange::SnapshotDone(_)) => {
                directory.end_cases(generation, clock.now());
                None
            }
            None => None,
        };
        match case.map(Case::try_from) {
            Some(Ok(case)) => directory.set_case(&case, generation),
            Some(Err(error)) => warn!(%error, "a case cannot be read"),
            None => {}
        }
    }
    Ok(())
}

/// The pause between two watches: short after one that brought something, longer after each that did not.
struct Pause {
    what: &'static str,
    next: Duration,
}

impl Pause {
    fn new(what: &'static str) -> Self {
        Pause {
            what,
            next: BACKOFF_MIN,
        }
    }

    fn had_some(&mut self) {
        self.next = BACKOFF_MIN;
    }

    fn note(&self, ended: Result<(), Status>) {
        if let Err(status) = ended {
            let (what, message) = (self.what, status.message());
            warn!(what, code = ?status.code(), message, "a watch broke; beginning anew");
        }
    }

    async fn wait(&mut self, shutdown: &CancellationToken) {
        tokio::select! {
            () = tokio::time::sleep(self.next) => {}
            () = shutdown.cancelled() => {}
        }
        self.next = (self.next * 2).min(BACKOFF_MAX);
    }
}
