//! Streams: no deadline of ours, and an end with the server.

use super::fake::{Mode, Replica, client, connected, get, peers, quick, until};
use immune_proto::v1;
use immune_runtime::grpc::Options;
use std::time::Duration;
use tonic::Code;

/// Scenario: a stream that is silent for longer than the deadline of calls.
/// Guarantees: it goes on; when its replica is killed the reader is told that the role is away.
#[tokio::test(flavor = "multi_thread")]
async fn streams_have_no_deadline() {
    let mut a = Replica::start();
    let options = Options {
        deadline_ms: 200,
        ..quick()
    };
    let peers = peers(&[&a], &options);
    connected(&peers, 1).await;
    let mut watch = client(&peers)
        .watch_profiles(v1::WatchProfilesRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(a.fake.seen().deadline, None);
    let silence = tokio::time::timeout(Duration::from_millis(600), watch.message()).await;
    assert!(silence.is_err(), "silent, and not ended");
    a.fake.changes.send(7).unwrap();
    assert!(watch.message().await.unwrap().is_some());
    a.kill();
    assert_eq!(watch.message().await.unwrap_err().code(), Code::Unavailable);
}

/// Scenario: a server is told to stop while a stream is open and a slow call under way.
/// Guarantees: the stream ends at once with a word, the call is answered, and the server ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_ends_streams_and_answers_calls() {
    let mut a = Replica::start();
    let peers = peers(&[&a], &quick());
    connected(&peers, 1).await;
    let mut watch = client(&peers)
        .watch_profiles(v1::WatchProfilesRequest {})
        .await
        .unwrap()
        .into_inner();
    a.fake.set(Mode::Slowly(Duration::from_millis(500)));
    let before = a.fake.calls();
    let slow = tokio::spawn({
        let client = client(&peers);
        async move { get(&client).await }
    });
    until("the call has arrived", async || a.fake.calls() > before).await;
    a.shutdown.cancel();
    let status = watch.message().await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "this replica is stopping")
    );
    slow.await.unwrap().unwrap();
    let ended = a.ended.take().unwrap();
    tokio::time::timeout(Duration::from_secs(5), ended)
        .await
        .expect("the server ends soon")
        .unwrap();
}
