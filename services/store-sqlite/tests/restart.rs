//! What a file must do beyond the contracts: survive restarts, belong to one process, refuse what it does not know.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

use immune_domain::case::{Case, State};
use immune_domain::healing::Trigger;
use immune_domain::{ErrorKind, Timestamp};
use immune_store::cases::{Alongside, Opened, Saved};
use immune_store::conformance::samples::{
    agent, alongside, approval, at, case, changed, healing, profile, row, succeeded, vitals, with_outcome,
};
use immune_store::{StorageError, Stores};
use immune_store_sqlite::{Migrated, OpenError, Options, SqliteStore, migrate};
use sqlx::{Connection, SqliteConnection};
use std::path::{Path, PathBuf};

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data").join("immune.db");
    (folder, path)
}

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).await.unwrap()
}

/// Runs a statement on the file as another program would.
async fn meddle(path: &Path, sql: &'static str) {
    let mut conn = SqliteConnection::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

async fn fill(stores: &Stores) -> Case {
    let key = agent("a");
    stores
        .vitals
        .append(&[vitals(&key, "e1", at(1)), vitals(&key, "e2", at(2))])
        .await
        .unwrap();
    stores.baselines.put(&[profile(&key, 3)], &[]).await.unwrap();
    let first = case(&key, "case-1", at(1));
    stores
        .cases
        .open_case(&first, u32::MAX, &alongside(&first, "case_opened"))
        .await
        .unwrap();
    let queued = State::HealQueued {
        trigger: Trigger::Auto,
        not_before: at(2),
    };
    let next = changed(&first, queued, at(2));
    assert_eq!(
        stores
            .cases
            .save_case(&next, 1, &alongside(&next, "case_decided"))
            .await
            .unwrap(),
        Saved::Done
    );
    let one = healing(&key, "h", at(3));
    stores.healings.begin(&one).await.unwrap();
    stores
        .healings
        .finish(&with_outcome(&one, succeeded(at(4))))
        .await
        .unwrap();
    stores
        .client_records
        .append(&approval(&key, "pending", at(5)))
        .await
        .unwrap();
    stores
        .action_log
        .append(&[row(&key, "note", at(6))])
        .await
        .unwrap();
    next
}

/// Scenario: every kind of record is written, the file closed and opened again.
/// Guarantees: everything is there, and the order of events goes on where it was.
#[tokio::test]
async fn everything_survives_a_restart() {
    let (_folder, path) = folder();
    let store = open(&path).await;
    let case = fill(&store.stores()).await;
    store.close().await;
    assert!(
        !path.with_extension("db-wal").exists(),
        "closing folds the write-ahead log into the file"
    );

    let store = open(&path).await;
    let (stores, key) = (store.stores(), agent("a"));
    assert_eq!(stores.vitals.total_executions(&key.run).await.unwrap(), 2);
    assert_eq!(
        stores.vitals.latest(&key).await.unwrap(),
        Some(vitals(&key, "e2", at(2)))
    );
    assert_eq!(stores.baselines.get(&key).await.unwrap(), Some(profile(&key, 3)));
    assert_eq!(stores.cases.open_case_of(&key).await.unwrap(), Some(case.clone()));
    assert_eq!(
        stores.cases.claimable(at(9), 10).await.unwrap(),
        vec![case.clone()]
    );
    assert_eq!(stores.cases.last_event().await.unwrap(), 2);
    assert_eq!(stores.healings.totals(&key.run).await.unwrap().succeeded, 1);
    assert_eq!(stores.healings.all_memories(&key.run, 10).await.unwrap().len(), 1);
    assert_eq!(stores.client_records.runs(10).await.unwrap().len(), 1);
    assert_eq!(
        stores.action_log.recent(&key.run, None, 10).await.unwrap().len(),
        3
    );
    let next = changed(&case, case.state.clone(), at(9));
    stores
        .cases
        .save_case(&next, 2, &alongside(&next, "case_waiting"))
        .await
        .unwrap();
    assert_eq!(stores.cases.events_after(2, 10).await.unwrap()[0].sequence, 3);
}

/// Scenario: a second server opens the file, and someone migrates it, while the first serves.
/// Guarantees: both are refused in words that name the file; after closing, the file is free.
#[tokio::test]
async fn a_file_belongs_to_one_process() {
    let (_folder, path) = folder();
    let first = open(&path).await;
    let refused = SqliteStore::open(&path).await.err().unwrap();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused:?}");
    assert_eq!(
        refused.to_string(),
        format!("database {} is in use by another process", path.display())
    );
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(matches!(migrate(&path).await, Err(OpenError::InUse { .. })));
    first.close().await;
    drop(open(&path).await);
    // Dropping without closing lets go in the background, and opening waits for it.
    open(&path).await.close().await;
}

