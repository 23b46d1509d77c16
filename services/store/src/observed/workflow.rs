//! Cases, healings and the action log, watched.

use super::Watched;
use crate::action_log::{ActionLog, Chain, LogFilter, LogRow, StoredRow};
use crate::cases::{Alongside, CaseFilter, CaseStore, CaseTotals, Event, Opened, Saved};
use crate::error::Result;
use crate::healings::{HealingFilter, HealingStore, HealingTotals};
use async_trait::async_trait;
use immune_domain::case::Case;
use immune_domain::diagnosis::Diagnosis;
use immune_domain::healing::{Action, Healing};
use immune_domain::memory::{Memory, Pin};
use immune_domain::{AgentKey, CaseId, HealingId, InfectionId, RunId, Timestamp};
use tokio::sync::watch;

impl Watched<dyn CaseStore> {
    fn tell(&self, case: &Case, alongside: &Alongside) {
        self.observer.case(case, &alongside.events);
        if !alongside.log.is_empty() {
            self.observer.log(&alongside.log);
        }
    }
}

#[async_trait]
impl CaseStore for Watched<dyn CaseStore> {
    async fn open_case(&self, case: &Case, contained_max: u32, alongside: &Alongside) -> Result<Opened> {
        let opened = self.inner.open_case(case, contained_max, alongside).await?;
        match &opened {
            Opened::New => self.tell(case, alongside),
            Opened::AlreadyOpen(_) | Opened::AlreadyReported(_) | Opened::Crowded(_) => {}
        }
        Ok(opened)
    }

    async fn save_case(&self, case: &Case, expected_version: u64, alongside: &Alongside) -> Result<Saved> {
        let saved = self.inner.save_case(case, expected_version, alongside).await?;
        match &saved {
            Saved::Done => self.tell(case, alongside),
            Saved::Conflict(_) | Saved::Missing => {}
        }
        Ok(saved)
    }

    async fn get(&self, id: &CaseId) -> Result<Option<Case>> {
        self.inner.get(id).await
    }

    async fn cases(&self, ids: &[CaseId]) -> Result<Vec<Case>> {
        self.inner.cases(ids).await
    }

    async fn open_case_of(&self, key: &AgentKey) -> Result<Option<Case>> {
        self.inner.open_case_of(key).await
    }

    async fn case_of_infection(&self, infection: &InfectionId) -> Result<Option<Case>> {
        self.inner.case_of_infection(infection).await
    }

    async fn list(&self, filter: &CaseFilter) -> Result<Vec<Case>> {
        self.inner.list(filter).await
    }

    async fn claimable(&self, now: Timestamp, limit: u32) -> Result<Vec<Case>> {
        self.inner.claimable(now, limit).await
    }

    async fn claim_unsettled(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Case>> {
        self.inner.claim_unsettled(worker, now, until, limit).await
    }

    async fn unclaim(&self, worker: &str) -> Result<()> {
        self.inner.unclaim(worker).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes()
    }

    async fn totals(&self, run: &RunId) -> Result<CaseTotals> {
        self.inner.totals(run).await
    }

    async fn events_after(&self, sequence: u64, limit: u32) -> Result<Vec<Event>> {
        self.inner.events_after(sequence, limit).await
    }

    async fn last_event(&self) -> Result<u64> {
        self.inner.last_event().await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        self.inner.purge(before).await
    }

    async fn purge_events(&self, before: Timestamp) -> Result<u64> {
        self.inner.purge_events(before).await
    }
}

#[async_trait]
impl HealingStore for Watched<dyn HealingStore> {
    async fn begin(&self, healing: &Healing) -> Result<()> {
        self.inner.begin(healing).await?;
        self.observer.healing(healing);
        Ok(())
    }

    async fn finish(&self, healing: &Healing) -> Result<bool> {
        let is_changed = self.inner.finish(healing).await?;
        if is_changed {
            self.observer.healing(healing);
        }
        Ok(is_changed)
    }

    async fn get(&self, id: &HealingId) -> Result<Option<Healing>> {
        self.inner.get(id).await
    }

    async fn list(&self, filter: &HealingFilter) -> Result<Vec<Healing>> {
        self.inner.list(filter).await
    }

    async fn memories(&self, key: &AgentKey, diagnosis: Diagnosis) -> Result<Vec<Memory>> {
        self.inner.memories(key, diagnosis).await
    }

    async fn all_memories(&self, run: &RunId, limit: u32) -> Result<Vec<Memory>> {
        self.inner.all_memories(run, limit).await
    }

    async fn pin(
        &self,
        key: &AgentKey,
        diagnosis: Diagnosis,
        action: Action,
        pin: Option<Pin>,
        now: Timestamp,
    ) -> Result<()> {
        self.inner.pin(key, diagnosis, action, pin, now).await
    }

    async fn forget(&self, key: &AgentKey, diagnosis: Diagnosis, action: Option<Action>) -> Result<u64> {
        self.inner.forget(key, diagnosis, action).await
    }

    async fn totals(&self, run: &RunId) -> Result<HealingTotals> {
        self.inner.totals(run).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        self.inner.purge(before).await
    }
}

#[async_trait]
impl ActionLog for Watched<dyn ActionLog> {
    async fn append(&self, rows: &[LogRow]) -> Result<()> {
        self.inner.append(rows).await?;
        if !rows.is_empty() {
            self.observer.log(rows);
        }
        Ok(())
    }

