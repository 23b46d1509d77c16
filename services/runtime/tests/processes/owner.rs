//! Finding the replica that holds an agent.

use super::fake::{Mode, Replica, connected, key, peers, quick};
use immune_proto::v1;
use immune_proto::v1::baseline_service_client::BaselineServiceClient;
use immune_runtime::grpc::{Peers, RoleChannel};
use std::time::{Duration, Instant};
use tonic::{Code, Status};

async fn ask(peers: &Peers) -> Result<(), Status> {
    let call = |channel: RoleChannel| async move {
        let mut client = BaselineServiceClient::new(channel);
        client.reset_profile(v1::ResetProfileRequest::default()).await
    };
    peers.owner(&key(), call).await.map(|_| ())
}

fn hold(replicas: &[&Replica], holder: usize) {
    for (i, replica) in replicas.iter().enumerate() {
        replica
            .fake
            .set(if i == holder { Mode::Answer } else { Mode::NotOwner });
    }
}

fn calls(replicas: &[&Replica]) -> Vec<usize> {
    replicas.iter().map(|replica| replica.fake.calls()).collect()
}

/// Scenario: three replicas; the agent's partition is with one, then with another, then moves while it is asked for.
/// Guarantees: the holder answers; who answered is asked first the next time, and alone; a move is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_found_and_remembered() {
    let (a, b, c) = (Replica::start(), Replica::start(), Replica::start());
    let all = [&a, &b, &c];
    let peers = peers(&all, &quick());
    connected(&peers, 3).await;
    hold(&all, 2);
    ask(&peers).await.unwrap();
    let before = calls(&all);
    for _ in 0..10 {
        ask(&peers).await.unwrap();
    }
    assert_eq!(calls(&all), [before[0], before[1], before[2] + 10]);

    hold(&all, 0);
    ask(&peers).await.unwrap();
    let before = calls(&all);
    ask(&peers).await.unwrap();
    assert_eq!(calls(&all), [before[0] + 1, before[1], before[2]]);

    hold(&all, usize::MAX);
    let (asked, ()) = tokio::join!(ask(&peers), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        hold(&all, 1);
    });
    asked.unwrap();
}

/// Scenario: no replica holds the partition; then its holder is killed.
/// Guarantees: an answer after about two seconds that says so, not a wait for the deadline of each replica.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_owner_is_said() {
    let (a, mut b) = (Replica::start(), Replica::start());
    let peers = peers(&[&a, &b], &quick());
    connected(&peers, 2).await;
    hold(&[&a, &b], usize::MAX);
    let begun = Instant::now();
    let status = ask(&peers).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("2 refused"), "{status:?}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());

    hold(&[&a, &b], 1);
    ask(&peers).await.unwrap();
    b.kill();
    let begun = Instant::now();
    let status = ask(&peers).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    a.fake.set(Mode::Answer);
    ask(&peers).await.unwrap();
}
