//! The watches on the replicas of the sentinel.

use crate::sentinel::Scripted;
use crate::world::{DEADLINE, eventually, execution};
use immune_baseline::verdicts::Verdicts;
use immune_runtime::grpc::Peer;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

fn peer(address: &str, sentinel: &Scripted) -> Peer {
    Peer {
        address: Arc::from(address),
        channel: sentinel.serve(),
    }
}

async fn heard(verdicts: &mut Verdicts) -> String {
    let mut heard = Vec::new();
    timeout(DEADLINE, verdicts.next(&mut heard, 1))
        .await
        .expect("a verdict");
    heard.remove(0).execution
}

/// Scenario: a replica joins, one leaves, the other is asked to repeat, and the role stops.
/// Guarantees: each is watched once while it is there and not longer; what it kept is repeated when asked for.
#[tokio::test]
async fn replicas_come_and_go() {
    let (first, second) = (Scripted::new(), Scripted::new());
    let peers = [peer("first", &first), peer("second", &second)];
    let (sender, each) = watch::channel(Arc::from([peers[0].clone()]));
    let shutdown = CancellationToken::new();
    let mut verdicts = Verdicts::watch(each, shutdown.clone());
    first.judge(&execution(1), true);
    assert_eq!(heard(&mut verdicts).await, "e1");
    assert_eq!(second.watchers(), 0);
    second.judge(&execution(2), true);
    sender.send_replace(Arc::from(peers.clone()));
    assert_eq!(heard(&mut verdicts).await, "e2");
    sender.send_replace(Arc::from([peers[1].clone()]));
    eventually("the first watch to end", async || {
        (first.watchers() == 0).then_some(())
    })
    .await;
    assert_eq!(second.watchers(), 1);
    verdicts.repeat();
    assert_eq!(heard(&mut verdicts).await, "e2");
    shutdown.cancel();
    eventually("the last watch to end", async || {
        (second.watchers() == 0).then_some(())
    })
    .await;
    assert_eq!(
        timeout(DEADLINE, verdicts.next(&mut Vec::new(), 1))
            .await
            .unwrap(),
        0
    );
}
