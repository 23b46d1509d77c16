//! Follows what every replica saves, so that the directory of this one knows all open cases. Every change that matters
//! to the directory (containment, closing, escalation times) comes with an event. Reading them is
//! [`immune_store::follow`]'s; here is what the directory takes from it, and what the role's state says about it.

#[cfg(test)]
mod tests;

use crate::desk::Desk;
use immune_domain::case::Case;
use immune_domain::{AgentKey, CaseId};
use immune_store::StorageError;
use immune_store::cases::is_unsettled;
use immune_store::follow::{self, View};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What the store is read for.
const DOING: &str = "following the cases";

/// How the role is, for whoever reports readiness.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Whether every open case has been read once; before that, reports and admission checks are answered with
    /// `unavailable`.
    pub is_loaded: bool,
    /// Why the store could not be read the last time; `None` while it can.
    pub store_error: Option<String>,
    /// How old the last news of other replicas may be; zero while they are followed. Grows while `store_error` is
    /// set.
    pub feed_lag: Duration,
}

/// Runs until the token is cancelled.
pub(crate) async fn run(desk: Arc<Desk>, shutdown: CancellationToken) {
    follow::run(&*desk.store, &*desk, DOING, shutdown).await;
}

/// What was thought to be open and is not met is read by itself: the directory keeps what this process saves while all
/// cases are being read.
impl View for Desk {
    type Reading = HashMap<CaseId, AgentKey>;

    fn begin(&self) -> Self::Reading {
        self.directory.open_cases()
    }

    async fn put_open(&self, thought_open: &mut Self::Reading, case: Case) {
        thought_open.remove(&case.id);
        self.directory.put(&case);
    }

    fn missing(&self, thought_open: &mut Self::Reading) -> HashMap<CaseId, AgentKey> {
        std::mem::take(thought_open)
    }

    async fn complete(&self, _read: Self::Reading) {
        self.levers_wanted.notify_one();
    }

    async fn put(&self, case: Case) {
        self.directory.put(&case);
        if is_unsettled(&case) {
            self.levers_wanted.notify_one();
        }
    }

    async fn forget(&self, key: &AgentKey, case: &CaseId) {
        self.directory.forget(key, case);
    }

    fn followed(&self, at: Instant) {
        self.directory.followed(at);
        self.metrics.feed_lag.set(0.0);
        self.state.send_if_modified(|state| {
            let now = State {
                is_loaded: true,
                store_error: None,
                feed_lag: Duration::ZERO,
            };
            let is_news = *state != now;
            *state = now;
            is_news
        });
    }

    /// Counts how old the news are.
    fn failed(&self, error: &StorageError) {
        let lag = self.directory.age().unwrap_or_default();
        self.metrics.feed_lag.set(lag.as_secs_f64());
        self.state.send_modify(|state| {
            state.store_error = Some(error.to_string());
            state.feed_lag = lag;
        });
    }
}
