//! Keeps the table current with what every replica saves: every change of containment comes with an event. Reading them
//! is [`immune_store::follow`]'s; here is what the table takes from it, and what state and gauges say about it.

use crate::State;
use crate::check::Checker;
use crate::table::Draft;
use immune_domain::case::Case;
use immune_domain::{AgentKey, CaseId};
use immune_store::StorageError;
use immune_store::cases::CaseStore;
use immune_store::follow::{self, LOOK_AGAIN, View};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What the store is read for.
const DOING: &str = "following the cases for the gateway check";
/// How often gauges and state are brought up to date; the store may take longer to answer.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// Whoever keeps the table current.
#[derive(Clone)]
pub(crate) struct Follower {
    pub(crate) cases: Arc<dyn CaseStore>,
    pub(crate) checker: Arc<Checker>,
    pub(crate) state: Arc<watch::Sender<State>>,
}

/// Every open case is read into a new table, which then takes the place of the known one.
impl View for Follower {
    type Reading = Draft;

    fn begin(&self) -> Draft {
        self.checker.table.draft()
    }

    async fn put_open(&self, draft: &mut Draft, case: Case) {
        draft.put(&case);
    }

    fn missing(&self, _draft: &mut Draft) -> HashMap<CaseId, AgentKey> {
        HashMap::new()
    }

    async fn complete(&self, draft: Draft) {
        self.checker.table.replace(draft);
    }

    async fn put(&self, case: Case) {
        self.checker.table.put(&case);
    }

    async fn forget(&self, key: &AgentKey, case: &CaseId) {
        self.checker.table.forget(key, case);
    }

    fn followed(&self, at: Instant) {
        self.checker.table.followed(at);
        self.show(None);
    }

    fn failed(&self, error: &StorageError) {
        self.show(Some(error.to_string()));
    }
}

impl Follower {
    /// Runs until the token is cancelled.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        tokio::select! {
            () = follow::run(&*self.cases, self, DOING, shutdown) => {}
            () = self.keep_showing() => {}
        }
    }

    async fn keep_showing(&self) {
        loop {
            tokio::time::sleep(SHOW_EVERY).await;
            let error = self.state.borrow().store_error.clone();
            self.show(error);
        }
    }

    fn show(&self, store_error: Option<String>) {
        let (checker, metrics) = (&self.checker, &self.checker.metrics);
        let (age, beyond) = (checker.table.age(), checker.table.beyond());
        // Between two looks nothing is older than the wait between them.
        let since = age.filter(|age| *age > 2 * LOOK_AGAIN).unwrap_or_default();
        metrics.since_current.set(since.as_secs_f64());
        metrics.contained.set(gauge(checker.table.len()));
        metrics.beyond_room.set(gauge(beyond));
        let now = State {
            is_loaded: age.is_some(),
            store_error,
            is_blind: checker.is_blind(),
        };
        self.state.send_if_modified(|state| {
            if now.is_blind && !state.is_blind && now.is_loaded {
                let setting = checker.config.when_blind;
                tracing::warn!(
                    ?age,
                    beyond,
                    ?setting,
                    "the gateway check does not see all contained agents"
                );
            }
            let is_news = *state != now;
            *state = now;
            is_news
        });
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
