//! Servers that are away, restart, hang, are killed, become read-only; answers that are lost.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

mod support;

use immune_domain::ErrorKind;
use immune_domain::case::Case;
use immune_store::cases::{Opened, Saved};
use immune_store::conformance::samples::{agent, alongside, approval, at, case, profile};
use immune_store_postgres::{OpenError, migrate};
use immune_test_servers::Postgres;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use support::proxy::Proxy;
use support::{Patience, hasty, next, open, patiently, store, until};
use tokio::time::{Instant, timeout};

/// What a writer was told: the case as it was saved last.
type Told = Case;

/// Opens cases and changes them, again and again, repeating what was unavailable as callers do. Ends when told to.
async fn write(
    store: immune_store_postgres::PostgresStore,
    writer: usize,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
) -> Vec<Told> {
    let (cases, mut told) = (store.cases(), Vec::new());
    for n in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let id = format!("{writer}-{n}");
        let mut latest = case(&agent(&id), &id, at(1));
        let patience = Patience::default();
        let opened = loop {
            let answer = cases
                .open_case(&latest, u32::MAX, &alongside(&latest, "case_opened"))
                .await;
            if let Some(opened) = patience.heard(answer).await {
                break opened;
            }
        };
        // A report that was repeated by the caller is known already.
        assert!(
            matches!(opened, Opened::New | Opened::AlreadyReported(_)),
            "{opened:?}"
        );
        for _change in 0..4 {
            let after = next(&latest);
            let with = alongside(&after, "case_decided");
            let patience = Patience::default();
            let saved = loop {
                let answer = cases.save_case(&after, latest.version, &with).await;
                if let Some(saved) = patience.heard(answer).await {
                    break saved;
                }
            };
            match saved {
                Saved::Done => {}
                // Repeated by the caller after the answer was lost for good.
                Saved::Conflict(stored) => assert_eq!(*stored, after),
                Saved::Missing => panic!("case {id} was acknowledged and is gone"),
            }
            latest = after;
            count.fetch_add(1, Ordering::SeqCst);
        }
        told.push(latest);
    }
    told
}

/// Runs eight writers while `disturb` does its worst, then compares what they were told with what is there.
async fn under_load(url: &str, disturb: impl AsyncFnOnce(&AtomicU64)) {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let stores = [store(url), store(url)];
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            tokio::spawn(write(
                stores[writer % 2].clone(),
                writer,
                stop.clone(),
                count.clone(),
            ))
        })
        .collect();
    disturb(&count).await;
    stop.store(true, Ordering::SeqCst);
    let (cases, log) = (stores[0].cases(), stores[0].action_log());
    let mut changes = 0;
    for writer in writers {
        for told in writer.await.unwrap() {
            changes += told.version;
            let stored = cases.get(&told.id).await.unwrap();
            assert_eq!(stored, Some(told));
        }
    }
    // Every change is there once, with its event and its row.
    assert_eq!(cases.last_event().await.unwrap(), changes);
    let (mut rows, mut before) = (0, None);
    loop {
        let page = log.recent(&agent("a").run, before, 10_000).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.sequence);
        rows += page.len() as u64;
    }
    assert_eq!(rows, changes);
}

/// Waits until so many more changes were acknowledged.
async fn more(count: &AtomicU64, n: u64) {
    let start = count.load(Ordering::SeqCst);
    until("writers go on", async || {
        count.load(Ordering::SeqCst) >= start + n
    })
    .await;
}

/// Scenario: a process starts before its database, which comes later.
/// Guarantees: starting does not fail; calls are unavailable, quickly; then everything works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_starts_while_the_database_is_away() {
    let postgres = Postgres::start().await;
    let url = postgres.database().await;
    migrate(&url).await.unwrap();
    postgres.stop().await;

    let store = hasty(&url);
    assert!(matches!(store.check_schema().await, Err(OpenError::Away { .. })));
    let changes = store.cases().changes();
    let start = Instant::now();
    let error = store.cases().last_event().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(start.elapsed() < std::time::Duration::from_secs(5));

    postgres.start_again().await;
    patiently(async || store.ping().await).await;
    store.check_schema().await.unwrap();
    until("the listener listens", async || *changes.borrow() > 0).await;
    store.close().await;
    assert_eq!(store.ping().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// Scenario: the server is restarted three times while eight writers of two processes work.
/// Guarantees: every acknowledged change is there once, with its event and its row of the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restart_loses_and_doubles_nothing() {
    let postgres = Postgres::start().await;
    let url = postgres.database().await;
    migrate(&url).await.unwrap();
    under_load(&url, async |count| {
        for _round in 0..3 {
            more(count, 100).await;
            postgres.stop().await;
            postgres.start_again().await;
        }
        more(count, 100).await;
    })
    .await;
}

/// Scenario: the server is killed with SIGKILL three times while eight writers of two processes work.
/// Guarantees: every acknowledged change is there once, with its event and its row of the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_server_loses_no_acknowledged_change() {
    let postgres = Postgres::start_with(&["full_page_writes=on"]).await;
    let url = postgres.database().await;
    migrate(&url).await.unwrap();
    under_load(&url, async |count| {
        for _round in 0..3 {
            more(count, 100).await;
            postgres.kill().await;
            postgres.start_again().await;
        }
        more(count, 100).await;
    })
    .await;
}

