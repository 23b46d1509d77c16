//! `immune migrate` against a real server, and what a process says of a schema that does not fit.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

mod support;

use immune_domain::ErrorKind;
use immune_store_postgres::{OpenError, migrate};
use immune_test_servers::Postgres;
use support::{database, store};

fn name(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

/// Scenario: eight migrations of one empty database start at the same time; then one more.
/// Guarantees: one does the work, the others find nothing to do, and the schema fits.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_migrations_at_once_apply_each_step_once() {
    let url = Postgres::shared().await.database().await;
    let runs: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { migrate(&url).await.unwrap() })
        })
        .collect();
    let mut worked = 0;
    for run in runs {
        let done = run.await.unwrap();
        worked += usize::from(!done.applied.is_empty());
        assert_eq!(done.applied.len() as u32, done.to - done.from);
    }
    assert_eq!(worked, 1);
    let again = migrate(&url).await.unwrap();
    assert!(again.applied.is_empty() && again.from == again.to, "{again:?}");
    store(&url).check_schema().await.unwrap();
}

/// Scenario: a process meets a database without a schema, then one of an older version, then the right one.
/// Guarantees: it is told apart and the command is named; calls are unavailable until someone has migrated, and work
/// from then on without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_schema_is_refused_by_name() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let store = store(&url);
    let error = store.check_schema().await.unwrap_err();
    assert!(matches!(error, OpenError::Older { found: 0, .. }), "{error}");
    assert!(error.to_string().contains("run `immune migrate`"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Invalid);

    let error = store.ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("run `immune migrate`"), "{why}");

    let done = migrate(&url).await.unwrap();
    store.check_schema().await.unwrap();
    store.ping().await.unwrap();

    let sql = format!("DELETE FROM immune.migrations WHERE version = {}", done.to);
    postgres.sql(name(&url), &sql).await;
    let error = store.check_schema().await.unwrap_err();
    let expected = (done.to - 1, done.to);
    assert!(
        matches!(error, OpenError::Older { found, needed } if (found, needed) == expected),
        "{error}"
    );
}

/// Scenario: a migration that was changed after it ran, one that is missing, and one of a newer program.
/// Guarantees: what other migrations have made is refused, by migrating too; a newer schema is refused unless it says
/// that this program's still works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_others_is_refused() {
    let postgres = Postgres::shared().await;
    let url = database().await;
    let store = store(&url);
    let newest = migrate(&url).await.unwrap().to;

    let insert = "INSERT INTO immune.migrations (version, name, checksum, needs)";
    let sql = format!("{insert} VALUES ({}, 'later', 'x', {newest})", newest + 1);
    postgres.sql(name(&url), &sql).await;
    store.check_schema().await.unwrap();
    assert_eq!(migrate(&url).await.unwrap().to, newest + 1);

    let sql = format!(
        "UPDATE immune.migrations SET needs = version WHERE version = {}",
        newest + 1
    );
    postgres.sql(name(&url), &sql).await;
    let error = store.check_schema().await.unwrap_err();
    let expected = (newest + 1, newest);
    assert!(
        matches!(error, OpenError::Newer { found, known } if (found, known) == expected),
        "{error}"
    );
    assert!(matches!(migrate(&url).await, Err(OpenError::Newer { .. })));

    let sql = "DELETE FROM immune.migrations WHERE version = 2";
    postgres.sql(name(&url), sql).await;
    let error = store.check_schema().await.unwrap_err();
    assert!(matches!(error, OpenError::Dirty { .. }), "{error}");

    let url = database().await;
    let sql = "UPDATE immune.migrations SET checksum = 'changed' WHERE version = 3";
    postgres.sql(name(&url), sql).await;
    let error = support::store(&url).check_schema().await.unwrap_err();
    assert!(error.to_string().contains("0003_quarantine"), "{error}");
    assert!(matches!(migrate(&url).await, Err(OpenError::Dirty { .. })));
}

/// Scenario: the database cannot hold every text; the database does not exist; the password is wrong; nobody listens.
/// Guarantees: each is told apart, and no message holds the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfit_servers_are_told_apart() {
    let postgres = Postgres::shared().await;
    let sql = "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0";
    postgres.sql("postgres", sql).await;
    let said = async |url: &str| {
        let error = store(url).check_schema().await.unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let text = format!("{error} {cause:?} {error:?}");
        assert!(
            !text.contains("not-a-secret") && !text.contains("s3cret"),
            "{text}"
        );
        (error.kind(), text)
    };
    let (kind, text) = said(&postgres.url("ascii")).await;
    assert!(kind == ErrorKind::Invalid && text.contains("SQL_ASCII"), "{text}");
    let (kind, text) = said(&postgres.url("nowhere")).await;
    assert!(kind == ErrorKind::Internal && text.contains("nowhere"), "{text}");
    let (kind, text) = said(&postgres.url("postgres").replace("not-a-secret", "s3cret")).await;
    assert!(kind == ErrorKind::Internal && text.contains("password"), "{text}");
    let port = immune_test_servers::free_port();
    let (kind, text) = said(&format!("postgres://immune:s3cret@127.0.0.1:{port}/d")).await;
    assert!(kind == ErrorKind::Unavailable, "{text}");
}
