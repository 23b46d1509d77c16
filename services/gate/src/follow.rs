//! Keeps the table current with what every replica saves.
//!
//! One task reads the store's events, woken by [`CaseStore::changes`] and looking every second anyway, and takes in
//! each event's case as it is then; every change of containment comes with an event. What events cannot tell (a store
//! restored from a copy, events purged while this process could not read) is caught by reading all open cases anew
//! now and then.

use crate::State;
use crate::check::Checker;
use immune_domain::case::Case;
use immune_domain::{AgentKey, CaseId};
use immune_store::StorageError;
use immune_store::cases::{CaseFilter, CaseStore, Event};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long nothing is looked at while nothing is heard; a wake-up may have been missed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Time between two readings of all open cases.
const READ_AGAIN: Duration = Duration::from_secs(300);
/// How long the store may take for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// First and longest wait after the store could not answer.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Rows read at a time.
const PAGE: u32 = 500;
/// How often gauges and state are brought up to date; the store may take longer to answer.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// Whoever keeps the table current.
#[derive(Clone)]
pub(crate) struct Follower {
    pub(crate) cases: Arc<dyn CaseStore>,
    pub(crate) checker: Arc<Checker>,
    pub(crate) state: Arc<watch::Sender<State>>,
}

/// How far the events have been read.
struct Place {
    /// The last event taken in.
    sequence: u64,
    /// When all open cases were read.
    read_at: Instant,
}

impl Follower {
    /// Runs until the token is cancelled.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.follow() => {}
            () = self.keep_showing() => {}
        }
    }

    async fn follow(&self) {
        let mut changes = self.cases.changes();
        let mut place: Option<Place> = None;
        let mut retry = RETRY_FIRST;
        let mut has_waited = false;
        loop {
            changes.mark_unchanged();
            let began = Instant::now();
            match self.look(&mut place, has_waited).await {
                Ok(()) => {
                    self.checker.table.followed(began);
                    self.read(None);
                    retry = RETRY_FIRST;
                    has_waited = tokio::time::timeout(LOOK_AGAIN, changed(&mut changes))
                        .await
                        .is_err();
                }
                Err(error) => {
                    self.read(Some(&error));
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Takes in what has happened since `place`; everything where that is not known.
    async fn look(&self, place: &mut Option<Place>, has_waited: bool) -> Result<(), StorageError> {
        let Some(at) = place
            .as_mut()
            .filter(|place| place.read_at.elapsed() < READ_AGAIN)
        else {
            *place = Some(self.read_all().await?);
            return Ok(());
        };
        if has_waited && within(self.cases.last_event()).await? < at.sequence {
            tracing::warn!(
                after = at.sequence,
                "events have gone back: reading all open cases anew for the gateway check"
            );
            *place = Some(self.read_all().await?);
            return Ok(());
        }
        loop {
            let events = within(self.cases.events_after(at.sequence, PAGE)).await?;
            self.take_in(&events).await?;
            if let Some(last) = events.last() {
                at.sequence = last.sequence;
            }
            if events.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    /// Reads the cases of events as they are now.
    async fn take_in(&self, events: &[Event]) -> Result<(), StorageError> {
        let cases = events
            .iter()
            .map(|event| (event.event.case.clone(), event.event.key.clone()));
        let mut wanted: HashMap<CaseId, AgentKey> = cases.collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let ids: Vec<CaseId> = wanted.keys().cloned().collect();
        let (cases, unreadable) = self.read_cases(&ids).await?;
        for id in unreadable {
            // It stays as it is known, if it is.
            wanted.remove(&id);
        }
        for case in cases {
            wanted.remove(&case.id);
            self.checker.table.put(&case);
        }
        for (id, key) in wanted {
            // Gone from the store: nobody is kept out by it.
            self.checker.table.forget(&key, &id);
        }
        Ok(())
    }

    /// Several cases, and which of them cannot be read back: those must not keep all others from being followed.
    async fn read_cases(&self, ids: &[CaseId]) -> Result<(Vec<Case>, Vec<CaseId>), StorageError> {
        match within(self.cases.cases(ids)).await {
            Ok(cases) => return Ok((cases, Vec::new())),
            Err(StorageError::Damaged { .. }) => {}
            Err(error @ (StorageError::Unavailable { .. } | StorageError::Failed { .. })) => {
                return Err(error);
            }
        }
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        for id in ids {
            match within(self.cases.get(id)).await {
                Ok(case) => found.extend(case),
                Err(error @ StorageError::Damaged { .. }) => {
                    tracing::error!(case = %id, %error, "the gateway check cannot follow a case: it cannot be read back");
                    unreadable.push(id.clone());
                }
                Err(error @ (StorageError::Unavailable { .. } | StorageError::Failed { .. })) => {
                    return Err(error);
                }
            }
        }
        Ok((found, unreadable))
    }

    /// Reads every open case. The place is taken first: what happens meanwhile is read once more, rather than never.
    async fn read_all(&self) -> Result<Place, StorageError> {
        let read_at = Instant::now();
        let sequence = within(self.cases.last_event()).await?;
        let mut draft = self.checker.table.draft();
        let mut before = None;
        loop {
            let filter = CaseFilter {
                open: Some(true),
                before,
                limit: PAGE,
                ..CaseFilter::default()
            };
            let page = within(self.cases.list(&filter)).await?;
            for case in &page {
                draft.put(case);
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => {
                    before = Some((last.opened_at, last.id.clone()));
                }
                Some(_) | None => break,
            }
        }
        self.checker.table.replace(draft);
        Ok(Place { sequence, read_at })
    }

    /// What came of reading.
    fn read(&self, error: Option<&StorageError>) {
        let had_error = self.state.borrow().store_error.is_some();
        match error {
            None if had_error => tracing::info!("the gateway check can read cases again"),
            Some(error) if !had_error => {
                let cause = std::error::Error::source(error);
                tracing::warn!(%error, ?cause, "the gateway check cannot read cases; trying again");
            }
            None | Some(_) => {}
        }
        self.show(error.map(ToString::to_string));
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

/// Waits for the next hint that there are events. Without anybody to give one it waits for ever.
async fn changed(changes: &mut watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The store's answer, if it comes in time.
async fn within<T>(answer: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
    match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(StorageError::Unavailable {
            doing: "following the cases for the gateway check",
            source: format!("no answer within {} s", ANSWER_MAX.as_secs()).into(),
        }),
    }
}
