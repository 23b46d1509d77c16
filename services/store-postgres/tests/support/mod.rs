//! What the tests of this crate share.
#![allow(
    dead_code,
    reason = "each test file is a program of its own and uses what it needs"
)]
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

pub mod proxy;

use immune_domain::case::{Case, State};
use immune_domain::healing::Trigger;
use immune_store::cases::{Alongside, Opened, Saved};
use immune_store::conformance::samples::{alongside, at, changed};
use immune_store::{CaseStore, StorageError};
use immune_store_postgres::{Limits, Options, PostgresStore, migrate};
use immune_test_servers::Postgres;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a condition may take to become true.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A migrated database of the shared server.
pub async fn database() -> String {
    let url = Postgres::shared().await.database().await;
    migrate(&url).await.unwrap();
    url
}

/// A store, as one process has it.
pub fn store(url: &str) -> PostgresStore {
    PostgresStore::open(Options::new(url)).unwrap()
}

/// A store that gives up quickly.
pub fn hasty(url: &str) -> PostgresStore {
    let limits = Limits {
        connections: 4,
        connect_timeout_ms: 500,
        acquire_timeout_ms: 500,
        statement_timeout_ms: 1_000,
        retry_ms: 200,
        ..Limits::default()
    };
    PostgresStore::open(Options {
        url: url.to_owned(),
        limits,
    })
    .unwrap()
}

/// Waits until a condition is true.
pub async fn until<F>(what: &str, mut condition: F)
where
    F: AsyncFnMut() -> bool,
{
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < DEADLINE, "{what} did not become true");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Repeats a call while the store says that it is unavailable, as callers do.
pub async fn patiently<T, F>(mut call: F) -> T
where
    F: AsyncFnMut() -> Result<T, StorageError>,
{
    let patience = Patience::default();
    loop {
        if let Some(answer) = patience.heard(call().await).await {
            return answer;
        }
    }
}

/// How long a caller goes on asking.
pub struct Patience(Instant);

impl Default for Patience {
    fn default() -> Self {
        Patience(Instant::now())
    }
}

impl Patience {
    /// The answer, unless the store was unavailable: then `None`, a moment later.
    pub async fn heard<T>(&self, answer: Result<T, StorageError>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(StorageError::Unavailable { .. }) if self.0.elapsed() < DEADLINE => {
                sleep(Duration::from_millis(10)).await;
                None
            }
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }
}

/// Opens a case that must be new, with one event and one row of the log.
pub async fn open(cases: &dyn CaseStore, case: &Case) {
    let opened = cases
        .open_case(case, u32::MAX, &alongside(case, "case_opened"))
        .await;
    assert_eq!(opened.unwrap(), Opened::New, "{}", case.id);
}

/// The case one version on.
pub fn next(case: &Case) -> Case {
    let state = State::HealQueued {
        trigger: Trigger::Auto,
        not_before: at(case.version as i64),
    };
    changed(case, state, at(case.version as i64))
}

/// Saves a case without anything alongside; it must not be in conflict.
pub async fn save(cases: &dyn CaseStore, case: &Case) {
    let saved = cases
        .save_case(case, case.version - 1, &Alongside::default())
        .await;
    assert_eq!(saved.unwrap(), Saved::Done, "{}", case.id);
}
