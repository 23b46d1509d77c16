//! Reading the stored keys again and again, and noting when they were used.

use super::Keys;
use super::snapshot::Snapshot;
use immune_domain::Timestamp;
use immune_store::error::Result;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tokio_util::sync::CancellationToken;

/// Time between two notes of uses in the store.
const NOTE_EVERY: Duration = Duration::from_secs(60);

impl Keys {
    /// Reads the stored keys.
    ///
    /// # Errors
    /// When the store cannot answer; the keys read last go on.
    pub async fn refresh(&self) -> Result<()> {
        let Some(store) = &self.inner.store else {
            return Ok(());
        };
        let keys = match store.keys().await {
            Ok(keys) => keys,
            Err(error) => {
                self.inner.metrics.refresh_failures.inc();
                return Err(error);
            }
        };
        self.inner
            .metrics
            .keys
            .set(i64::try_from(keys.len()).unwrap_or(i64::MAX));
        let snapshot = Snapshot::new(keys, self.known().as_deref());
        let mut known = self.inner.known.write().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Arc::new(snapshot));
        Ok(())
    }

    /// Tells the store when keys were used, those that were since the last time.
    ///
    /// # Errors
    /// When the store cannot answer; the next time makes up for it.
    pub async fn note_uses(&self) -> Result<()> {
        let (Some(store), Some(known)) = (&self.inner.store, self.known()) else {
            return Ok(());
        };
        let used: Vec<_> = known
            .entries()
            .filter_map(|entry| Some((entry, entry.unnoted()?)))
            .collect();
        if used.is_empty() {
            return Ok(());
        }
        let uses: Vec<(String, Timestamp)> = used
            .iter()
            .map(|(entry, at)| (entry.key.id.clone(), *at))
            .collect();
        store.keys_used(&uses).await?;
        for (entry, at) in used {
            entry.noted(at);
        }
        Ok(())
    }

    /// Keeps the keys up to date until the token is cancelled. Only waits for it in a process without a store of keys.
    pub async fn run(self, every: Duration, stop: CancellationToken) {
        if self.inner.store.is_none() {
            return stop.cancelled().await;
        }
        let (mut refresh, mut note) = (
            interval(every),
            interval_at(Instant::now() + NOTE_EVERY, NOTE_EVERY),
        );
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        note.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_away = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = refresh.tick() => {
                    let failure = self.refresh().await.err();
                    match (&failure, is_away) {
                        (Some(error), false) => {
                            tracing::warn!(%error, "stored keys cannot be read; those read last go on");
                        }
                        (None, true) => tracing::info!("stored keys are read again"),
                        (Some(_), true) | (None, false) => {}
                    }
                    is_away = failure.is_some();
                }
                _ = note.tick() => self.noted().await,
            }
        }
        self.noted().await;
    }

    /// When a key was used is a help, not a promise: a failure is told in passing.
    async fn noted(&self) {
        if let Err(error) = self.note_uses().await {
            tracing::debug!(%error, "uses of keys could not be noted");
        }
    }
}
