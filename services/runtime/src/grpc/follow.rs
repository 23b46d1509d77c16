//! One task per replica of a role, as replicas come and go: for what each replica tells of its own share.

use super::{Peer, Peers};
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

impl Peers {
    /// Runs a task for every replica until the token is cancelled. The task of a replica that has gone is dropped
    /// where it waits, as all are when this future is; one that returns is not begun again while its replica stays.
    pub async fn follow<F>(&self, shutdown: CancellationToken, task: impl Fn(Peer) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut each = self.each();
        let mut tasks: HashMap<Arc<str>, AbortOnDropHandle<()>> = HashMap::new();
        loop {
            let peers = each.borrow_and_update().clone();
            tasks.retain(|address, _| peers.iter().any(|peer| peer.address == *address));
            for peer in peers.iter() {
                tasks
                    .entry(peer.address.clone())
                    .or_insert_with(|| AbortOnDropHandle::new(tokio::spawn(task(peer.clone()))));
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
}
