//! From the store to the view: what has happened since the last look, or everything anew.

use super::{Follower, PAGE, View};
use crate::cases::{CaseFilter, Event};
use crate::error::{Result, StorageError};
use immune_domain::case::Case;
use immune_domain::{AgentKey, CaseId};
use std::collections::HashMap;
use tokio::time::Instant;

/// How far the events have been read.
pub(super) struct Place {
    /// The last event taken in.
    sequence: u64,
    /// When all open cases were read.
    read_at: Instant,
}

impl<V: View> Follower<'_, V> {
    /// Takes in what has happened since `place`; everything where that is not known.
    pub(super) async fn look(&self, place: &mut Option<Place>, has_waited: bool) -> Result<()> {
        let is_fresh = |place: &Place| place.read_at.elapsed() < self.pace.read_again;
        let Some(at) = place.as_mut().filter(|place| is_fresh(place)) else {
            *place = Some(self.read_all().await?);
            return Ok(());
        };
        if has_waited && self.within(self.cases.last_event()).await? < at.sequence {
            tracing::warn!(
                doing = self.doing,
                after = at.sequence,
                "events have gone back: reading all open cases anew"
            );
            *place = Some(self.read_all().await?);
            return Ok(());
        }
        loop {
            let events = self.within(self.cases.events_after(at.sequence, PAGE)).await?;
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
    async fn take_in(&self, events: &[Event]) -> Result<()> {
        let cases = events
            .iter()
            .map(|event| (event.event.case.clone(), event.event.key.clone()));
        self.take_in_cases(cases.collect()).await
    }

    async fn take_in_cases(&self, mut wanted: HashMap<CaseId, AgentKey>) -> Result<()> {
        let ids: Vec<CaseId> = wanted.keys().cloned().collect();
        for ids in ids.chunks(PAGE as usize) {
            let (cases, unreadable) = self.read_cases(ids).await?;
            for id in unreadable {
                // It stays as it is known, if it is.
                wanted.remove(&id);
            }
            for case in cases {
                wanted.remove(&case.id);
                self.view.put(case).await;
            }
        }
        for (id, key) in wanted {
            // Gone from the store: nobody is kept out by it.
            self.view.forget(&key, &id).await;
        }
        Ok(())
    }

    /// Several cases, and which of them cannot be read back: those must not keep all others from being followed.
    async fn read_cases(&self, ids: &[CaseId]) -> Result<(Vec<Case>, Vec<CaseId>)> {
        match self.within(self.cases.cases(ids)).await {
            Ok(cases) => return Ok((cases, Vec::new())),
            Err(StorageError::Damaged { .. }) => {}
            Err(error @ (StorageError::Unavailable { .. } | StorageError::Failed { .. })) => {
                return Err(error);
            }
        }
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        for id in ids {
            match self.within(self.cases.get(id)).await {
                Ok(case) => found.extend(case),
                Err(error @ StorageError::Damaged { .. }) => {
                    let (doing, cause) = (self.doing, std::error::Error::source(&error));
                    tracing::error!(doing, case = %id, %error, ?cause, "a case cannot be read back and is not followed");
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
    async fn read_all(&self) -> Result<Place> {
        let read_at = Instant::now();
        let sequence = self.within(self.cases.last_event()).await?;
        let mut reading = self.view.begin();
        let mut before = None;
        loop {
            let filter = CaseFilter {
                open: Some(true),
                before,
                limit: PAGE,
                ..CaseFilter::default()
            };
            let page = self.within(self.cases.list(&filter)).await?;
            before = match page.last() {
                Some(last) if page.len() == PAGE as usize => Some((last.opened_at, last.id.clone())),
                Some(_) | None => None,
            };
            for case in page {
                self.view.put_open(&mut reading, case).await;
            }
            if before.is_none() {
                break;
            }
        }
        let missing = self.view.missing(&mut reading);
        self.take_in_cases(missing).await?;
        self.view.complete(reading).await;
        Ok(Place { sequence, read_at })
    }
}
