//! The watch on the sentinel's verdicts.

use immune_domain::AgentKey;
use immune_proto::convert::nested;
use immune_proto::v1;
use immune_proto::v1::sentinel_service_client::SentinelServiceClient;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tracing::{info, warn};

/// Verdicts that may wait for the learning loop; beyond it the watch waits.
const QUEUE_MAX: usize = 4_096;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Reasons that show an agent sick, as `sentinel.proto` names them; the others concern one execution alone.
const SICK: [&str; 4] = ["anomalous_window", "infected", "platform_report", "open_case"];

/// The sentinel's word on one execution.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Whose execution.
    pub key: AgentKey,
    /// Which.
    pub execution: String,
    /// At which revision.
    pub revision: u32,
    /// Whether it may teach.
    pub teaches: bool,
    /// Whether it shows the agent sick, so that what it did just before may not teach either.
    pub is_sick: bool,
}

/// Watches verdicts until the token is cancelled, connecting again whenever the watch ends. What was said in between
/// the sentinel repeats as far as it keeps it.
pub fn watch(
    sentinel: SentinelServiceClient<Channel>,
    shutdown: CancellationToken,
) -> mpsc::Receiver<Verdict> {
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    tokio::spawn(async move {
        let mut backoff = BACKOFF_MIN;
        loop {
            let had_some = tokio::select! {
                had_some = watch_once(sentinel.clone(), &sender) => had_some,
                () = shutdown.cancelled() => return,
            };
            backoff = if had_some {
                BACKOFF_MIN
            } else {
                (backoff * 2).min(BACKOFF_MAX)
            };
            tokio::select! {
                () = tokio::time::sleep(backoff) => {}
                () = shutdown.cancelled() => return,
            }
            if sender.is_closed() {
                return;
            }
        }
    });
    receiver
}

/// One watch, until it ends; whether it brought anything.
async fn watch_once(mut sentinel: SentinelServiceClient<Channel>, sender: &mpsc::Sender<Verdict>) -> bool {
    let mut stream = match sentinel.watch_verdicts(v1::WatchVerdictsRequest {}).await {
        Ok(response) => response.into_inner(),
        Err(status) => {
            warn!(code = ?status.code(), message = status.message(), "cannot watch verdicts; trying again");
            return false;
        }
    };
    let mut had_some = false;
    loop {
        match stream.message().await {
            Ok(Some(message)) => {
                had_some = true;
                let Some(verdict) = read(message) else { continue };
                if sender.send(verdict).await.is_err() {
                    return had_some;
                }
            }
            Ok(None) => {
                info!("the watch on verdicts ended; beginning anew");
                return had_some;
            }
            Err(status) => {
                warn!(code = ?status.code(), message = status.message(), "the watch on verdicts broke; beginning anew");
                return had_some;
            }
        }
    }
}

fn read(message: v1::WatchVerdictsResponse) -> Option<Verdict> {
    match nested("key", message.key) {
        Ok(key) => Some(Verdict {
            key,
            execution: message.execution_id,
            revision: message.revision,
            teaches: message.teaches,
            is_sick: SICK.contains(&message.reason.as_str()),
        }),
        Err(error) => {
            warn!(%error, "a verdict cannot be read");
            None
        }
    }
}