/// Scenario: sessions are ended by an operator, again and again, while eight writers work.
/// Guarantees: every acknowledged change is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ended_sessions_lose_and_double_nothing() {
    let postgres = Postgres::start().await;
    let url = postgres.database().await;
    migrate(&url).await.unwrap();
    let name = url.rsplit('/').next().unwrap();
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    under_load(&url, async |count| {
        for _round in 0..10 {
            more(count, 20).await;
            postgres.sql(name, sql).await;
        }
    })
    .await;
}

/// Scenario: the server becomes read-only, as a standby is after a failover, and later takes writes again.
/// Guarantees: writes are unavailable meanwhile, not failed, and go on by themselves over new connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_server_is_unavailable() {
    let postgres = Postgres::start().await;
    let url = postgres.database().await;
    migrate(&url).await.unwrap();
    let store = hasty(&url);
    let cases = store.cases();
    let first = case(&agent("a"), "a", at(1));
    open(&*cases, &first).await;

    let switch = async |to: &str| {
        let sql = format!("ALTER SYSTEM SET default_transaction_read_only = {to}");
        postgres.sql("postgres", &sql).await;
        postgres.sql("postgres", "SELECT pg_reload_conf()").await;
    };
    switch("on").await;
    let second = next(&first);
    // A session sees the new setting at its next statement, or the one after.
    let records = store.client_records();
    until("writes are refused", async || {
        match records.register_run(&"probe".into(), at(1)).await {
            Ok(()) => false,
            Err(error) => error.kind() == ErrorKind::Unavailable,
        }
    })
    .await;
    let error = cases
        .save_case(&second, 1, &alongside(&second, "case_decided"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(store.ping().await.unwrap_err().kind(), ErrorKind::Unavailable);

    switch("off").await;
    let saved = patiently(async || {
        cases
            .save_case(&second, 1, &alongside(&second, "case_decided"))
            .await
    })
    .await;
    assert_eq!(saved, Saved::Done);
    assert_eq!(cases.last_event().await.unwrap(), 2);
}

/// Scenario: the server hangs: connections stay, nothing answers.
/// Guarantees: calls end as unavailable within their time, and work again when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_server_is_unavailable() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    migrate(&url).await.unwrap();
    let proxy = Proxy::start(postgres.port()).await;
    let store = hasty(&proxy.url(&url, postgres.port()));
    store.ping().await.unwrap();
    proxy.hang(true);
    let start = Instant::now();
    let error = timeout(support::DEADLINE, store.ping())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        start.elapsed() < std::time::Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    proxy.hang(false);
    patiently(async || store.ping().await).await;
}

/// Scenario: through a proxy that loses the answer to one message after another, a case is opened and changed, a
/// partition is taken over and a profile stored.
/// Guarantees: wherever the answer is lost, the call finds what it has done itself: nothing is refused, done twice or
/// reported as someone else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_not_done_twice() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    migrate(&url).await.unwrap();
    let proxy = Proxy::start(postgres.port()).await;
    let store = store(&proxy.url(&url, postgres.port()));
    let (cases, baselines, log) = (store.cases(), store.baselines(), store.action_log());
    let mut lost = 0;
    let mut versions = 0;
    for n in 1..=12 {
        let first = case(&agent(&format!("a{n}")), &format!("c{n}"), at(1));
        proxy.lose(n);
        let opened = cases
            .open_case(&first, u32::MAX, &alongside(&first, "case_opened"))
            .await;
        assert_eq!(opened.unwrap(), Opened::New, "answer {n}");
        lost += u32::from(proxy.has_lost());

        proxy.lose(n);
        let second = next(&first);
        let saved = cases
            .save_case(&second, 1, &alongside(&second, "case_decided"))
            .await;
        assert_eq!(saved.unwrap(), Saved::Done, "answer {n}");
        lost += u32::from(proxy.has_lost());
        versions += 2;

        proxy.lose(n);
        let mut tenure = baselines.take_over(1).await.unwrap();
        tenure.place = Some(n.to_string());
        let put = baselines
            .put(&[profile(&agent("p"), u64::from(n))], &[tenure])
            .await
            .unwrap();
        assert_eq!(put, immune_store::baselines::Put::Done);
        lost += u32::from(proxy.has_lost());
        proxy.lose(0);
    }
    assert!(lost >= 6, "only {lost} answers were lost");
    assert_eq!(
        log.recent(&agent("a").run, None, 100).await.unwrap().len(),
        versions
    );
    assert_eq!(cases.last_event().await.unwrap(), versions as u64);
    assert_eq!(cases.totals(&agent("a").run).await.unwrap().opened, 12);
}

/// Scenario: the answer to appending a record is lost.
/// Guarantees: the record is there at most once: the call says that it does not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_recognised_is_not_repeated() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    migrate(&url).await.unwrap();
    let proxy = Proxy::start(postgres.port()).await;
    let store = store(&proxy.url(&url, postgres.port()));
    let records = store.client_records();
    let record = approval(&agent("a"), "pending", at(1));
    records.append(&record).await.unwrap();
    proxy.lose(1);
    let error = records.append(&record).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let count = records.count(&agent("a").run, record.kind).await.unwrap();
    assert_eq!(count, 2);
}
