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
        ..Default::default()
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
            other @ (Change::Event(_) | Change::Missed(_)) => panic!("within the snapshot: {other:?}"),
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

/// Scenario: a listener comes back after the sweeper has removed events that it has not seen, then with an event of
/// another store; another one resumes after the last event there was, with nothing kept at all.
/// Guarantees: who missed something hears so and gets the open cases; who missed nothing goes on.
#[tokio::test]
async fn a_listener_hears_what_it_missed() {
    let world = World::new().await;
    for i in 0..3 {
        world.contained(&format!("agent-{i}"), 8.0).await;
    }
    let last = world.stores.cases.last_event().await.unwrap();
    let beyond = immune_domain::Timestamp::from_micros(i64::MAX);
    world.stores.cases.purge_events(beyond).await.unwrap();
    for after in [1, last + 7] {
        let mut stream = watch(&world, after, false).await;
        assert!(
            matches!(next(&mut stream).await, Change::Missed(_)),
            "after {after}"
        );
        for _ in 0..3 {
            assert!(matches!(next(&mut stream).await, Change::Existing(_)));
        }
        let Change::SnapshotDone(snapshot) = next(&mut stream).await else {
            panic!("the open cases have an end");
        };
        assert_eq!(snapshot.last_sequence, last);
    }
    let mut whole = watch(&world, last, false).await;
    world.report("late", "i-late", 5.0).await;
    assert_eq!(next_event(&mut whole).await.sequence, last + 1);
}

/// Scenario: a watch on one run, while cases of two runs are open and change.
/// Guarantees: the open cases and the events of that run, and of no other.
#[tokio::test]
async fn a_watch_may_be_of_one_run() {
    let world = World::new().await;
    // Nothing more happens to it by itself.
    world.contained("here", 8.0).await;
    let request = |run: &str| v1::WatchCasesRequest {
        from_now: true,
        only_run: run.to_owned(),
        ..Default::default()
    };
    let open = async |run: &str| {
        world
            .client
            .clone()
            .watch_cases(request(run))
            .await
            .unwrap()
            .into_inner()
    };
    let mut elsewhere = open("elsewhere").await;
    assert!(matches!(next(&mut elsewhere).await, Change::SnapshotDone(_)));
    let mut here = open("default").await;
    assert!(matches!(next(&mut here).await, Change::Existing(_)));
    assert!(matches!(next(&mut here).await, Change::SnapshotDone(_)));
    world.report("there", "i-2", 5.0).await;
    assert_eq!(next_event(&mut here).await.kind, "case_opened");
    let silent = tokio::time::timeout(Duration::from_millis(200), elsewhere.message()).await;
    assert!(silent.is_err(), "{silent:?}");
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