/// Scenario: a call comes after the file was closed.
/// Guarantees: it fails as unavailable; nothing hangs.
#[tokio::test]
async fn calls_after_closing_are_unavailable() {
    let (_folder, path) = folder();
    let store = open(&path).await;
    let stores = store.stores();
    store.close().await;
    store.close().await;
    let write = stores
        .vitals
        .append(&[vitals(&agent("a"), "e", at(1))])
        .await
        .unwrap_err();
    let read = stores.vitals.ping().await.unwrap_err();
    assert_eq!(
        (write.kind(), read.kind()),
        (ErrorKind::Unavailable, ErrorKind::Unavailable)
    );
}

/// Scenario: a new file is made in a folder that does not exist yet.
/// Guarantees: the database and its companions are readable by their owner only.
#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = folder();
    let store = open(&path).await;
    store
        .stores()
        .action_log
        .append(&[row(&agent("a"), "note", at(1))])
        .await
        .unwrap();
    for entry in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

/// Scenario: files of a newer program, of an older one, of another program, and no database at all.
/// Guarantees: each is refused in words that say what to do, and left as it was.
#[tokio::test]
async fn files_of_other_versions_are_refused() {
    let (_folder, path) = folder();
    let newest = migrate(&path).await.unwrap().to;
    let again = Migrated {
        from: newest,
        to: newest,
    };
    assert_eq!(migrate(&path).await.unwrap(), again);

    meddle(&path, "PRAGMA user_version = 99").await;
    let newer = SqliteStore::open(&path).await.err().unwrap();
    let said = format!("has schema 99, this program knows up to {newest}; use a newer program");
    assert!(newer.to_string().ends_with(&said), "{newer}");
    assert_eq!(newer.kind(), ErrorKind::Invalid);

    let older = OpenError::Older {
        path: path.clone(),
        found: 1,
        needed: 2,
    };
    assert!(
        older
            .to_string()
            .ends_with("has schema 1, this program needs 2; run `immune migrate`"),
        "{older}"
    );

    let foreign = path.with_file_name("foreign.db");
    std::fs::File::create(&foreign).unwrap();
    meddle(&foreign, "CREATE TABLE mine (n); INSERT INTO mine VALUES (1)").await;
    let before = std::fs::read(&foreign).unwrap();
    assert!(matches!(
        SqliteStore::open(&foreign).await,
        Err(OpenError::NotOurs { .. })
    ));
    assert_eq!(std::fs::read(&foreign).unwrap(), before);

    let text = path.with_file_name("text.db");
    std::fs::write(&text, "this is a letter, and no database\n".repeat(100)).unwrap();
    assert!(matches!(
        SqliteStore::open(&text).await,
        Err(OpenError::NotOurs { .. })
    ));
    let options = Options {
        migrate: false,
        ..Options::default()
    };
    let new = path.with_file_name("new.db");
    assert!(
        SqliteStore::open_with(&new, options).await.is_ok(),
        "a new file needs no migration"
    );
}

