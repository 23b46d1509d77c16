//! Injected faults: a store that sometimes fails before it acts, and sometimes acts and loses the answer. For tests
//! of those who use a store; the same seed fails at the same calls.

use crate::Stores;
use crate::access::{AccessStore, Added, Ending, SecretHash, Session, StoredKey};
use crate::cases::{Alongside, CaseFilter, CaseStore, CaseTotals, Event, Opened, Saved};
use crate::error::{Result, StorageError};
use crate::healings::{HealingFilter, HealingStore, HealingTotals};
use async_trait::async_trait;
use immune_domain::case::Case;
use immune_domain::diagnosis::Diagnosis;
use immune_domain::healing::{Action, Healing};
use immune_domain::memory::{Memory, Pin};
use immune_domain::{AgentKey, CaseId, HealingId, InfectionId, RunId, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Decides which calls fail.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    per_thousand: AtomicU32,
    calls: AtomicU64,
    injected: AtomicU64,
}

enum Fate {
    Fine,
    FailsBefore,
    FailsAfter,
}

impl Faults {
    /// Faults in so many of a thousand calls, half of them after the call has taken effect.
    pub fn new(seed: u64, per_thousand: u32) -> Arc<Faults> {
        Arc::new(Faults {
            seed,
            per_thousand: AtomicU32::new(per_thousand),
            calls: AtomicU64::new(0),
            injected: AtomicU64::new(0),
        })
    }

    /// Changes how many of a thousand calls fail; 0 ends the trouble.
    pub fn set_per_thousand(&self, per_thousand: u32) {
        self.per_thousand.store(per_thousand, Ordering::SeqCst);
    }

    /// Faults so far.
    pub fn injected(&self) -> u64 {
        self.injected.load(Ordering::SeqCst)
    }

    fn fate(&self) -> Fate {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let chance = mixed(self.seed.wrapping_add(call.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        if chance % 1_000 >= u64::from(self.per_thousand.load(Ordering::SeqCst)) {
            return Fate::Fine;
        }
        self.injected.fetch_add(1, Ordering::SeqCst);
        if chance >> 63 == 0 {
            Fate::FailsBefore
        } else {
            Fate::FailsAfter
        }
    }

    async fn around<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let fault = |source: &'static str| StorageError::Unavailable {
            doing: "injecting a fault",
            source: source.into(),
        };
        match self.fate() {
            Fate::Fine => call.await,
            Fate::FailsBefore => Err(fault("failed before the call")),
            Fate::FailsAfter => {
                call.await?;
                Err(fault("the call took effect, its answer is lost"))
            }
        }
    }
}

/// The finalizer of splitmix64 (public domain, Sebastiano Vigna).
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Stores whose cases, healings, keys and sessions fail now and then.
pub fn with_faults(stores: Stores, faults: &Arc<Faults>) -> Stores {
    Stores {
        cases: Arc::new(FaultyCases {
            inner: stores.cases,
            faults: faults.clone(),
        }),
        healings: Arc::new(FaultyHealings {
            inner: stores.healings,
            faults: faults.clone(),
        }),
        access: Arc::new(FaultyAccess {
            inner: stores.access,
            faults: faults.clone(),
        }),
        ..stores
    }
}

struct FaultyAccess {
    inner: Arc<dyn AccessStore>,
    faults: Arc<Faults>,
}

#[async_trait]
impl AccessStore for FaultyAccess {
    async fn add_key(&self, key: &StoredKey, first: bool) -> Result<Added> {
        self.faults.around(self.inner.add_key(key, first)).await
    }

    async fn keys(&self) -> Result<Vec<StoredKey>> {
        self.faults.around(self.inner.keys()).await
    }

    async fn revoke_key(&self, id: &str, at: Timestamp, by: &str) -> Result<bool> {
        self.faults.around(self.inner.revoke_key(id, at, by)).await
    }

    async fn keys_used(&self, uses: &[(String, Timestamp)]) -> Result<()> {
        self.faults.around(self.inner.keys_used(uses)).await
    }

    async fn put_session(&self, session: &Session) -> Result<()> {
        self.faults.around(self.inner.put_session(session)).await
    }

    async fn session(&self, hash: &SecretHash) -> Result<Option<Session>> {
        self.faults.around(self.inner.session(hash)).await
    }

    async fn session_seen(&self, hash: &SecretHash, at: Timestamp) -> Result<()> {
        self.faults.around(self.inner.session_seen(hash, at)).await
    }

    async fn end_sessions(&self, ending: &Ending) -> Result<u64> {
        self.faults.around(self.inner.end_sessions(ending)).await
    }

    async fn shared_secret(&self, name: &str, proposed: &[u8; 32]) -> Result<[u8; 32]> {
        self.faults.around(self.inner.shared_secret(name, proposed)).await
    }

    async fn purge_access(&self, before: Timestamp) -> Result<u64> {
        self.faults.around(self.inner.purge_access(before)).await
    }
}

struct FaultyCases {
    inner: Arc<dyn CaseStore>,
    faults: Arc<Faults>,
}

