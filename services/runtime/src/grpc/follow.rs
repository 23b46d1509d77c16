//! One task per replica of a role, as replicas come and go: for what each replica tells of its own share.

use super::{Peer, Peers};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

impl Peers {
    /// Runs a task for every replica until the token is cancelled. The task of a replica that has gone is dropped
    /// where it waits, as all are when this future is; one that returns is not begun again while its replica stays.
    pub async fn follow<F>(&self, shutdown: CancellationToken, task: impl Fn(Peer) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        follow(self.each(), shutdown, task).await;
    }
}

async fn follow<F>(
    mut each: watch::Receiver<Arc<[Peer]>>,
    shutdown: CancellationToken,
    task: impl Fn(Peer) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::inproc::pair;
    use std::sync::Mutex;
    use std::time::Duration;
    use tokio::time::{sleep, timeout};

    /// Replicas whose task runs.
    type Running = Arc<Mutex<Vec<String>>>;

    struct Run(Running, String);

    impl Drop for Run {
        fn drop(&mut self) {
            self.0.lock().unwrap().retain(|address| *address != self.1);
        }
    }

    fn peers(addresses: &[&str]) -> Arc<[Peer]> {
        let peer = |address: &&str| Peer {
            address: Arc::from(*address),
            channel: pair().0,
        };
        addresses.iter().map(peer).collect()
    }

    async fn until(running: &Running, wanted: &[&str]) {
        let wait = async {
            loop {
                let mut now = running.lock().unwrap().clone();
                now.sort();
                if now == wanted {
                    return;
                }
                sleep(Duration::from_millis(2)).await;
            }
        };
        let waited = timeout(Duration::from_secs(10), wait).await;
        assert!(waited.is_ok(), "waited in vain for {wanted:?}");
    }

    /// Scenario: replicas come, go, and the name that finds them is given up; then the role ends.
    /// Guarantees: there is one task for each replica that is there, the same one for as long as it stays.
    #[tokio::test]
    async fn a_task_for_each_replica() {
        let running = Running::default();
        let (replicas, each) = watch::channel(peers(&["a", "b"]));
        let shutdown = CancellationToken::new();
        let begun = Arc::new(Mutex::new(Vec::new()));
        let task = {
            let (running, begun) = (running.clone(), begun.clone());
            move |peer: Peer| {
                let address = peer.address.to_string();
                let (running, begun) = (running.clone(), begun.clone());
                async move {
                    begun.lock().unwrap().push(address.clone());
                    running.lock().unwrap().push(address.clone());
                    let _run = Run(running, address);
                    std::future::pending::<()>().await;
                }
            }
        };
        let following = tokio::spawn(follow(each, shutdown.clone(), task));
        until(&running, &["a", "b"]).await;
        replicas.send_replace(peers(&["b", "c"]));
        until(&running, &["b", "c"]).await;
        drop(replicas);
        shutdown.cancel();
        following.await.unwrap();
        until(&running, &[]).await;
        let mut begun = begun.lock().unwrap().clone();
        begun.sort();
        assert_eq!(begun, ["a", "b", "c"], "each once");
    }
}
