//! Calls over several replicas: spreading, dying, repeating, leaving alone, deadlines.

use super::fake::{Fake, Mode, Replica, client, connected, get, open, peers, quick, reset, until};
use immune_runtime::grpc::Options;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tonic::Code;

/// Scenario: two replicas, 400 calls from eight callers.
/// Guarantees: each replica answers a fair share.
#[tokio::test(flavor = "multi_thread")]
async fn calls_are_spread() {
    let (a, b) = (Replica::start(), Replica::start());
    let peers = peers(&[&a, &b], &quick());
    connected(&peers, 2).await;
    let callers = (0..8).map(|_| {
        let client = client(&peers);
        tokio::spawn(async move {
            for _ in 0..50 {
                get(&client).await.unwrap();
            }
        })
    });
    futures::future::try_join_all(callers).await.unwrap();
    let (a, b) = (a.fake.calls(), b.fake.calls());
    assert_eq!(a + b, 400);
    assert!(a >= 100 && b >= 100, "{a} and {b}");
}

/// Scenario: one of two replicas is killed while eight callers call without pause, and comes back.
/// Guarantees: no call that may be repeated fails, and the replica gets calls again.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_dies_under_calls() {
    let (mut a, b) = (Replica::start(), Replica::start());
    a.fake.set(Mode::Slowly(Duration::from_millis(3)));
    b.fake.set(Mode::Slowly(Duration::from_millis(3)));
    let peers = peers(&[&a, &b], &quick());
    connected(&peers, 2).await;
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (client, stop) = (client(&peers), stop.clone());
            tokio::spawn(async move {
                let mut calls = 0;
                while !stop.load(Ordering::SeqCst) {
                    get(&client).await.unwrap();
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    until("both are called", async || {
        a.fake.calls() > 50 && b.fake.calls() > 50
    })
    .await;
    a.kill();
    let then = b.fake.calls();
    until("the other is called", async || b.fake.calls() > then + 100).await;
    let again = Replica::start_at(a.address, Fake::new(), |_| open());
    until("the first is called again", async || again.fake.calls() > 20).await;
    stop.store(true, Ordering::SeqCst);
    for caller in callers {
        assert!(caller.await.expect("no call failed") > 10);
    }
}

/// Scenario: a replica says that it is away, to a call that must not be repeated and to one that may.
/// Guarantees: the first is sent once and its answer handed on; the second is tried on the other replica.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_may_be_repeated_is() {
    let (a, b) = (Replica::start(), Replica::start());
    let peers = peers(&[&a, &b], &quick());
    connected(&peers, 2).await;
    a.fake.set(Mode::Unavailable);
    b.fake.set(Mode::Unavailable);
    let status = reset(&client(&peers)).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "told to say so")
    );
    assert_eq!(a.fake.calls() + b.fake.calls(), 1);
    b.fake.set(Mode::Answer);
    for _ in 0..5 {
        get(&client(&peers)).await.unwrap();
    }
}

/// Scenario: every replica fails every call, 300 times.
/// Guarantees: repetitions stay within a fifth of the calls and the few that were saved.
#[tokio::test(flavor = "multi_thread")]
async fn repetitions_have_a_budget() {
    let (a, b) = (Replica::start(), Replica::start());
    let peers = peers(&[&a, &b], &quick());
    connected(&peers, 2).await;
    a.fake.set(Mode::Unavailable);
    b.fake.set(Mode::Unavailable);
    let client = client(&peers);
    for _ in 0..300 {
        assert_eq!(get(&client).await.unwrap_err().code(), Code::Unavailable);
    }
    let sent = a.fake.calls() + b.fake.calls();
    assert!((330..=300 + 60 + 11).contains(&sent), "{sent}");
}

