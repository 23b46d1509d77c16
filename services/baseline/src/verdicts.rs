//! The watches on the verdicts of every replica of the sentinel.

use immune_domain::AgentKey;
use immune_domain::baseline::Reason;
use immune_proto::convert::nested;
use immune_proto::v1;
use immune_proto::v1::sentinel_service_client::SentinelServiceClient;
use immune_runtime::grpc::Peer;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Verdicts that may wait for the learning loop; beyond it the watches wait.
const QUEUE_MAX: usize = 4_096;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The sentinel's word on one execution.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Whose execution.
    pub key: AgentKey,
    /// Which.
    pub execution: String,
    /// At which revision.
    pub revision: u32,
    /// Whether it may teach; one that failed teaches how often the agent fails.
    pub teaches: bool,
    /// Whether it shows the agent well.
    pub is_well: bool,
    /// Whether it shows the agent sick, so that what it did just before may not teach either.
    pub is_sick: bool,
}

/// What the sentinel says, all replicas together.
pub struct Verdicts {
    incoming: mpsc::Receiver<Verdict>,
    again: watch::Sender<()>,
}

impl Verdicts {
    /// Watches every replica until the token is cancelled, each again whenever its watch ends.
    pub fn watch(sentinel: watch::Receiver<Arc<[Peer]>>, shutdown: CancellationToken) -> Self {
        let (sender, incoming) = mpsc::channel(QUEUE_MAX);
        let again = watch::Sender::new(());
        let watcher = Watcher {
            sender,
            again: again.subscribe(),
        };
        tokio::spawn(watcher.follow(sentinel, shutdown));
        Verdicts { incoming, again }
    }

    /// Waits for verdicts and adds at most `count_max` to `verdicts`; 0 when no more will come. Cancel-safe.
    pub async fn next(&mut self, verdicts: &mut Vec<Verdict>, count_max: usize) -> usize {
        self.incoming.recv_many(verdicts, count_max).await
    }

    /// Begins every watch anew, because agents came here whose verdicts were not listened to before: the sentinel
    /// repeats what it keeps.
    pub fn repeat(&self) {
        self.again.send_replace(());
    }
}

#[derive(Clone)]
struct Watcher {
    sender: mpsc::Sender<Verdict>,
    again: watch::Receiver<()>,
}

impl Watcher {
    /// Keeps one watch per replica, as replicas come and go.
    async fn follow(self, mut each: watch::Receiver<Arc<[Peer]>>, shutdown: CancellationToken) {
        let mut watched: HashMap<Arc<str>, CancellationToken> = HashMap::new();
        loop {
            let peers = each.borrow_and_update().clone();
            watched.retain(|address, watching| {
                let is_there = peers.iter().any(|peer| peer.address == *address);
                if !is_there {
                    watching.cancel();
                }
                is_there
            });
            for peer in peers
                .iter()
                .filter(|peer| !watched.contains_key(&peer.address))
                .collect::<Vec<_>>()
            {
                let watching = shutdown.child_token();
                watched.insert(peer.address.clone(), watching.clone());
                tokio::spawn(self.clone().watch(peer.clone(), watching));
            }
            let has_changed = tokio::select! {
                changed = each.changed() => changed.is_ok(),
                () = shutdown.cancelled() => return,
            };
            if !has_changed {
                // These replicas are all that there will be.
                return shutdown.cancelled().await;
            }
        }
    }

    /// Watches one replica until the token is cancelled.
    async fn watch(self, peer: Peer, ends: CancellationToken) {
        let mut again = self.again.clone();
        let mut backoff = BACKOFF_MIN;
        loop {
            again.mark_unchanged();
            let had_some = tokio::select! {
                had_some = self.watch_once(&peer) => had_some,
                Ok(()) = again.changed() => continue,
                () = ends.cancelled() => return,
                () = self.sender.closed() => return,
            };
            backoff = if had_some {
                BACKOFF_MIN
            } else {
                (backoff * 2).min(BACKOFF_MAX)
            };
            tokio::select! {
                () = tokio::time::sleep(backoff) => {}
                () = ends.cancelled() => return,
            }
        }
    }

    /// One watch, until it ends; whether it brought anything.
    async fn watch_once(&self, peer: &Peer) -> bool {
        let address = &*peer.address;
        let mut sentinel = SentinelServiceClient::new(peer.channel.clone());
        let mut stream = match sentinel.watch_verdicts(v1::WatchVerdictsRequest {}).await {
            Ok(response) => response.into_inner(),
            Err(status) => {
                warn!(address, code = ?status.code(), message = status.message(), "cannot watch verdicts; trying again");
                return false;
            }
        };
        let mut had_some = false;
        loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    had_some = true;
                    let Some(verdict) = read(message) else { continue };
                    if self.sender.send(verdict).await.is_err() {
                        return had_some;
                    }
                }
                Ok(None) => {
                    info!(address, "the watch on verdicts ended; beginning anew");
                    return had_some;
                }
                Err(status) => {
                    warn!(address, code = ?status.code(), message = status.message(), "the watch on verdicts broke; beginning anew");
                    return had_some;
                }
            }
        }
    }
}

fn read(message: v1::WatchVerdictsResponse) -> Option<Verdict> {
    match nested("key", message.key) {
        Ok(key) => {
            // One of a newer sentinel that is not known here is about that execution alone.
            let reason = Reason::named(&message.reason);
            Some(Verdict {
                key,
                execution: message.execution_id,
                revision: message.revision,
                teaches: message.teaches || reason == Some(Reason::Failed),
                is_well: message.teaches,
                is_sick: reason.is_some_and(Reason::shows_sickness),
            })
        }
        Err(error) => {
            warn!(%error, "a verdict cannot be read");
            None
        }
    }
}
