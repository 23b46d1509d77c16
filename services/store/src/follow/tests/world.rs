//! A store that can be away, silent, damaged or another one, and a view that compares as a mirror does.

use crate::cases::{Alongside, CaseFilter, CaseStore, CaseTotals, Event, Opened, Saved};
use crate::conformance::samples::{agent, alongside, case};
use crate::error::{Result, StorageError};
use crate::follow::{Follower, Pace, View};
use crate::memory;
use async_trait::async_trait;
use immune_domain::case::Case;
use immune_domain::{AgentKey, CaseId, InfectionId, RunId, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The in-memory store, and what is wrong with the way to it.
pub(super) struct Store {
    inner: Mutex<Arc<dyn CaseStore>>,
    /// Wakes come from here alone, so that all may be missed.
    pub(super) wakes: watch::Sender<u64>,
    pub(super) is_away: AtomicBool,
    pub(super) hangs: AtomicBool,
    pub(super) damaged: Mutex<HashSet<CaseId>>,
}

impl Store {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Store {
            inner: Mutex::new(memory::stores().cases),
            wakes: watch::Sender::new(0),
            is_away: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            damaged: Mutex::default(),
        })
    }

    /// The store itself, on a way where nothing is wrong.
    pub(super) fn inner(&self) -> Arc<dyn CaseStore> {
        self.inner.lock().unwrap().clone()
    }

    /// From now on another store is there, as after a restored copy.
    pub(super) fn exchange(&self, other: Arc<dyn CaseStore>) {
        *self.inner.lock().unwrap() = other;
    }

    async fn reached(&self) -> Result<Arc<dyn CaseStore>> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        match self.is_away.load(Ordering::SeqCst) {
            true => Err(StorageError::Unavailable {
                doing: "reaching the store",
                source: "the connection is cut".into(),
            }),
            false => Ok(self.inner()),
        }
    }

    fn check(&self, id: &CaseId) -> Result<()> {
        match self.damaged.lock().unwrap().contains(id) {
            true => Err(StorageError::damaged("case", id, "not a case")),
            false => Ok(()),
        }
    }
}

const ONLY_READS: &str = "a follower only reads events and cases";

#[async_trait]
impl CaseStore for Store {
    async fn get(&self, id: &CaseId) -> Result<Option<Case>> {
        self.check(id)?;
        self.reached().await?.get(id).await
    }

    async fn cases(&self, ids: &[CaseId]) -> Result<Vec<Case>> {
        ids.iter().try_for_each(|id| self.check(id))?;
        self.reached().await?.cases(ids).await
    }

    async fn list(&self, filter: &CaseFilter) -> Result<Vec<Case>> {
        self.reached().await?.list(filter).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.wakes.subscribe()
    }

    async fn events_after(&self, sequence: u64, limit: u32) -> Result<Vec<Event>> {
        self.reached().await?.events_after(sequence, limit).await
    }

    async fn last_event(&self) -> Result<u64> {
        self.reached().await?.last_event().await
    }

    async fn open_case(&self, _: &Case, _: u32, _: &Alongside) -> Result<Opened> {
        unreachable!("{ONLY_READS}")
    }

    async fn save_case(&self, _: &Case, _: u64, _: &Alongside) -> Result<Saved> {
        unreachable!("{ONLY_READS}")
    }

    async fn open_case_of(&self, _: &AgentKey) -> Result<Option<Case>> {
        unreachable!("{ONLY_READS}")
    }

    async fn case_of_infection(&self, _: &InfectionId) -> Result<Option<Case>> {
        unreachable!("{ONLY_READS}")
    }

    async fn claimable(&self, _: Timestamp, _: u32) -> Result<Vec<Case>> {
        unreachable!("{ONLY_READS}")
    }

    async fn claim_unsettled(&self, _: &str, _: Timestamp, _: Timestamp, _: u32) -> Result<Vec<Case>> {
        unreachable!("{ONLY_READS}")
    }

    async fn unclaim(&self, _: &str) -> Result<()> {
        unreachable!("{ONLY_READS}")
    }

    async fn totals(&self, _: &RunId) -> Result<CaseTotals> {
        unreachable!("{ONLY_READS}")
    }

    async fn purge(&self, _: Timestamp) -> Result<u64> {
        unreachable!("{ONLY_READS}")
    }

    async fn purge_events(&self, _: Timestamp) -> Result<u64> {
        unreachable!("{ONLY_READS}")
    }
}

