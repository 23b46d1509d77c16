//! Cases: those that are open, and each as it changes, of every agent.

use super::Pause;
use crate::directory::Directory;
use immune_domain::case::Case;
use immune_proto::v1;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_proto::v1::watch_cases_response::Change;
use immune_runtime::clock::SharedClock;
use immune_runtime::grpc::RoleChannel;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::warn;

/// Follows the cases until the token is cancelled.
pub async fn follow(
    client: QuarantineServiceClient<RoleChannel>,
    directory: Arc<Directory>,
    clock: SharedClock,
    shutdown: CancellationToken,
) {
    let mut pause = Pause::new("cases", "any");
    while !shutdown.is_cancelled() {
        tokio::select! {
            ended = watch_once(client.clone(), &directory, &clock, &mut pause) => pause.note(ended),
            () = shutdown.cancelled() => return,
        }
        pause.wait(&shutdown).await;
    }
}

async fn watch_once(
    mut client: QuarantineServiceClient<RoleChannel>,
    directory: &Directory,
    clock: &SharedClock,
    pause: &mut Pause,
) -> Result<(), Status> {
    // Before the call: a case that is opened while it is under way must not be taken for a closed one.
    let generation = directory.begin_cases();
    let request = v1::WatchCasesRequest {
        after_sequence: 0,
        from_now: true,
        ..Default::default()
    };
    let mut stream = client.watch_cases(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        pause.had_some();
        let case = match message.change {
            Some(Change::Existing(case)) => Some(case),
            Some(Change::Event(event)) => event.case,
            Some(Change::SnapshotDone(_)) => {
                directory.end_cases(generation, clock.now());
                None
            }
            // Only whoever resumes after an event can miss one.
            Some(Change::Missed(_)) | None => None,
        };
        match case.map(Case::try_from) {
            Some(Ok(case)) => directory.set_case(&case, generation),
            Some(Err(error)) => warn!(%error, "a case cannot be read"),
            None => {}
        }
    }
    Ok(())
}
