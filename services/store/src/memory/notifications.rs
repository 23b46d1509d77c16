//! Notifications in memory.

use super::listing::page_limit;
use super::locked;
use crate::error::Result;
use crate::notifications::{DEAD_MAX, Hold, Notification, NotificationStore, Outcome, Settled, TargetState};
use async_trait::async_trait;
use immune_domain::{CaseId, Timestamp};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

/// The in-memory [`NotificationStore`].
#[derive(Default)]
pub struct MemoryNotifications(Mutex<State>);

type Key = (String, u64, String);

#[derive(Default)]
struct State {
    targets: BTreeMap<String, Target>,
    /// By target, place and id: the order in which a target is told.
    rows: BTreeMap<Key, Notification>,
    /// Where the row of an id is.
    places: HashMap<String, Key>,
    receipts: HashMap<(String, CaseId), (Timestamp, Value)>,
}

#[derive(Default)]
struct Target {
    cursor: u64,
    fence: u64,
    holder: Option<(String, Timestamp)>,
    delivered: u64,
    last_delivered_at: Option<Timestamp>,
    last_error: Option<(Timestamp, String)>,
    failing_since: Option<Timestamp>,
}

impl State {
    fn is_held(&self, target: &str, fence: u64) -> bool {
        self.targets
            .get(target)
            .is_some_and(|target| target.fence == fence)
    }

    fn of<'a>(&'a self, target: &'a str) -> impl Iterator<Item = &'a Notification> {
        let rows = self.rows.range((target.to_owned(), 0, String::new())..);
        rows.take_while(move |((of, ..), _)| of == target)
            .map(|(_, row)| row)
    }