/// Opens a case of an agent of its own, with an event.
pub(super) async fn open(store: &Arc<dyn CaseStore>, id: &str, at: Timestamp) -> Case {
    let case = case(&agent(&format!("agent-of-{id}")), id, at);
    let opened = store
        .open_case(&case, u32::MAX, &alongside(&case, "case_opened"))
        .await;
    assert_eq!(opened.unwrap(), Opened::New);
    case
}

/// Saves the next version of a case.
pub(super) async fn save(store: &Arc<dyn CaseStore>, next: &Case, alongside: &Alongside) {
    let saved = store.save_case(next, next.version - 1, alongside).await;
    assert_eq!(saved.unwrap(), Saved::Done);
}

/// For ever, as far as a test goes.
pub(super) const NEVER: Duration = Duration::from_secs(3_600);

/// Looks often and reads everything once; answers may take long on a busy machine.
pub(super) const BRISK: Pace = Pace {
    look_again: Duration::from_millis(20),
    read_again: NEVER,
    answer_max: Duration::from_secs(20),
    retry_first: Duration::from_millis(5),
    retry_max: Duration::from_millis(20),
};

/// What the follower has told. Every method that may wait does.
#[derive(Default)]
pub(super) struct Mirror {
    pub(super) known: Mutex<HashMap<CaseId, Case>>,
    /// Complete readings that began and ended.
    pub(super) begun: Mutex<u32>,
    pub(super) completed: Mutex<u32>,
    pub(super) followed: Mutex<Vec<Instant>>,
    /// When reading failed, and how.
    pub(super) failed: Mutex<Vec<(Instant, String)>>,
}

impl Mirror {
    /// The version that is known of a case.
    pub(super) fn version(&self, id: &str) -> Option<u64> {
        let known = self.known.lock().unwrap();
        known.get(&CaseId::new(id)).map(|case| case.version)
    }

    async fn take(&self, case: Case) {
        tokio::task::yield_now().await;
        self.known.lock().unwrap().insert(case.id.clone(), case);
    }
}

impl View for Mirror {
    type Reading = HashMap<CaseId, AgentKey>;

    fn begin(&self) -> Self::Reading {
        *self.begun.lock().unwrap() += 1;
        let known = self.known.lock().unwrap();
        let open = known.values().filter(|case| !case.state.is_closed());
        open.map(|case| (case.id.clone(), case.key.clone())).collect()
    }

    async fn put_open(&self, thought_open: &mut Self::Reading, case: Case) {
        thought_open.remove(&case.id);
        self.take(case).await;
    }

    fn missing(&self, thought_open: &mut Self::Reading) -> HashMap<CaseId, AgentKey> {
        std::mem::take(thought_open)
    }

    async fn complete(&self, read: Self::Reading) {
        assert!(read.is_empty());
        tokio::task::yield_now().await;
        *self.completed.lock().unwrap() += 1;
    }

    async fn put(&self, case: Case) {
        self.take(case).await;
    }

    async fn forget(&self, key: &AgentKey, case: &CaseId) {
        tokio::task::yield_now().await;
        let gone = self.known.lock().unwrap().remove(case);
        assert!(gone.is_none_or(|gone| gone.key == *key));
    }

    fn followed(&self, at: Instant) {
        self.followed.lock().unwrap().push(at);
    }

    fn failed(&self, error: &StorageError) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        let words = format!("{error}: {}", cause.unwrap_or_default());
        self.failed.lock().unwrap().push((Instant::now(), words));
    }
}

/// A follower at work.
pub(super) struct World {
    pub(super) store: Arc<Store>,
    pub(super) mirror: Arc<Mirror>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    pub(super) fn start(store: Arc<Store>, pace: Pace) -> Self {
        let mirror = Arc::new(Mirror::default());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn({
            let (store, mirror, shutdown) = (store.clone(), mirror.clone(), shutdown.clone());
            async move {
                let (cases, view) = (&*store as &dyn CaseStore, &*mirror);
                let doing = "following the cases for a test";
                Follower {
                    cases,
                    view,
                    doing,
                    pace,
                }
                .run(shutdown)
                .await;
            }
        });
        World {
            store,
            mirror,
            shutdown,
            task,
        }
    }

    /// Starts on an empty store, read once.
    pub(super) async fn started(pace: Pace) -> Self {
        let world = World::start(Store::new(), pace);
        let mirror = world.mirror.clone();
        until("the first reading", || *mirror.completed.lock().unwrap() == 1).await;
        world
    }

    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(1), self.task).await;
        ended.expect("it ends at once").expect("it did not panic");
    }
}

/// Waits for a condition.
pub(super) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}: not in 30 s");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
