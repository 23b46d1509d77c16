//! Follows what every replica saves, so that the directory of this one knows all open cases.
//!
//! One task per process reads the store's events, woken by [`CaseStore::changes`] and looking every second anyway,
//! and takes in each event's case as it is then. Every change that matters to the directory (containment, closing,
//! escalation times) comes with an event. What events cannot tell (a store restored from a copy, events purged while
//! this process could not read) is caught by reading all open cases anew now and then.
//!
//! [`CaseStore::changes`]: immune_store::CaseStore::changes

#[cfg(test)]
mod tests;

use crate::desk::Desk;
use immune_domain::case::Case;
use immune_domain::{AgentKey, CaseId};
use immune_store::StorageError;
use immune_store::cases::{CaseFilter, Event, is_unsettled};
use std::collections::HashMap;
use std::future::Future;
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

/// How far the events have been read.
struct Place {
    /// The last event taken in.
    sequence: u64,
    /// When all open cases were read.
    read_at: Instant,
}

/// Runs until the token is cancelled.
pub(crate) async fn run(desk: Arc<Desk>, shutdown: CancellationToken) {
    let following = async {
        let mut changes = desk.store.changes();
        let mut place: Option<Place> = None;
        let mut retry = RETRY_FIRST;
        let mut has_waited = false;
        loop {
            changes.mark_unchanged();
            let began = Instant::now();
            match look(&desk, &mut place, has_waited).await {
                Ok(()) => {
                    if desk.state.borrow().store_error.is_some() {
                        tracing::info!("cases can be read again");
                    }
                    desk.directory.followed(began);
                    desk.metrics.feed_lag.set(0.0);
                    desk.state.send_if_modified(|state| {
                        let now = State {
                            is_loaded: true,
                            store_error: None,
                            feed_lag: Duration::ZERO,
                        };
                        let is_news = *state != now;
                        *state = now;
                        is_news
                    });
                    retry = RETRY_FIRST;
                    has_waited = tokio::time::timeout(LOOK_AGAIN, changed(&mut changes))
                        .await
                        .is_err();
                }
                Err(error) => {
                    failed(&desk, &error);
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY_MAX);
                }
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = following => {}
    }
}

/// Says once that the store cannot be read, and counts how old the news are.
fn failed(desk: &Desk, error: &StorageError) {
    let lag = desk.directory.age().unwrap_or_default();
    if desk.state.borrow().store_error.is_none() {
        let cause = std::error::Error::source(error);
        tracing::warn!(%error, ?cause, "cases cannot be read; trying again");
    }
    desk.metrics.feed_lag.set(lag.as_secs_f64());
    desk.state.send_modify(|state| {
        state.store_error = Some(error.to_string());
        state.feed_lag = lag;
    });
}

/// Waits for the next hint that there are events. Without anybody to give one it waits for ever.
pub(crate) async fn changed(changes: &mut watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Takes in what has happened since `place`; everything where that is not known.
async fn look(desk: &Desk, place: &mut Option<Place>, has_waited: bool) -> Result<(), StorageError> {
    let is_due = |place: &Place| place.read_at.elapsed() < READ_AGAIN;
    let Some(at) = place.as_mut().filter(|place| is_due(place)) else {
        *place = Some(read_all(desk).await?);
        return Ok(());
    };
    if has_waited && within(desk.store.last_event()).await? < at.sequence {
        tracing::warn!(
            after = at.sequence,
            "events have gone back: reading all open cases anew"
        );
        *place = Some(read_all(desk).await?);
        return Ok(());
    }
    loop {
        let events = within(desk.store.events_after(at.sequence, PAGE)).await?;
        take_in(desk, &events).await?;
        if let Some(last) = events.last() {
            at.sequence = last.sequence;
        }
        if events.len() < PAGE as usize {
            return Ok(());
        }
    }
}

/// Reads the cases of events as they are now.
async fn take_in(desk: &Desk, events: &[Event]) -> Result<(), StorageError> {
    let cases = events
        .iter()
        .map(|event| (event.event.case.clone(), event.event.key.clone()));
    let cases: HashMap<CaseId, AgentKey> = cases.collect();
    if cases.is_empty() {
        return Ok(());
    }
    take_in_cases(desk, cases).await
}

async fn take_in_cases(desk: &Desk, mut wanted: HashMap<CaseId, AgentKey>) -> Result<(), StorageError> {
    let ids: Vec<CaseId> = wanted.keys().cloned().collect();
    for ids in ids.chunks(PAGE as usize) {
        let (cases, unreadable) = cases(desk, ids).await?;
        for id in unreadable {
            // It stays as it is known, if it is.
            wanted.remove(&id);
        }
        for case in cases {
            wanted.remove(&case.id);
            desk.directory.put(&case);
            if is_unsettled(&case) {
                desk.levers_wanted.notify_one();
            }
        }
    }
    for (id, key) in wanted {
        // Gone from the store: nobody is kept out by it.
        desk.directory.forget(&key, &id);
    }
    Ok(())
}

/// Several cases, and which of them cannot be read back: those must not keep all others from being followed.
async fn cases(desk: &Desk, ids: &[CaseId]) -> Result<(Vec<Case>, Vec<CaseId>), StorageError> {
    match within(desk.store.cases(ids)).await {
        Ok(cases) => return Ok((cases, Vec::new())),
        Err(StorageError::Damaged { .. }) => {}
        Err(error @ (StorageError::Unavailable { .. } | StorageError::Failed { .. })) => return Err(error),
    }
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for id in ids {
        match within(desk.store.get(id)).await {
            Ok(case) => found.extend(case),
            Err(error @ StorageError::Damaged { .. }) => {
                let cause = std::error::Error::source(&error);
                tracing::error!(case = %id, %error, ?cause, "a case cannot be read back and is not followed");
                unreadable.push(id.clone());
            }
            Err(error @ (StorageError::Unavailable { .. } | StorageError::Failed { .. })) => {
                return Err(error);
            }
        }
    }
    Ok((found, unreadable))
}

/// Reads every open case, and what became of those that were thought to be open. The place is taken first: what
/// happens meanwhile is read once more, rather than never.
async fn read_all(desk: &Desk) -> Result<Place, StorageError> {
    let read_at = Instant::now();
    let sequence = within(desk.store.last_event()).await?;
    let mut thought_open = desk.directory.open_cases();
    let mut before = None;
    loop {
        let filter = CaseFilter {
            open: Some(true),
            before,
            limit: PAGE,
            ..CaseFilter::default()
        };
        let page = within(desk.store.list(&filter)).await?;
        for case in &page {
            thought_open.remove(&case.id);
            desk.directory.put(case);
        }
        match page.last() {
            Some(last) if page.len() == PAGE as usize => {
                before = Some((last.opened_at, last.id.clone()));
            }
            Some(_) | None => break,
        }
    }
    take_in_cases(desk, thought_open).await?;
    desk.levers_wanted.notify_one();
    Ok(Place { sequence, read_at })
}

/// The store's answer, if it comes in time.
async fn within<T>(answer: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
    match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(StorageError::Unavailable {
            doing: "following the cases",
            source: format!("no answer within {} s", ANSWER_MAX.as_secs()).into(),
        }),
    }
}
