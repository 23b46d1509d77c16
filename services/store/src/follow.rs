//! Keeps a view of the cases current with what every process saves.
//!
//! One task per view reads the store's events, woken by [`CaseStore::changes`] and looking every second anyway, and
//! hands on each event's case as it is then. What events cannot tell (a store restored from a copy, events purged while
//! this process could not read) is caught by reading all open cases anew now and then. So a view may rely on this:
//!
//! - Between two complete readings it hears of every case with an event, closed ones included, in no order and perhaps
//!   twice; several events of one case may come as one.
//! - [`View::followed`] comes only after everything that had been saved before the given moment was handed on.
//! - Methods are never called at the same time, and the store's time limits do not count what a view does: one that
//!   takes its time holds back what comes next, and nothing is lost or piled up.
//!
//! To follow cases: implement [`View`], then run [`run`] beside whatever else the process does.

mod reading;
#[cfg(test)]
mod tests;

use crate::cases::CaseStore;
use crate::error::{Result, StorageError};
use immune_domain::case::Case;
use immune_domain::{AgentKey, CaseId};
use reading::Place;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long nothing is looked at while nothing is heard; a wake-up may have been missed.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Time between two readings of all open cases.
pub const READ_AGAIN: Duration = Duration::from_secs(300);
/// How long the store may take for one answer.
pub const ANSWER_MAX: Duration = Duration::from_secs(5);
/// First wait after the store could not answer; each further one is twice as long.
pub const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest wait after the store could not answer.
pub const RETRY_MAX: Duration = Duration::from_secs(1);
/// Rows read at a time.
pub const PAGE: u32 = 500;

/// What is kept current with the cases.
///
/// A complete reading goes: [`begin`](View::begin), [`put_open`](View::put_open) for every open case, then what
/// [`missing`](View::missing) names is read and comes through [`put`](View::put) or [`forget`](View::forget), then
/// [`complete`](View::complete). Where the store fails in between, the reading is dropped and another one begins.
///
/// Implementations may write the methods as `async fn`. Their futures are dropped at any await when the process stops.
pub trait View: Sync {
    /// What a complete reading keeps in mind until its end: the next table to replace the known one with, or what was
    /// known before.
    type Reading: Send;

    /// A complete reading begins.
    fn begin(&self) -> Self::Reading;

    /// A complete reading met an open case. What is saved meanwhile may bring a case twice.
    fn put_open(&self, reading: &mut Self::Reading, case: Case) -> impl Future<Output = ()> + Send;

    /// Cases that were thought to be open and were not met: they are read by their ids now, to learn what became of them.
    /// None where a complete reading replaces what was known.
    fn missing(&self, reading: &mut Self::Reading) -> HashMap<CaseId, AgentKey>;

    /// A complete reading has come to its end.
    fn complete(&self, reading: Self::Reading) -> impl Future<Output = ()> + Send;

    /// A case as it is now, open or closed.
    fn put(&self, case: Case) -> impl Future<Output = ()> + Send;

    /// The store has this case no longer.
    fn forget(&self, key: &AgentKey, case: &CaseId) -> impl Future<Output = ()> + Send;

    /// Everything that anyone had saved at this moment is known. Comes at least every [`LOOK_AGAIN`] while the store
    /// answers.
    fn followed(&self, at: Instant);

    /// The store could not be read; it is tried again. Comes after each failed attempt. The follower logs it.
    fn failed(&self, error: &StorageError);
}

/// Keeps a view current until the token is cancelled. `doing` ends the sentence "store is unavailable while ...", as in
/// "following the cases", and tells the followers of one process apart in its log.
pub async fn run<V: View>(cases: &dyn CaseStore, view: &V, doing: &'static str, shutdown: CancellationToken) {
    let pace = Pace::USUAL;
    let follower = Follower {
        cases,
        view,
        doing,
        pace,
    };
    follower.run(shutdown).await;
}

/// Waits for the next hint that there are events. Without anybody to give one it waits for ever.
pub async fn changed(changes: &mut watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// How long what takes; the constants above, shorter in tests.
#[derive(Debug, Clone, Copy)]
struct Pace {
    look_again: Duration,
    read_again: Duration,
    answer_max: Duration,
    retry_first: Duration,
    retry_max: Duration,
}

impl Pace {
    const USUAL: Pace = Pace {
        look_again: LOOK_AGAIN,
        read_again: READ_AGAIN,
        answer_max: ANSWER_MAX,
        retry_first: RETRY_FIRST,
        retry_max: RETRY_MAX,
    };
}

struct Follower<'a, V> {
    cases: &'a dyn CaseStore,
    view: &'a V,
    doing: &'static str,
    pace: Pace,
}

impl<V: View> Follower<'_, V> {
    async fn run(&self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&self) {
        let mut changes = self.cases.changes();
        let mut place: Option<Place> = None;
        let mut retry = self.pace.retry_first;
        let (mut has_waited, mut has_failed) = (false, false);
        loop {
            // Before looking: whatever is announced from now on wakes the wait that comes after it.
            changes.mark_unchanged();
            let began = Instant::now();
            match self.look(&mut place, has_waited).await {
                Ok(()) => {
                    if std::mem::take(&mut has_failed) {
                        tracing::info!(doing = self.doing, "cases can be read again");
                    }
                    self.view.followed(began);
                    retry = self.pace.retry_first;
                    has_waited = tokio::time::timeout(self.pace.look_again, changed(&mut changes))
                        .await
                        .is_err();
                }
                Err(error) => {
                    if !std::mem::replace(&mut has_failed, true) {
                        let cause = std::error::Error::source(&error);
                        tracing::warn!(doing = self.doing, %error, ?cause, "cases cannot be read; trying again");
                    }
                    self.view.failed(&error);
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(self.pace.retry_max);
                }
            }
        }
    }

    /// The store's answer, if it comes in time.
    async fn within<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        match tokio::time::timeout(self.pace.answer_max, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(StorageError::Unavailable {
                doing: self.doing,
                source: format!("no answer within {} s", self.pace.answer_max.as_secs_f64()).into(),
            }),
        }
    }
}
