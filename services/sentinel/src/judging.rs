//! The loop that judges: every record as it comes, and every agent with a window every second.

use crate::config::Config;
use crate::directory::{Census, Directory};
use crate::metrics::{Metrics, VerdictLabels};
use crate::quarantine::{Contained, after_no_room};
use crate::report::Draft;
use crate::verdicts::Verdicts;
use immune_bus::{Consumer, Delivery, Record};
use immune_domain::Timestamp;
use immune_domain::detection::window::fingerprint;
use immune_domain::vitals::Vitals;
use immune_runtime::clock::SharedClock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// The loop's state.
#[derive(Clone)]
pub(crate) struct Judging {
    pub(crate) config: Arc<Config>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) verdicts: Arc<Verdicts>,
    pub(crate) drafts: mpsc::Sender<Draft>,
    pub(crate) contained: mpsc::Sender<Contained>,
    pub(crate) clock: SharedClock,
    pub(crate) metrics: Metrics,
}

impl Judging {
    /// Judges until the token is cancelled or the bus ends.
    pub(crate) async fn run(self, mut bus: Box<dyn Consumer>, shutdown: CancellationToken) {
        let mut tick = interval(Duration::from_millis(self.config.tick_interval_ms));
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                delivery = bus.next() => match delivery {
                    Some(delivery) => self.take(delivery),
                    None => return,
                },
                _ = tick.tick() => self.look_at_all().await,
                () = shutdown.cancelled() => return,
            }
        }
    }

    fn take(&self, delivery: Delivery) {
        let now = self.clock.now();
        for record in delivery.batch.iter() {
            match record {
                Record::Vitals(vitals) => self.judge(vitals, now),
                Record::Retracted(key, execution) => self.directory.retract(key, fingerprint(execution)),
            }
        }
        // A window lives ten seconds: what a crash loses of it is gone before anybody could read it again.
        delivery.ack();
    }

    fn judge(&self, vitals: &Vitals, now: Timestamp) {
        let taken = self.directory.take(vitals, now);
        if let Some(reason) = taken.reason {
            let label = if reason.as_str().is_empty() {
                "healthy"
            } else {
                reason.as_str()
            };
            self.metrics
                .judged
                .get_or_create(&VerdictLabels { reason: label })
                .inc();
            self.verdicts.give(vitals, reason);
        }
        if taken.is_contained && self.contained.try_send(Contained::of(vitals)).is_err() {
            self.metrics.breaches_dropped.inc();
        }
        if let Some(draft) = taken.draft {
            self.report(draft, now);
        }
    }

    async fn look_at_all(&self) {
        let mut census = Census::default();
        for shard in 0..self.directory.shards() {
            let now = self.clock.now();
            for draft in self.directory.tick(shard, now, &mut census) {
                self.report(draft, now);
            }
            tokio::task::yield_now().await;
        }
        self.metrics.agents.set(census.agents as i64);
        self.metrics.active.set(census.active as i64);
        self.metrics.suspect.set(census.suspect as i64);
    }

    fn report(&self, draft: Draft, now: Timestamp) {
        if let Err(refused) = self.drafts.try_send(draft) {
            self.metrics.reports_dropped.inc();
            self.directory
                .undelivered(&refused.into_inner().key, after_no_room(now));
        }
    }
}
