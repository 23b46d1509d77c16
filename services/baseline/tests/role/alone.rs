//! One replica on the in-process bus.

use crate::world::{DEADLINE, World, execution, key, latency, now};
use immune_bus::{Publisher, Record};
use immune_domain::vitals::Vitals;
use immune_proto::v1;
use immune_proto::v1::watch_profiles_response::Change;
use immune_store::BaselineStore;
use std::sync::Arc;

/// Guarantees: the fifteenth healthy execution makes the profile active, its moments are those of the samples, and
/// it counts as ready.
#[tokio::test]
async fn fifteen_healthy_executions_make_a_baseline() {
    let world = World::start(Arc::default());
    world.teach(0..14, true).await;
    let profile = world.profile_with(14).await;
    assert_eq!(profile.state(), v1::ProfileState::Learning);
    world.teach(14..15, true).await;
    let profile = world.profile_with(15).await;
    assert_eq!(profile.state(), v1::ProfileState::Active);
    assert_eq!(latency(&profile).mean, 1_007.0);
    assert!((latency(&profile).stddev - 20.0f64.sqrt()).abs() < 1e-9);
    let request = v1::CountReadyProfilesRequest {
        run_id: String::new(),
    };
    assert_eq!(
        world
            .client()
            .count_ready_profiles(request)
            .await
            .unwrap()
            .into_inner()
            .count,
        1
    );
}

/// Scenario: executions without a verdict, and with the verdict that they must not teach, before healthy ones.
/// Guarantees: only the healthy ones are in the profile.
#[tokio::test]
async fn only_healthy_executions_teach() {
    let world = World::start(Arc::default());
    (world.send(&execution(1_000_000))).await;
    world.teach(500_000..500_010, false).await;
    world.teach(0..3, true).await;
    assert_eq!(latency(&world.profile_with(3).await).mean, 1_001.0);
}

/// Scenario: redelivery, a correction by late spans, and a withdrawal as a part of another execution.
/// Guarantees: each execution is in the profile once, as it was last known, or not at all.
#[tokio::test]
async fn corrections_replace_and_withdrawals_remove() {
    let world = World::start(Arc::default());
    world.teach(0..4, true).await;
    world.profile_with(4).await;
    world.teach(2..3, true).await;
    let corrected = Vitals {
        revision: 1,
        latency_ms: 5_000.0,
        ..execution(3)
    };
    world.send(&corrected).await;
    world.sentinel.judge(&corrected, false);
    world.profile_with(3).await;
    world
        .bus
        .publish(Arc::from([Record::Retracted(key(), "e2".into())]))
        .await
        .unwrap();
    assert!((latency(&world.profile_with(2).await).mean - 1_000.5).abs() < 1e-9);
}

/// Scenario: the role stops after ten executions and another starts on the same store.
/// Guarantees: it goes on where the first stopped: same version or later, exact moments over all samples.
#[tokio::test]
async fn a_restart_goes_on_where_it_stopped() {
    let first = World::start(Arc::default());
    first.teach(0..10, true).await;
    let before = first.profile_with(10).await;
    let store = first.stop().await;
    assert!(store.get(&key()).await.unwrap().is_some());
    let second = World::start(store);
    assert_eq!(second.profile().await.unwrap(), before);
    second.teach(10..15, true).await;
    let after = second.profile_with(15).await;
    assert!(after.version > before.version);
    assert!(
        (latency(&after).stddev - 20.0f64.sqrt()).abs() < 1e-9,
        "{after:?}"
    );
}

/// Scenario: the watch on verdicts breaks while executions wait.
/// Guarantees: it is begun again, and what the sentinel repeats is learned once.
#[tokio::test]
async fn a_broken_watch_is_begun_again() {
    let world = World::start(Arc::default());
    world.teach(0..3, true).await;
    world.profile_with(3).await;
    world.sentinel.break_watches();
    world.teach(3..6, true).await;
    world.profile_with(6).await;
    world.sentinel.break_watches();
    world.teach(6..7, true).await;
    assert_eq!(latency(&world.profile_with(7).await).mean, 1_003.0);
}

/// Guarantees: a watch tells every profile, says when it has, then tells each change and each reset, and ends when the
/// role stops. A reset profile learns anew.
#[tokio::test]
async fn watches_tell_profiles_changes_and_resets() {
    let world = World::start(Arc::default());
    world.teach(0..2, true).await;
    world.profile_with(2).await;
    let mut watch = world
        .client()
        .watch_profiles(v1::WatchProfilesRequest {})
        .await
        .unwrap()
        .into_inner();
    let mut next = async || {
        let message = tokio::time::timeout(DEADLINE, watch.message())
            .await
            .expect("a message");
        message.expect("no error").map(|message| message.change.unwrap())
    };
    assert!(matches!(next().await, Some(Change::Stored(profile)) if profile.sample_count == 2));
    assert!(
        matches!(next().await, Some(Change::SnapshotDone(done)) if done.profiles == 1
        && done.partitions == [0] && done.partition_count == 1)
    );
    assert!(world.reset().await);
    assert!(matches!(next().await, Some(Change::Stored(profile)) if profile.sample_count == 0));
    let after = now(10);
    world.send(&after).await;
    world.sentinel.judge(&after, true);
    assert!(matches!(next().await, Some(Change::Stored(profile)) if profile.sample_count == 1));
    world.stop().await;
    assert!(next().await.is_none());
}

/// Guarantees: a request without a well-formed key is refused with the field's name.
#[tokio::test]
async fn malformed_requests_are_refused() {
    let world = World::start(Arc::default());
    let status = world
        .client()
        .get_profile(v1::GetProfileRequest { key: None })
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert_eq!(status.message(), "key: is missing");
}