    async fn list(&self, run: &RunId, filter: &LogFilter) -> Result<Vec<StoredRow>> {
        self.inner.list(run, filter).await
    }

    async fn after(&self, sequence: u64, limit: u32) -> Result<Vec<StoredRow>> {
        self.inner.after(sequence, limit).await
    }

    async fn chain(&self) -> Result<Chain> {
        self.inner.chain().await
    }

    async fn purge(&self, before: Timestamp, now: Timestamp) -> Result<u64> {
        self.inner.purge(before, now).await
    }
}

#[cfg(test)]
mod tests {
    use crate::baselines::{StoredProfile, Tenure};
    use crate::cases::{NewEvent, Saved};
    use crate::conformance::samples::{agent, alongside, at, case, healing, profile, row, vitals};
    use crate::conformance::samples::{released, succeeded, with_outcome};
    use crate::memory;
    use crate::observed::{Observer, observe};
    use immune_domain::case::Case;
    use immune_domain::healing::Healing;
    use immune_domain::vitals::Vitals;
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct Ear(Mutex<Vec<String>>);

    impl Ear {
        fn hear(&self, what: String) {
            self.0.lock().unwrap().push(what);
        }

        fn heard(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl Observer for Ear {
        fn vitals(&self, batch: &[Vitals]) {
            self.hear(format!("{} vitals", batch.len()));
        }

        fn profiles(&self, batch: &[StoredProfile]) {
            self.hear(format!("{} profiles", batch.len()));
        }

        fn case(&self, case: &Case, events: &[NewEvent]) {
            self.hear(format!("case v{} with {} events", case.version, events.len()));
        }

        fn healing(&self, healing: &Healing) {
            self.hear(format!("healing {}", healing.id));
        }

        fn log(&self, rows: &[crate::action_log::LogRow]) {
            self.hear(format!("{} rows", rows.len()));
        }
    }

    /// Scenario: each kind of write succeeds, and each kind of conditional write is answered with "no".
    /// Guarantees: the observer hears of what was stored, of rows and events written alongside, and of nothing else.
    #[tokio::test]
    async fn only_what_was_stored_is_told() {
        let ear = Arc::new(Ear::default());
        let stores = observe(memory::stores(), ear.clone());
        let key = agent("a");

        stores.vitals.append(&[vitals(&key, "e", at(1))]).await.unwrap();
        stores.vitals.append(&[]).await.unwrap();
        assert_eq!(ear.heard(), ["1 vitals"]);

        let tenure = stores.baselines.take_over(3).await.unwrap();
        let late = Tenure {
            fence: 0,
            ..tenure.clone()
        };
        stores
            .baselines
            .put(&[profile(&key, 1)], &[tenure])
            .await
            .unwrap();
        stores.baselines.put(&[profile(&key, 2)], &[late]).await.unwrap();
        assert_eq!(ear.heard(), ["1 profiles"]);

        let first = case(&key, "c", at(1));
        let beside = alongside(&first, "case_opened");
        stores.cases.open_case(&first, 10, &beside).await.unwrap();
        assert_eq!(ear.heard(), ["case v1 with 1 events", "1 rows"]);
        stores.cases.open_case(&first, 10, &beside).await.unwrap();
        assert_eq!(ear.heard(), Vec::<String>::new());
        let next = released(&first, at(2));
        stores
            .cases
            .save_case(&next, 1, &Default::default())
            .await
            .unwrap();
        assert_eq!(ear.heard(), ["case v2 with 0 events"]);
        let saved = stores.cases.save_case(&next, 1, &beside).await.unwrap();
        assert!(matches!(saved, Saved::Conflict(_)));
        assert_eq!(ear.heard(), Vec::<String>::new());

        let attempt = healing(&key, "h", at(1));
        stores.healings.begin(&attempt).await.unwrap();
        let done = with_outcome(&attempt, succeeded(at(2)));
        assert!(stores.healings.finish(&done).await.unwrap());
        assert!(!stores.healings.finish(&done).await.unwrap());
        assert_eq!(ear.heard(), ["healing h", "healing h"]);

        stores
            .action_log
            .append(&[row(&key, "note", at(1))])
            .await
            .unwrap();
        assert_eq!(ear.heard(), ["1 rows"]);
        assert_eq!(stores.vitals.execution_count(&key).await.unwrap(), 1);
    }

    /// Scenario: two observers, and a store that fails.
    /// Guarantees: both hear the same, and neither hears of what failed.
    #[tokio::test]
    async fn observers_stack_and_failures_are_silent() {
        let ears = [Arc::new(Ear::default()), Arc::new(Ear::default())];
        let faults = crate::faults::Faults::new(1, 1_000);
        let stores = crate::faults::with_faults(memory::stores(), &faults);
        let stores = observe(observe(stores, ears[0].clone()), ears[1].clone());
        let attempt = healing(&agent("a"), "h", at(1));
        stores.healings.begin(&attempt).await.unwrap_err();
        faults.set_per_thousand(0);
        stores.healings.begin(&attempt).await.unwrap();
        for ear in ears {
            assert_eq!(ear.heard(), ["healing h"]);
        }
    }
}