    fn insert(&mut self, row: &Notification) {
        if !self.places.contains_key(&row.id) {
            let key = (row.target.clone(), row.sequence, row.id.clone());
            self.places.insert(row.id.clone(), key.clone());
            self.rows.insert(key, row.clone());
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Notification> {
        self.places.remove(&key.2);
        self.rows.remove(key)
    }

    fn key(&self, id: &str) -> Option<Key> {
        self.places.get(id).cloned()
    }

    fn dead_key(&self, id: &str) -> Option<Key> {
        self.key(id).filter(|key| self.rows[key].died_at.is_some())
    }

    fn make_room(&mut self, target: &str) {
        let mut dead: Vec<(Option<Timestamp>, u64, String)> = self
            .of(target)
            .filter(|row| row.died_at.is_some())
            .map(|row| (row.died_at, row.sequence, row.id.clone()))
            .collect();
        dead.sort();
        let beyond = dead.len().saturating_sub(DEAD_MAX as usize);
        for (_, sequence, id) in dead.into_iter().take(beyond) {
            self.remove(&(target.to_owned(), sequence, id));
        }
    }

    fn settle(&mut self, target: &str, now: Timestamp, settled: &Settled) {
        let Some(key) = self
            .key(&settled.id)
            .filter(|key| key.0 == target && self.rows[key].died_at.is_none())
        else {
            return;
        };
        let Some(state) = self.targets.get_mut(target) else {
            return;
        };
        let failed = |state: &mut Target, error: &str| {
            state.last_error = Some((now, error.to_owned()));
            state.failing_since.get_or_insert(now);
        };
        match &settled.outcome {
            Outcome::Delivered { receipt } => {
                state.delivered += 1;
                state.last_delivered_at = Some(now);
                state.failing_since = None;
                let row = self.remove(&key);
                if let (Some(receipt), Some(row)) = (receipt, row) {
                    self.receipts
                        .insert((target.to_owned(), row.event.case), (now, receipt.clone()));
                }
            }
            Outcome::Again { due_at, error } => {
                failed(state, error);
                if let Some(row) = self.rows.get_mut(&key) {
                    row.due_at = *due_at;
                    row.last_error = Some(error.clone());
                }
            }
            Outcome::Held { due_at } => {
                if let Some(row) = self.rows.get_mut(&key) {
                    row.due_at = *due_at;
                    row.attempts = row.attempts.saturating_sub(1);
                }
            }
            Outcome::Dead { error } => {
                failed(state, error);
                if let Some(row) = self.rows.get_mut(&key) {
                    row.died_at = Some(now);
                    row.last_error = Some(error.clone());
                }
                self.make_room(target);
            }
        }
    }
}

#[async_trait]
impl NotificationStore for MemoryNotifications {
    async fn hold(
        &self,
        target: &str,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        begin_after: u64,
    ) -> Result<Option<Hold>> {
        let mut state = locked(&self.0);
        let target = state.targets.entry(target.to_owned()).or_insert_with(|| Target {
            cursor: begin_after,
            ..Target::default()
        });
        let is_mine = target.holder.as_ref().is_some_and(|(holder, _)| holder == worker);
        let is_free = target.holder.as_ref().is_none_or(|(_, until)| *until <= now);
        if !is_mine && !is_free {
            return Ok(None);
        }
        if !is_mine {
            target.fence += 1;
        }
        target.holder = Some((worker.to_owned(), until));
        Ok(Some(Hold {
            fence: target.fence,
            cursor: target.cursor,
        }))
    }

    async fn let_go(&self, worker: &str) -> Result<()> {
        for target in locked(&self.0).targets.values_mut() {
            target.holder = target.holder.take().filter(|(holder, _)| holder != worker);
        }
        Ok(())
    }

    async fn take_in(&self, target: &str, fence: u64, cursor: u64, new: &[Notification]) -> Result<bool> {
        let mut state = locked(&self.0);
        if !state.is_held(target, fence) {
            return Ok(false);
        }
        new.iter().for_each(|row| state.insert(row));
        if let Some(target) = state.targets.get_mut(target) {
            target.cursor = target.cursor.max(cursor);
        }
        Ok(true)
    }

    async fn add(&self, notification: &Notification) -> Result<bool> {
        let mut state = locked(&self.0);
        if !state.targets.contains_key(&notification.target) {
            return Ok(false);
        }
        state.insert(notification);
        Ok(true)
    }

    async fn begin(
        &self,
        target: &str,
        fence: u64,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Option<Vec<Notification>>> {
        let mut state = locked(&self.0);
        if !state.is_held(target, fence) {
            return Ok(None);
        }
        let mut blocked: HashSet<CaseId> = HashSet::new();
        let mut due = Vec::new();
        for row in state.of(target).filter(|row| row.died_at.is_none()) {
            if due.len() >= page_limit(limit) {
                break;
            }
            if blocked.contains(&row.event.case) {
                continue;
            }
            if row.due_at > now {
                blocked.insert(row.event.case.clone());
                continue;
            }
            due.push((row.target.clone(), row.sequence, row.id.clone()));
        }
        let mut begun = Vec::with_capacity(due.len());
        for key in &due {
            if let Some(row) = state.rows.get_mut(key) {
                row.attempts = row.attempts.saturating_add(1);
                row.due_at = until;
                begun.push(row.clone());
            }
        }
        Ok(Some(begun))
    }

    async fn settle(&self, target: &str, fence: u64, now: Timestamp, settled: &[Settled]) -> Result<bool> {
        let mut state = locked(&self.0);
        if !state.is_held(target, fence) {
            return Ok(false);
        }
        for one in settled {
            state.settle(target, now, one);
        }
        Ok(true)
    }

    async fn receipts(&self, target: &str, cases: &[CaseId]) -> Result<Vec<(CaseId, Value)>> {
        let state = locked(&self.0);
        let receipt = |case: &CaseId| state.receipts.get(&(target.to_owned(), case.clone()));
        Ok(cases
            .iter()
            .filter_map(|case| Some((case.clone(), receipt(case)?.1.clone())))
            .collect())
    }

    async fn targets(&self) -> Result<Vec<TargetState>> {
        let state = locked(&self.0);
        let told = |(name, target): (&String, &Target)| {
            let waiting: Vec<Timestamp> = state
                .of(name)
                .filter(|row| row.died_at.is_none())
                .map(|row| row.taken_at)
                .collect();
            TargetState {
                name: name.clone(),
                cursor: target.cursor,
                holder: target.holder.clone(),
                delivered: target.delivered,
                last_delivered_at: target.last_delivered_at,
                last_error: target.last_error.clone(),
                failing_since: target.failing_since,
                waiting: waiting.len() as u64,
                oldest_waiting_at: waiting.into_iter().min(),
                dead: state.of(name).filter(|row| row.died_at.is_some()).count() as u64,
            }
        };
        Ok(state.targets.iter().map(told).collect())
    }

    async fn dead(&self, target: Option<&str>, limit: u32) -> Result<Vec<Notification>> {
        let state = locked(&self.0);
        let is_wanted =
            |row: &&Notification| row.died_at.is_some() && target.is_none_or(|target| row.target == target);
        let mut dead: Vec<&Notification> = state.rows.values().filter(is_wanted).collect();
        dead.sort_by_key(|row| Reverse((row.died_at, &row.id)));
        Ok(dead.into_iter().take(page_limit(limit)).cloned().collect())
    }

    async fn get(&self, id: &str) -> Result<Option<Notification>> {
        let state = locked(&self.0);
        Ok(state.key(id).map(|key| state.rows[&key].clone()))
    }

    async fn retry(&self, id: &str, now: Timestamp) -> Result<bool> {
        let mut state = locked(&self.0);
        let Some(key) = state.dead_key(id) else {
            return Ok(false);
        };
        if let Some(row) = state.rows.get_mut(&key) {
            row.died_at = None;
            row.attempts = 0;
            row.due_at = now;
            row.taken_at = now;
        }
        Ok(true)
    }

    async fn discard(&self, id: &str) -> Result<bool> {
        let mut state = locked(&self.0);
        let Some(key) = state.dead_key(id) else {
            return Ok(false);
        };
        Ok(state.remove(&key).is_some())
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        let mut state = locked(&self.0);
        let is_old = |row: &&Notification| row.died_at.is_some_and(|died| died < before);
        let old: Vec<String> = state
            .rows
            .values()
            .filter(is_old)
            .map(|row| row.id.clone())
            .collect();
        for key in old.iter().filter_map(|id| state.key(id)).collect::<Vec<_>>() {
            state.remove(&key);
        }
        state.receipts.retain(|_, (at, _)| *at >= before);
        Ok(old.len() as u64)
    }
}