/// Scenario: rows are damaged by another program.
/// Guarantees: reading them is an error that names the row; other rows are read as before; nothing panics.
#[tokio::test]
async fn damaged_rows_are_named() {
    let (_folder, path) = folder();
    let store = open(&path).await;
    let case = fill(&store.stores()).await;
    let other = immune_store::conformance::samples::case(&agent("b"), "case-2", at(1));
    let opened = store
        .stores()
        .cases
        .open_case(&other, u32::MAX, &Alongside::default())
        .await
        .unwrap();
    assert_eq!(opened, Opened::New);
    store.close().await;
    meddle(
        &path,
        "UPDATE cases SET body = '{\"id\":' WHERE id = 'case-1';
         UPDATE vitals SET completeness = 'half' WHERE execution = 'e2';
         UPDATE vitals SET context = 'none' WHERE execution = 'e1';
         UPDATE profiles SET profile = '{}';
         UPDATE memories SET action = 'prayer';
         UPDATE healings SET body = 'x';
         UPDATE client_records SET body = '{';
         UPDATE events SET payload = '[' WHERE sequence = 1;",
    )
    .await;
    let store = open(&path).await;
    let (stores, key) = (store.stores(), agent("a"));
    let told = |error: StorageError| {
        assert_eq!(error.kind(), ErrorKind::Internal);
        match error {
            StorageError::Damaged { source, .. } => source.to_string(),
            StorageError::Unavailable { .. } | StorageError::Failed { .. } => panic!("{error:?}"),
        }
    };
    let began = |error: StorageError, start: &str| {
        let text = told(error);
        assert!(text.starts_with(start), "{text} does not start with {start}");
    };
    began(stores.cases.get(&case.id).await.unwrap_err(), "case case-1: ");
    assert_eq!(stores.cases.get(&other.id).await.unwrap(), Some(other));
    began(
        stores.vitals.latest(&key).await.unwrap_err(),
        "vitals e2: completeness is \"half\"",
    );
    began(
        stores.vitals.recent(&key, Timestamp::EPOCH, 9).await.unwrap_err(),
        "vitals e1: context",
    );
    began(stores.baselines.get(&key).await.unwrap_err(), "profile a: ");
    began(
        stores.healings.all_memories(&key.run, 9).await.unwrap_err(),
        "memory a: ",
    );
    began(stores.healings.get(&"h".into()).await.unwrap_err(), "healing h: ");
    let kind = immune_store::client_records::RecordKind::Approval;
    began(
        stores.client_records.latest(&key, kind).await.unwrap_err(),
        "client record 1: ",
    );
    began(stores.cases.events_after(0, 10).await.unwrap_err(), "event 1: ");
    assert_eq!(stores.cases.events_after(1, 10).await.unwrap().len(), 1);
}

/// Scenario: a record that JSON cannot carry; a row of the action log that someone tries to change.
/// Guarantees: the first is refused before it is stored, the second by the file itself.
#[tokio::test]
async fn what_must_not_be_written_is_not() {
    let (_folder, path) = folder();
    let store = open(&path).await;
    let stores = store.stores();
    let mut odd = case(&agent("a"), "nan", at(1));
    odd.infection.severity = f64::NAN;
    assert!(
        stores
            .cases
            .open_case(&odd, u32::MAX, &Alongside::default())
            .await
            .is_err()
    );
    let mut endless = profile(&agent("a"), 1);
    endless.profile.moments[0].mean = f64::INFINITY;
    assert!(stores.baselines.put(&[endless], &[]).await.is_err());
    let mut silent = vitals(&agent("a"), "nan", at(1));
    silent.latency_ms = f64::NAN;
    stores.vitals.append(&[silent]).await.unwrap();
    assert!(
        stores
            .vitals
            .latest(&agent("a"))
            .await
            .unwrap()
            .unwrap()
            .latency_ms
            .is_nan()
    );
    stores
        .action_log
        .append(&[row(&agent("a"), "note", at(1))])
        .await
        .unwrap();
    store.close().await;

    let mut conn = SqliteConnection::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    let refused = sqlx::query("UPDATE action_log SET actor = 'nobody'")
        .execute(&mut conn)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("the action log is append-only"),
        "{refused}"
    );
}
