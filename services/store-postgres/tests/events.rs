//! The order of events, for readers that go on after a place.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

mod support;

use immune_domain::case::Case;
use immune_store::cases::Saved;
use immune_store::conformance::samples::{agent, alongside, at, case};
use sqlx::{Connection, PgConnection};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::{DEADLINE, database, next, open, save, store, until};
use tokio::time::timeout;

/// Scenario: a transaction writes an event and does not commit; a later one commits; a reader reads on; then the
/// first commits.
/// Guarantees: the reader waits for nobody, and finds the late event behind what it has read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_commits_late_is_not_missed() {
    let url = database().await;
    let cases = store(&url).cases();
    let mut slow = PgConnection::connect(&url).await.unwrap();
    let mut slow = slow.begin().await.unwrap();
    let event = r#"[{"at": 1, "kind": "slow", "case_id": "c", "run": "r", "agent": "a", "text": "t", "payload": {}}]"#;
    sqlx::query("SELECT immune.add_events($1::text::jsonb)")
        .bind(event)
        .execute(&mut *slow)
        .await
        .unwrap();
    open(&*cases, &case(&agent("quick"), "quick", at(1))).await;
    let first = cases.events_after(0, 10).await.unwrap();
    assert_eq!(first.len(), 1);
    slow.commit().await.unwrap();
    let second = cases.events_after(first[0].sequence, 10).await.unwrap();
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].event.kind, "slow");
}

/// Reads on after the last place until everything was written, in pages of some size.
async fn read_on(url: String, page: u32, done: Arc<AtomicBool>) -> Vec<String> {
    let cases = store(&url).cases();
    let mut changes = cases.changes();
    let (mut place, mut seen) = (0, Vec::new());
    loop {
        let was_done = done.load(Ordering::SeqCst);
        changes.borrow_and_update();
        let events = cases.events_after(place, page).await.unwrap();
        if events.is_empty() {
            if was_done {
                return seen;
            }
            // A hint may be missed; who waits also looks from time to time.
            let _ = timeout(std::time::Duration::from_millis(50), changes.changed()).await;
        }
        for event in events {
            assert!(event.sequence > place, "{} after {place}", event.sequence);
            place = event.sequence;
            seen.push(event.event.text);
        }
    }
}

/// Scenario: two processes with twelve writers each change sixty cases while five readers, each a process of its own,
/// read on in pages of different sizes.
/// Guarantees: each reader sees every event once, and those of a case in the order of its versions.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn resuming_readers_miss_and_repeat_nothing() {
    const CASES: usize = 60;
    const VERSIONS: u64 = 8;
    let (url, done) = (database().await, Arc::new(AtomicBool::new(false)));
    let readers: Vec<_> = [1, 3, 7, 100, 1_000]
        .map(|page| tokio::spawn(read_on(url.clone(), page, done.clone())))
        .into();
    let stores = [store(&url), store(&url)];
    let writers: Vec<_> = (0..24)
        .map(|writer| {
            let cases = stores[writer % 2].cases();
            tokio::spawn(async move {
                for n in (writer..CASES).step_by(24) {
                    let mut latest = case(&agent(&format!("a{n}")), &format!("c{n}"), at(1));
                    open(&*cases, &latest).await;
                    for version in 2..=VERSIONS {
                        latest = next(&latest);
                        let with = alongside(&latest, &format!("v{version}"));
                        let saved = cases.save_case(&latest, version - 1, &with).await.unwrap();
                        assert_eq!(saved, Saved::Done);
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        let seen = reader.await.unwrap();
        assert_eq!(seen.len(), CASES * VERSIONS as usize);
        let mut of_case: HashMap<&str, u64> = HashMap::new();
        for text in &seen {
            let (kind, id) = text.split_once(' ').unwrap();
            let version = kind
                .strip_prefix('v')
                .map_or(1, |version| version.parse().unwrap());
            let before = of_case.insert(id, version).unwrap_or(0);
            assert_eq!(version, before + 1, "{id}");
        }
    }
}

/// Scenario: one process saves a case, another waits.
/// Guarantees: the other is woken, and finds the event in place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_wakes_the_other_process() {
    let url = database().await;
    let (here, there) = (store(&url).cases(), store(&url).cases());
    let mut changes = there.changes();
    // The first growth says that listening has begun.
    timeout(DEADLINE, changes.changed()).await.unwrap().unwrap();
    changes.borrow_and_update();
    open(&*here, &case(&agent("a"), "a", at(1))).await;
    timeout(DEADLINE, changes.changed()).await.unwrap().unwrap();
    assert_eq!(there.events_after(0, 10).await.unwrap().len(), 1);

    // A save without events wakes nobody by itself, and breaks nothing.
    let second: Case = next(&case(&agent("a"), "a", at(1)));
    save(&*here, &second).await;
    assert_eq!(there.events_after(0, 10).await.unwrap().len(), 1);
}

/// Scenario: the server ends every session, the listening one too, and events come afterwards.
/// Guarantees: the listener is woken when it listens again, and by the events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_listener_listens_again() {
    let postgres = immune_test_servers::Postgres::shared().await;
    let url = database().await;
    let name = url.rsplit('/').next().unwrap().to_owned();
    let (here, there) = (store(&url).cases(), store(&url).cases());
    let mut changes = there.changes();
    timeout(DEADLINE, changes.changed()).await.unwrap().unwrap();
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' \
                       AND pid <> pg_backend_pid()"
    );
    for n in 0..3 {
        changes.borrow_and_update();
        postgres.sql(&name, &sql).await;
        timeout(DEADLINE, changes.changed()).await.unwrap().unwrap();
        changes.borrow_and_update();
        open(&*here, &case(&agent(&format!("a{n}")), &format!("c{n}"), at(1))).await;
        timeout(DEADLINE, changes.changed()).await.unwrap().unwrap();
        until("all events are read", async || {
            there.events_after(0, 10).await.unwrap().len() == n + 1
        })
        .await;
    }
}
