//! A way to a store on which news do not arrive, while everything else works: events cannot be read, and may not be
//! woken for. Or nothing works at all; or it is another store from now on, as after a restored copy.

use immune_domain::case::Case;
use immune_domain::{AgentKey, CaseId, InfectionId, RunId, Timestamp};
use immune_store::cases::{Alongside, CaseFilter, CaseStore, CaseTotals, Event, Opened, Saved};
use immune_store::error::Result;
use immune_store::{StorageError, Stores};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// What does not work.
#[derive(Default)]
pub struct Broken {
    pub feed: AtomicBool,
    pub all: AtomicBool,
    other: Mutex<Option<Arc<dyn CaseStore>>>,
}

impl Broken {
    /// From now on, another store is there.
    pub fn exchange(&self, store: &Arc<dyn CaseStore>) {
        *self.other.lock().unwrap() = Some(store.clone());
    }

    fn check(&self, is_feed: bool) -> Result<()> {
        let is_broken = self.all.load(Ordering::SeqCst) || (is_feed && self.feed.load(Ordering::SeqCst));
        match is_broken {
            true => Err(StorageError::Unavailable {
                doing: "reaching the store",
                source: "the connection is cut".into(),
            }),
            false => Ok(()),
        }
    }
}

struct Deaf {
    inner: Arc<dyn CaseStore>,
    broken: Arc<Broken>,
    no_changes: watch::Sender<u64>,
}

impl Deaf {
    fn inner(&self) -> Arc<dyn CaseStore> {
        let other = self.broken.other.lock().unwrap().clone();
        other.unwrap_or_else(|| self.inner.clone())
    }
}

/// The stores, with cases reached as `broken` allows.
pub fn deaf(stores: &Stores, broken: &Arc<Broken>) -> Stores {
    Stores {
        cases: Arc::new(Deaf {
            inner: stores.cases.clone(),
            broken: broken.clone(),
            no_changes: watch::Sender::new(0),
        }),
        ..stores.clone()
    }
}

#[tonic::async_trait]
impl CaseStore for Deaf {
    async fn open_case(&self, case: &Case, contained_max: u32, alongside: &Alongside) -> Result<Opened> {
        self.broken.check(false)?;
        self.inner().open_case(case, contained_max, alongside).await
    }

    async fn save_case(&self, case: &Case, expected_version: u64, alongside: &Alongside) -> Result<Saved> {
        self.broken.check(false)?;
        self.inner().save_case(case, expected_version, alongside).await
    }

    async fn get(&self, id: &CaseId) -> Result<Option<Case>> {
        self.broken.check(false)?;
        self.inner().get(id).await
    }

    async fn cases(&self, ids: &[CaseId]) -> Result<Vec<Case>> {
        self.broken.check(false)?;
        self.inner().cases(ids).await
    }

    async fn open_case_of(&self, key: &AgentKey) -> Result<Option<Case>> {
        self.broken.check(false)?;
        self.inner().open_case_of(key).await
    }

    async fn case_of_infection(&self, infection: &InfectionId) -> Result<Option<Case>> {
        self.broken.check(false)?;
        self.inner().case_of_infection(infection).await
    }

    async fn list(&self, filter: &CaseFilter) -> Result<Vec<Case>> {
        self.broken.check(false)?;
        self.inner().list(filter).await
    }

    async fn claimable(&self, now: Timestamp, limit: u32) -> Result<Vec<Case>> {
        self.broken.check(false)?;
        self.inner().claimable(now, limit).await
    }

    async fn claim_unsettled(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Case>> {
        self.broken.check(false)?;
        self.inner().claim_unsettled(worker, now, until, limit).await
    }

    async fn unclaim(&self, worker: &str) -> Result<()> {
        self.broken.check(false)?;
        self.inner().unclaim(worker).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.no_changes.subscribe()
    }

    async fn totals(&self, run: &RunId) -> Result<CaseTotals> {
        self.broken.check(false)?;
        self.inner().totals(run).await
    }

    async fn events_after(&self, sequence: u64, limit: u32) -> Result<Vec<Event>> {
        self.broken.check(true)?;
        self.inner().events_after(sequence, limit).await
    }

    async fn last_event(&self) -> Result<u64> {
        self.broken.check(true)?;
        self.inner().last_event().await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        self.broken.check(false)?;
        self.inner().purge(before).await
    }

    async fn purge_events(&self, before: Timestamp) -> Result<u64> {
        self.broken.check(false)?;
        self.inner().purge_events(before).await
    }
}
