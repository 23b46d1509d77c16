//! One target's loop: hold it, take in what is new, tell what is due, sleep until something may be to do.

use crate::config::{Filter, Retry, Target};
use crate::http::SetupError;
use crate::kind::Kind;
use crate::news::is_waiting;
use crate::office::Office;
use crate::pace::{Bucket, backoff};
use crate::targets::{Built, build};
use immune_domain::Timestamp;
use immune_store::error::Result;
use immune_store::notifications::{Hold, Notification, WAITING_MAX};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long what is under way may take to end when the process stops.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Events read at a time, and pages per look.
const PAGE: u32 = 200;
const PAGES_MAX: usize = 20;

/// Somebody who tells one target everything.
pub(crate) struct Courier {
    pub(crate) office: Arc<Office>,
    pub(crate) name: String,
    pub(crate) filter: Filter,
    pub(crate) retry: Retry,
    pub(crate) built: Built,
    pub(crate) bucket: Bucket,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Until when the target is left alone.
    pub(crate) paused_until: Timestamp,
    hold: Option<(Hold, Timestamp)>,
    /// About how many notifications wait.
    pub(crate) waiting: u64,
    repeat_at: Timestamp,
}

/// What a look has come to.
pub(crate) enum Looked {
    /// There may be more at once.
    More,
    /// Nothing to do for so long, unless something happens.
    Idle(Duration),
    /// Another process holds the target.
    Overtaken,
}