/// Scenario: nobody listens; then somebody does.
/// Guarantees: a call waits no longer than its deadline and says which role is away, where and why; a call that
/// waits is answered once the replica is there.
#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_for_a_replica() {
    let mut gone = Replica::start();
    gone.kill();
    let options = Options {
        deadline_ms: 300,
        ..quick()
    };
    let peers_ = peers(&[&gone], &options);
    let begun = Instant::now();
    let status = get(&client(&peers_)).await.unwrap_err();
    assert!(
        begun.elapsed() >= Duration::from_millis(290),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(status.code(), Code::Unavailable);
    for word in ["baseline", &gone.address.to_string(), "refused"] {
        assert!(
            status.message().contains(word),
            "{word} in {:?}",
            status.message()
        );
    }
    assert!(!peers_.is_reachable());
    assert!(peers_.problem().unwrap().contains(&gone.address.to_string()));

    let peers = peers(&[&gone], &quick());
    let waiting = tokio::spawn({
        let client = client(&peers);
        async move { get(&client).await }
    });
    let _back = Replica::start_at(gone.address, Fake::new(), |_| open());
    waiting.await.unwrap().unwrap();
    assert!(peers.is_reachable());
}

/// Scenario: of two replicas one fails all calls, and then is well again.
/// Guarantees: it is left alone but for a few probes; once it is well it gets calls again.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_replica_is_left_alone() {
    let (a, b) = (Replica::start(), Replica::start());
    let options = Options {
        eject_ms: 400,
        retry_percent: 100,
        ..quick()
    };
    let peers = peers(&[&a, &b], &options);
    connected(&peers, 2).await;
    a.fake.set(Mode::Unavailable);
    let client = client(&peers);
    let begun = Instant::now();
    for _ in 0..400 {
        get(&client).await.unwrap();
    }
    // Five failures open it; then one probe after 0.3 to 0.4 s, the next twice as late.
    let probes = (begun.elapsed().as_millis() / 300) as usize;
    assert!(a.fake.calls() <= 5 + probes, "{} calls", a.fake.calls());
    a.fake.set(Mode::Answer);
    let before = a.fake.calls();
    until("it is called again", async || {
        get(&client).await.unwrap();
        a.fake.calls() > before + 10
    })
    .await;
}

/// Scenario: one of two replicas takes calls and never answers.
/// Guarantees: calls that may be repeated are answered by the other within their deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_hung_replica_does_not_use_up_the_deadline() {
    let (a, b) = (Replica::start(), Replica::start());
    let options = Options {
        deadline_ms: 1_000,
        ..quick()
    };
    let peers = peers(&[&a, &b], &options);
    connected(&peers, 2).await;
    a.fake.set(Mode::Hang);
    let client = client(&peers);
    while a.fake.calls() < 3 {
        get(&client).await.unwrap();
    }
}

/// Scenario: calls with and without a deadline of their caller's.
/// Guarantees: the replica is told in both cases; a call that is not answered ends with the deadline.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_has_a_deadline() {
    let a = Replica::start();
    let options = Options {
        deadline_ms: 400,
        ..quick()
    };
    let peers = peers(&[&a], &options);
    connected(&peers, 1).await;
    let millis = || -> u64 {
        let text = a.fake.seen().deadline.expect("a deadline is sent");
        text.strip_suffix('m').unwrap().parse().unwrap()
    };
    get(&client(&peers)).await.unwrap();
    assert!((300..=400).contains(&millis()), "{}", millis());
    let mut request = tonic::Request::new(immune_proto::v1::GetProfileRequest::default());
    request.set_timeout(Duration::from_secs(60));
    client(&peers).get_profile(request).await.unwrap();
    assert!((59_000..=60_000).contains(&millis()), "{}", millis());

    a.fake.set(Mode::Hang);
    let begun = Instant::now();
    let status = reset(&client(&peers)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

/// Scenario: a role in the same process that never answers.
/// Guarantees: the same deadline, and the same word for it.
#[tokio::test(flavor = "multi_thread")]
async fn the_in_process_channel_has_deadlines_too() {
    let (channel, _connections) = immune_runtime::grpc::inproc::pair();
    let peers = immune_runtime::grpc::Peers::one(channel);
    let mut request = tonic::Request::new(immune_proto::v1::GetProfileRequest::default());
    request.set_timeout(Duration::from_millis(100));
    let status = client(&peers).get_profile(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
}
