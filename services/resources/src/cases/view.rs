//! The cases as they should be shown, kept current by the store's follower.

use super::mirror::Office;
use super::table::Table;
use immune_domain::case::Case;
use immune_domain::{AgentKey, CaseId};
use immune_store::StorageError;
use immune_store::follow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Open cases shown at the same time, at most; beyond it the newest are.
const SHOWN_MAX: usize = 10_000;

/// What the one who leads knows of the store.
pub(crate) struct View {
    office: Arc<Office>,
    table: Mutex<Table>,
    /// Until when everything that was saved is known.
    followed_at: Mutex<Option<Instant>>,
    was_whole: AtomicBool,
    /// Whether everything has been read anew since somebody asked.
    is_anew: AtomicBool,
    /// There are news.
    pub heard: Notify,
}

/// A complete reading under way.
pub(crate) struct Reading {
    thought_open: HashMap<CaseId, AgentKey>,
    count: usize,
}

impl View {
    pub fn new(office: Arc<Office>) -> Self {
        let table = Table::new(office.scope.clone(), office.config.keep_closed());
        View {
            office,
            table: Mutex::new(table),
            followed_at: Mutex::new(None),
            was_whole: AtomicBool::new(false),
            is_anew: AtomicBool::new(false),
            heard: Notify::new(),
        }
    }

    /// What there should be and what there is. Never held across an await.
    pub fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every open case has been read at some time.
    pub fn was_whole(&self) -> bool {
        self.was_whole.load(Ordering::Acquire)
    }

    /// Whether everything has been read anew since this was last asked.
    pub fn take_anew(&self) -> bool {
        self.is_anew.swap(false, Ordering::AcqRel)
    }

    /// Whether everything that was saved at this moment is known.
    pub fn knows(&self, at: Instant) -> bool {
        let followed_at = self.followed_at.lock().unwrap_or_else(PoisonError::into_inner);
        followed_at.is_some_and(|followed_at| followed_at > at)
    }

    /// Says whether the store can be read.
    fn report(&self, error: Option<&StorageError>) {
        let error = error.map(ToString::to_string);
        self.office.state.send_if_modified(|state| {
            let is_news = state.store_error != error;
            state.store_error = error;
            is_news
        });
    }
}

impl follow::View for View {
    type Reading = Reading;

    fn begin(&self) -> Reading {
        Reading {
            thought_open: self.table().cases(),
            count: 0,
        }
    }

    async fn put_open(&self, reading: &mut Reading, case: Case) {
        reading.thought_open.remove(&case.id);
        reading.count += 1;
        if reading.count <= SHOWN_MAX {
            self.put(case).await;
        }
    }

    fn missing(&self, reading: &mut Reading) -> HashMap<CaseId, AgentKey> {
        std::mem::take(&mut reading.thought_open)
    }

    async fn complete(&self, reading: Reading) {
        if reading.count > SHOWN_MAX {
            tracing::warn!(
                open = reading.count,
                shown = SHOWN_MAX,
                "not all open cases are shown as AgentCases"
            );
        }
        self.was_whole.store(true, Ordering::Release);
        self.is_anew.store(true, Ordering::Release);
        self.table().mark_all();
        self.heard.notify_one();
    }

    async fn put(&self, case: Case) {
        self.table().want(&case, self.office.timestamp());
        self.heard.notify_one();
    }

    async fn forget(&self, _: &AgentKey, case: &CaseId) {
        self.table().unwant(case);
        self.heard.notify_one();
    }

    fn followed(&self, at: Instant) {
        *self.followed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
        self.report(None);
    }

    fn failed(&self, error: &StorageError) {
        self.report(Some(error));
    }
}
