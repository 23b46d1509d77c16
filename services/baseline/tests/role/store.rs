//! A store of profiles that is slow, fails before it acts, or acts and loses the answer.

use crate::crashes::Chance;
use immune_domain::{AgentKey, RunId};
use immune_store::action_log::LogRow;
use immune_store::baselines::{Put, StoredProfile, Tenure};
use immune_store::memory::MemoryBaselines;
use immune_store::{BaselineStore, StorageError};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

type Result<T> = std::result::Result<T, StorageError>;

/// The store, with trouble in so many of a thousand calls.
pub struct Troubled {
    pub inner: MemoryBaselines,
    pub per_thousand: AtomicU64,
    pub puts: AtomicU64,
    chance: Mutex<Chance>,
}

impl Troubled {
    pub fn new(seed: u64, per_thousand: u64) -> Self {
        Troubled {
            inner: MemoryBaselines::default(),
            per_thousand: AtomicU64::new(per_thousand),
            puts: AtomicU64::new(0),
            chance: Mutex::new(Chance::new(seed)),
        }
    }

    /// The store is away, or back.
    pub fn set_away(&self, is_away: bool) {
        self.per_thousand
            .store(if is_away { 1_000 } else { 0 }, Ordering::SeqCst);
    }

    async fn around<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let away = |word: &'static str| StorageError::Unavailable {
            doing: "being troubled by the test",
            source: word.into(),
        };
        let trouble = self.per_thousand.load(Ordering::SeqCst);
        let (fate, before, after) = {
            let mut chance = self.chance.lock().unwrap();
            (chance.below(1_000), chance.below(3), chance.below(3))
        };
        if trouble == 0 {
            return call.await;
        }
        tokio::time::sleep(Duration::from_millis(before)).await;
        if trouble >= 1_000 || fate < trouble / 2 {
            return Err(away("failed before"));
        }
        let done = call.await?;
        tokio::time::sleep(Duration::from_millis(after)).await;
        if fate < trouble {
            return Err(away("done, the answer is lost"));
        }
        Ok(done)
    }
}

#[tonic::async_trait]
impl BaselineStore for Troubled {
    async fn take_over(&self, partition: u16) -> Result<Tenure> {
        self.around(self.inner.take_over(partition)).await
    }

    async fn put_with(&self, batch: &[StoredProfile], tenures: &[Tenure], rows: &[LogRow]) -> Result<Put> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.around(self.inner.put_with(batch, tenures, rows)).await
    }

    async fn get(&self, key: &AgentKey) -> Result<Option<StoredProfile>> {
        self.inner.get(key).await
    }

    async fn page(&self, after: Option<&AgentKey>, limit: u32) -> Result<Vec<StoredProfile>> {
        self.around(self.inner.page(after, limit)).await
    }

    async fn count_ready(&self, run: &RunId) -> Result<u64> {
        self.inner.count_ready(run).await
    }
}