#[async_trait]
impl CaseStore for FaultyCases {
    async fn open_case(&self, case: &Case, contained_max: u32, alongside: &Alongside) -> Result<Opened> {
        self.faults
            .around(self.inner.open_case(case, contained_max, alongside))
            .await
    }

    async fn save_case(&self, case: &Case, expected_version: u64, alongside: &Alongside) -> Result<Saved> {
        self.faults
            .around(self.inner.save_case(case, expected_version, alongside))
            .await
    }

    async fn get(&self, id: &CaseId) -> Result<Option<Case>> {
        self.faults.around(self.inner.get(id)).await
    }

    async fn cases(&self, ids: &[CaseId]) -> Result<Vec<Case>> {
        self.faults.around(self.inner.cases(ids)).await
    }

    async fn open_case_of(&self, key: &AgentKey) -> Result<Option<Case>> {
        self.faults.around(self.inner.open_case_of(key)).await
    }

    async fn case_of_infection(&self, infection: &InfectionId) -> Result<Option<Case>> {
        self.faults.around(self.inner.case_of_infection(infection)).await
    }

    async fn list(&self, filter: &CaseFilter) -> Result<Vec<Case>> {
        self.faults.around(self.inner.list(filter)).await
    }

    async fn claimable(&self, now: Timestamp, limit: u32) -> Result<Vec<Case>> {
        self.faults.around(self.inner.claimable(now, limit)).await
    }

    async fn claim_unsettled(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Case>> {
        self.faults
            .around(self.inner.claim_unsettled(worker, now, until, limit))
            .await
    }

    async fn unclaim(&self, worker: &str) -> Result<()> {
        self.faults.around(self.inner.unclaim(worker)).await
    }

    fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.changes()
    }

    async fn totals(&self, run: &RunId) -> Result<CaseTotals> {
        self.faults.around(self.inner.totals(run)).await
    }

    async fn events_after(&self, sequence: u64, limit: u32) -> Result<Vec<Event>> {
        self.faults.around(self.inner.events_after(sequence, limit)).await
    }

    async fn last_event(&self) -> Result<u64> {
        self.faults.around(self.inner.last_event()).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        self.faults.around(self.inner.purge(before)).await
    }

    async fn purge_events(&self, before: Timestamp) -> Result<u64> {
        self.faults.around(self.inner.purge_events(before)).await
    }
}

struct FaultyHealings {
    inner: Arc<dyn HealingStore>,
    faults: Arc<Faults>,
}

#[async_trait]
impl HealingStore for FaultyHealings {
    async fn begin(&self, healing: &Healing) -> Result<()> {
        self.faults.around(self.inner.begin(healing)).await
    }

    async fn finish(&self, healing: &Healing) -> Result<bool> {
        self.faults.around(self.inner.finish(healing)).await
    }

    async fn get(&self, id: &HealingId) -> Result<Option<Healing>> {
        self.faults.around(self.inner.get(id)).await
    }

    async fn list(&self, filter: &HealingFilter) -> Result<Vec<Healing>> {
        self.faults.around(self.inner.list(filter)).await
    }

    async fn memories(&self, key: &AgentKey, diagnosis: Diagnosis) -> Result<Vec<Memory>> {
        self.faults.around(self.inner.memories(key, diagnosis)).await
    }

    async fn all_memories(&self, run: &RunId, limit: u32) -> Result<Vec<Memory>> {
        self.faults.around(self.inner.all_memories(run, limit)).await
    }

    async fn pin(
        &self,
        key: &AgentKey,
        diagnosis: Diagnosis,
        action: Action,
        pin: Option<Pin>,
        now: Timestamp,
    ) -> Result<()> {
        self.faults
            .around(self.inner.pin(key, diagnosis, action, pin, now))
            .await
    }

    async fn forget(&self, key: &AgentKey, diagnosis: Diagnosis, action: Option<Action>) -> Result<u64> {
        self.faults
            .around(self.inner.forget(key, diagnosis, action))
            .await
    }

    async fn totals(&self, run: &RunId) -> Result<HealingTotals> {
        self.faults.around(self.inner.totals(run)).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        self.faults.around(self.inner.purge(before)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::samples::{agent, at, healing, succeeded, with_outcome};
    use crate::memory;

    /// Scenario: a healer repeats each call until it is answered, while a third of the calls fail.
    /// Guarantees: faults come, the same seed brings the same number, and repeating counts nothing twice.
    #[tokio::test]
    async fn repeated_calls_come_through() {
        let mut injected = Vec::new();
        for _ in 0..2 {
            let faults = Faults::new(7, 333);
            let stores = with_faults(memory::stores(), &faults);
            for n in 0..100 {
                let one = healing(&agent("a"), &format!("h{n}"), at(n));
                while stores.healings.begin(&one).await.is_err() {}
                while stores
                    .healings
                    .finish(&with_outcome(&one, succeeded(at(n))))
                    .await
                    .is_err()
                {}
            }
            injected.push(faults.injected());
            faults.set_per_thousand(0);
            assert_eq!(
                stores.healings.totals(&agent("a").run).await.unwrap().succeeded,
                100
            );
        }
        assert!(injected[0] > 30 && injected[0] == injected[1], "{injected:?}");
    }
}
