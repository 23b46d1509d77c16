//! Writes that share a commit, and yet stand or fall alone.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

use immune_store::cases::Opened;
use immune_store::conformance::samples::{agent, alongside, at, case, infection, vitals};
use immune_store_sqlite::{Options, SqliteStore};
use std::time::Duration;
use tokio::task::JoinSet;

/// Scenario: forty cases are opened at once; every second one breaks the contract (its id is used) after part of its
/// work is done, all in few commits.
/// Guarantees: the others are stored whole, the broken ones leave no trace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_write_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("immune.db")).await.unwrap();
    let stores = store.stores();
    let used = case(&agent("used"), "used", at(1));
    stores
        .cases
        .open_case(&used, u32::MAX, &alongside(&used, "case_opened"))
        .await
        .unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..40 {
        let mut one = case(&agent(&format!("a{n}")), &format!("case-{n}"), at(n));
        if n % 2 == 0 {
            one.id = used.id.clone();
            one.infection = infection(&one.key, &format!("new-{n}"));
        }
        let store = stores.cases.clone();
        tasks.spawn(async move {
            (
                n,
                store
                    .open_case(&one, u32::MAX, &alongside(&one, "case_opened"))
                    .await,
            )
        });
    }
    for (n, answer) in tasks.join_all().await {
        match answer {
            Ok(answer) => assert!(n % 2 == 1 && answer == Opened::New, "{n}: {answer:?}"),
            Err(error) => assert!(n % 2 == 0, "{n}: {error:?}"),
        }
    }
    assert_eq!(stores.cases.totals(&used.key.run).await.unwrap().opened, 21);
    assert_eq!(stores.cases.last_event().await.unwrap(), 21);
    for n in 0..40 {
        let open = stores.cases.open_case_of(&agent(&format!("a{n}"))).await.unwrap();
        assert_eq!(open.is_some(), n % 2 == 1, "{n}");
    }
}

/// Scenario: a queue with room for one write, and callers of which half stop waiting at once.
/// Guarantees: the others are answered, and the store serves on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_stop_waiting_harm_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        queue: 1,
        group_max: 2,
        ..Options::default()
    };
    let store = SqliteStore::open_with(folder.path().join("immune.db"), options)
        .await
        .unwrap();
    let stores = store.stores();
    let mut tasks = JoinSet::new();
    for n in 0..40 {
        let store = stores.vitals.clone();
        tasks.spawn(async move {
            let record = [vitals(&agent(&format!("a{n}")), "e", at(n))];
            let patience = if n % 2 == 0 {
                Duration::from_micros(50)
            } else {
                Duration::from_secs(60)
            };
            tokio::time::timeout(patience, store.append(&record))
                .await
                .map(|answer| answer.unwrap())
        });
    }
    let waited = tasks.join_all().await.into_iter().filter(Result::is_ok).count();
    assert!(waited >= 20, "{waited}");
    for n in (1..40).step_by(2) {
        assert_eq!(
            stores
                .vitals
                .execution_count(&agent(&format!("a{n}")))
                .await
                .unwrap(),
            1
        );
    }
}

/// Scenario: a reader is in the middle of a long listing while a writer writes.
/// Guarantees: neither waits for the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_and_the_writer_do_not_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("immune.db")).await.unwrap();
    let stores = store.stores();
    let batch: Vec<_> = (0..2_000)
        .map(|n| vitals(&agent("a"), &format!("e{n}"), at(n)))
        .collect();
    stores.vitals.append(&batch).await.unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let stores = stores.clone();
        tasks.spawn(async move {
            for m in 0..5 {
                let key = agent(&format!("b{n}"));
                stores
                    .vitals
                    .append(&[vitals(&key, &format!("e{m}"), at(m))])
                    .await
                    .unwrap();
                assert_eq!(
                    stores
                        .vitals
                        .recent(&agent("a"), at(0), 5_000)
                        .await
                        .unwrap()
                        .len(),
                    2_000
                );
                assert_eq!(stores.vitals.execution_count(&key).await.unwrap(), m as u64 + 1);
            }
        });
    }
    let done = tokio::time::timeout(Duration::from_secs(60), tasks.join_all()).await;
    assert!(done.is_ok(), "readers or the writer are stuck");
}
