use crate::harness::World;
use immune_proto::v1;
use immune_proto::v1::Decision;
use immune_proto::v1::watch_cases_response::Change;
use std::time::Duration;
use tonic::Streaming;

async fn watch(world: &World, after_sequence: u64, from_now: bool) -> Streaming<v1::WatchCasesResponse> {
    let request = v1::WatchCasesRequest {
        after_sequence,
        from_now,
    };
    world
        .client
        .clone()
        .watch_cases(request)
        .await
        .unwrap()
        .into_inner()
}

async fn next(stream: &mut Streaming<v1::WatchCasesResponse>) -> Change {
    let next = tokio::time::timeout(Duration::from_secs(10), stream.message());
    next.await
        .expect("a change within ten seconds")
        .unwrap()
        .unwrap()
        .change
        .unwrap()
}

async fn next_event(stream: &mut Streaming<v1::WatchCasesResponse>) -> v1::CaseEvent {
    match next(stream).await {
        Change::Event(event) => event,
        other => panic!("not an event: {other:?}"),
    }
}

/// Scenario: a watch begins while two cases are open and one is closed; then a person decides.
/// Guarantees: the open ones once, the end of the snapshot, then the event with the case as it is.
#[tokio::test]
async fn open_cases_first_then_events() {
    let world = World::new().await;
    let (first, second) = (world.contained("a", 8.0).await, world.contained("b", 8.0).await);
    let closed = world.contained("c", 8.0).await;
    world
        .decide(&closed, Decision::Release, "dora", "known experiment")
        .await
        .unwrap();
    world.until_phase(&closed, "released").await;
    let mut stream = watch(&world, 0, true).await;
    let mut existing = Vec::new();
    let last = loop {
        match next(&mut stream).await {
            Change::Existing(case) => existing.push(case.case_id),
            Change::SnapshotDone(snapshot) => break snapshot.last_sequence,
            Change::Event(event) => panic!("an event within the snapshot: {event:?}"),
        }
    };
    existing.sort();
    let mut expected = vec![first.clone(), second];
    expected.sort();
    assert_eq!(existing, expected);
    world.decide(&first, Decision::Reject, "bob", "").await.unwrap();
    let event = next_event(&mut stream).await;
    assert_eq!((event.kind.as_str(), event.sequence), ("case_decided", last + 1));
    let state = event.case.unwrap().state.unwrap().state.unwrap();
    assert!(matches!(state, v1::case_state::State::Rejected(_)), "{state:?}");
}

/// Scenario: a listener goes away in the middle and comes back with the last event that it saw.
/// Guarantees: every event exactly once, in order, over both watches.
#[tokio::test]
async fn a_listener_resumes_where_it_was() {
    let world = World::new().await;
    for i in 0..4 {
        world.contained(&format!("agent-{i}"), 8.0).await;
    }
    let total = world.stores.cases.last_event().await.unwrap();
    let mut stream = watch(&world, 0, false).await;
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.push(next_event(&mut stream).await.sequence);
    }
    drop(stream);
    let mut stream = watch(&world, 5, false).await;
    while (seen.len() as u64) < total {
        seen.push(next_event(&mut stream).await.sequence);
    }
    assert_eq!(seen, (1..=total).collect::<Vec<_>>());
    world.report("late", "i-late", 5.0).await;
    assert_eq!(next_event(&mut stream).await.sequence, total + 1);
}

/// Scenario: more open cases than one read of the store brings.
/// Guarantees: listing and watching page through all of them, each once.
#[tokio::test]
async fn pages_are_whole() {
    let world = World::new().await;
    for i in 0..450 {
        world.report(&format!("agent-{i}"), &format!("i-{i}"), 5.0).await;
    }
    let mut stream = watch(&world, 0, true).await;
    let mut existing = std::collections::BTreeSet::new();
    while let Change::Existing(case) = next(&mut stream).await {
        assert!(existing.insert(case.case_id));
    }
    assert_eq!(existing.len(), 450);
    let (mut listed, mut before) = (std::collections::BTreeSet::new(), String::new());
    loop {
        let request = v1::ListCasesRequest {
            limit: 100,
            before_case_id: before,
            ..Default::default()
        };
        let page = world
            .client
            .clone()
            .list_cases(request)
            .await
            .unwrap()
            .into_inner()
            .cases;
        let Some(last) = page.last() else { break };
        before = last.case_id.clone();
        listed.extend(page.into_iter().map(|case| case.case_id));
    }
    assert_eq!(listed, existing);
}