impl Courier {
    pub fn new(office: &Arc<Office>, target: &Target) -> std::result::Result<Self, SetupError> {
        Ok(Courier {
            office: office.clone(),
            name: target.name.clone(),
            filter: target.filter.clone(),
            retry: target.retry.clone(),
            built: build(&office.config, target)?,
            bucket: Bucket::new(target.rate.per_minute),
            failures: 0,
            paused_until: Timestamp::EPOCH,
            hold: None,
            waiting: 0,
            repeat_at: Timestamp::EPOCH,
        })
    }

    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut changes = self.office.cases.changes();
        let interval = self.office.config.interval();
        let over = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN_MAX).await;
        };
        tokio::pin!(over);
        while !shutdown.is_cancelled() {
            changes.mark_unchanged();
            let looked = tokio::select! {
                looked = self.look() => looked,
                () = &mut over => return,
            };
            let wait = match looked {
                Ok(Looked::More) => continue,
                Ok(Looked::Idle(wait)) => wait.min(interval),
                Ok(Looked::Overtaken) => self.office.config.lease() / 3,
                Err(error) => {
                    tracing::warn!(receiver = %self.name, %error, "notifications wait for the store");
                    interval.max(Duration::from_secs(1))
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
                // A sender that is gone wakes nobody any more.
                () = async { if changes.changed().await.is_err() { std::future::pending().await } } => {}
            }
        }
    }

    /// Holds the target and does what there is to do, renewing the hold meanwhile.
    async fn look(&mut self) -> Result<Looked> {
        let Some(hold) = self.held().await? else {
            return Ok(Looked::Overtaken);
        };
        let (office, name) = (self.office.clone(), self.name.clone());
        let keeper = async move {
            loop {
                tokio::time::sleep(office.config.lease() / 3).await;
                match renew(&office, &name, 0).await {
                    Ok(Some(renewed)) if renewed.fence == hold.fence => {}
                    Ok(_) => return,
                    // The store may be back before the lease has lapsed; if not, the fence decides.
                    Err(error) => tracing::debug!(receiver = %name, %error, "a hold could not be renewed"),
                }
            }
        };
        let looked = tokio::select! {
            looked = self.work(hold) => looked,
            () = keeper => Ok(Looked::Overtaken),
        };
        if matches!(looked, Ok(Looked::Overtaken)) {
            self.hold = None;
        }
        looked
    }

    /// The hold, renewed when a third of the lease has passed.
    async fn held(&mut self) -> Result<Option<Hold>> {
        let now = self.office.clock.now();
        if let Some((hold, renewed_at)) = self.hold
            && now.since(renewed_at) < self.office.config.lease() / 3
        {
            return Ok(Some(hold));
        }
        // Matters only when nobody has ever held the target.
        let begin_after = match self.hold {
            Some(_) => 0,
            None => self.office.cases.last_event().await?,
        };
        let hold = renew(&self.office, &self.name, begin_after).await?;
        if let Some(hold) = hold
            && self.hold.is_none_or(|(held, _)| held.fence != hold.fence)
        {
            let targets = self.office.notifications.targets().await?;
            let own = targets.iter().find(|target| target.name == self.name);
            self.waiting = own.map_or(0, |own| own.waiting);
        }
        self.hold = hold.map(|hold| (hold, now));
        Ok(hold)
    }

    async fn work(&mut self, hold: Hold) -> Result<Looked> {
        let mut hold = hold;
        if !self.take_in(&mut hold).await? {
            return Ok(Looked::Overtaken);
        }
        if let Some((held, _)) = &mut self.hold {
            held.cursor = held.cursor.max(hold.cursor);
        }
        let now = self.office.clock.now();
        if now < self.paused_until {
            return Ok(Looked::Idle(self.paused_until.since(now)));
        }
        self.repeat(now).await?;
        self.round(hold.fence).await
    }

    /// Takes in events that the target wants; `false` when overtaken.
    async fn take_in(&mut self, hold: &mut Hold) -> Result<bool> {
        for _ in 0..PAGES_MAX {
            if self.waiting >= WAITING_MAX {
                return Ok(true);
            }
            let events = self.office.cases.events_after(hold.cursor, PAGE).await?;
            let Some(last) = events.last().map(|event| event.sequence) else {
                return Ok(true);
            };
            let now = self.office.clock.now();
            let mut rows = Vec::new();
            for event in &events {
                let Some(kind) = Kind::of(&event.event.kind) else {
                    continue;
                };
                // One message per case is kept up to date by everything that happens to the case.
                let is_wanted = self.built.kinds.contains(&kind) || self.built.receiver.keeps_messages();
                if is_wanted && self.filter.fits(&event.event) {
                    let id = format!("{}.{}", self.name, event.sequence);
                    rows.push(Notification::new(
                        id,
                        &self.name,
                        event.sequence,
                        event.event.clone(),
                        now,
                    ));
                }
            }
            if !self
                .office
                .notifications
                .take_in(&self.name, hold.fence, last, &rows)
                .await?
            {
                return Ok(false);
            }
            hold.cursor = last;
            self.waiting += rows.len() as u64;
            if events.len() < PAGE as usize {
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// Tells all that is open to a receiver that forgets.
    async fn repeat(&mut self, now: Timestamp) -> Result<()> {
        let Some(interval) = self.built.receiver.repeats() else {
            return Ok(());
        };
        if now < self.repeat_at {
            return Ok(());
        }
        self.repeat_at = now.plus(interval);
        let open = self.office.open_cases().await?;
        if let Err(failure) = self.built.receiver.repeat(&open, now).await {
            self.office.metrics.attempted(&self.name, "again", 1);
            let wait = backoff(
                Duration::from_millis(self.retry.first_ms),
                interval,
                1,
                &self.name,
            );
            self.repeat_at = now.plus(wait.max(interval / 4));
            tracing::warn!(receiver = %self.name, error = %failure.words, waiting = open.iter().filter(|case| is_waiting(&case.state)).count(),
                "what is open could not be told again");
        }
        Ok(())
    }
}

async fn renew(office: &Office, name: &str, begin_after: u64) -> Result<Option<Hold>> {
    let now = office.clock.now();
    let until = now.plus(office.config.lease());
    office
        .notifications
        .hold(name, &office.worker, now, until, begin_after)
        .await
}

/// The different cases of notifications, in their order.
pub(crate) fn cases_of(rows: &[Notification]) -> Vec<immune_domain::CaseId> {
    let mut seen = HashSet::new();
    rows.iter()
        .map(|row| &row.event.case)
        .filter(|case| seen.insert(*case))
        .cloned()
        .collect()
}
