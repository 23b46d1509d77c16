//! The loop that judges: every record as it comes, and every agent with a window every second; and that takes over
//! and lets go of partitions.

use crate::config::Config;
use crate::directory::{Census, Directory, SHARDS_A_SECOND};
use crate::fleet;
use crate::history;
use crate::metrics::{Metrics, VerdictLabels};
use crate::quarantine::{Contained, after_no_room};
use crate::report::Draft;
use crate::settling::{Settled, Settling, replay};
use crate::standing::Standing;
use crate::verdicts::Verdicts;
use immune_bus::{Arrival, Begin, Consumer, Delivery, Partition, Record};
use immune_domain::Timestamp;
use immune_domain::detection::window::fingerprint;
use immune_domain::vitals::Vitals;
use immune_runtime::clock::SharedClock;
use immune_store::VitalsStore;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

/// The loop's state.
#[derive(Clone)]
pub(crate) struct Judging {
    pub(crate) config: Arc<Config>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) store: Arc<dyn VitalsStore>,
    pub(crate) verdicts: Arc<Verdicts>,
    pub(crate) drafts: mpsc::Sender<Draft>,
    pub(crate) contained: mpsc::Sender<Contained>,
    pub(crate) news: mpsc::Sender<fleet::News>,
    pub(crate) clock: SharedClock,
    pub(crate) metrics: Metrics,
}

/// A partition that is held.
struct Held {
    gain: u64,
    /// From when on the bus is asked to deliver again.
    since: Timestamp,
    /// Ends with it.
    _settling: AbortOnDropHandle<()>,
}

impl Judging {
    /// Judges until the token is cancelled or the bus ends.
    pub(crate) async fn run(self, mut bus: Box<dyn Consumer>, shutdown: CancellationToken) {
        let mut tick = interval(Duration::from_millis(self.config.tick_interval_ms));
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (sender, mut settled) = mpsc::unbounded_channel();
        let settling = Settling {
            directory: self.directory.clone(),
            standing: self.standing.clone(),
            store: self.store.clone(),
            settled: sender,
            patience: Duration::from_millis(self.config.settling_ms_max),
        };
        let mut held: HashMap<Partition, Held> = HashMap::new();
        let mut histories = JoinSet::new();
        let mut gains = 0;
        loop {
            tokio::select! {
                arrival = bus.next() => match arrival {
                    Some(Arrival::Gained(partition)) => {
                        gains += 1;
                        held.insert(partition, self.gain(partition, gains, &settling));
                    }
                    Some(Arrival::Lost(partition)) => {
                        held.remove(&partition);
                        self.lose(partition);
                    }
                    Some(Arrival::Batch(delivery)) => self.take(delivery),
                    None => return,
                },
                Some(Settled { partition, gain }) = settled.recv() => {
                    if let Some(held) = held.get(&partition).filter(|held| held.gain == gain) {
                        bus.begin(partition, Begin::Again { since: held.since }).await;
                        self.standing.begin(partition);
                    }
                },
                _ = tick.tick() => {
                    self.follow_policies(&mut histories).await;
                    self.look_at_all().await;
                }
                () = shutdown.cancelled() => return,
            }
        }
    }

    fn gain(&self, partition: Partition, gain: u64, settling: &Settling) -> Held {
        let since = self.clock.now().minus(replay(&self.directory));
        info!(
            partition = partition.index,
            count = partition.count,
            "a partition was gained"
        );
        self.directory.gain(partition);
        self.directory.begin_hearing(self.clock.now());
        self.metrics.partitions.inc();
        let work = settling.clone().run(Settled { partition, gain }, since);
        Held {
            gain,
            since,
            _settling: AbortOnDropHandle::new(tokio::spawn(work)),
        }
    }

    /// Drops whatever is known of the agents of a partition: another replica may be at work on them already. Their
    /// reports that are not being sent yet are dropped where they wait.
    fn lose(&self, partition: Partition) {
        info!(partition = partition.index, "a partition was lost");
        self.directory.lose(partition);
        self.verdicts.forget(partition);
        self.metrics.partitions.dec();
    }

    fn take(&self, delivery: Delivery) {
        if !self.standing.holds(delivery.partition) {
            return;
        }
        let now = self.clock.now();
        let knows_profiles = self.standing.knows_profiles(delivery.partition);
        let received = |record: &Record| match record {
            Record::Vitals(vitals) => Some(vitals.received_at),
            Record::Retracted(..) => None,
        };
        if let Some(latest) = delivery.batch.iter().filter_map(received).max() {
            self.standing.judged(now, latest);
            self.directory.heard(latest.min(now));
            self.metrics.lag.set(now.since(latest).as_secs_f64());
        }
        for record in delivery.batch.iter() {
            match record {
                Record::Vitals(vitals) => self.judge(vitals, knows_profiles, now),
                Record::Retracted(key, execution) => self.directory.retract(key, fingerprint(execution)),
            }
        }
        // Whoever takes over is given the recent past again, acknowledged or not.
        delivery.ack();
    }

    fn judge(&self, vitals: &Vitals, knows_profiles: bool, now: Timestamp) {
        let taken = self.directory.take(vitals, knows_profiles, now);
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
        if taken.is_contained && vitals.is_mere_attempt() {
            self.metrics.attempts.inc();
        } else if taken.is_contained && self.contained.try_send(Contained::of(vitals)).is_err() {
            self.metrics.breaches_dropped.inc();
        }
        if let Some(draft) = taken.draft {
            self.report(draft, now);
        }
    }

    /// Policies may have been replaced since the last second: agents get theirs, and guarded detectors that were not
    /// asked for before begin from the executions on record.
    async fn follow_policies(&self, histories: &mut JoinSet<()>) {
        while histories.try_join_next().is_some() {}
        let Some(generation) = self.directory.policies_to_follow() else {
            return;
        };
        let mut begin = Vec::new();
        for shard in 0..self.directory.shards() {
            begin.extend(self.directory.police(shard));
            tokio::task::yield_now().await;
        }
        self.directory.has_followed(generation);
        info!(generation, guarded = begin.len(), "other policies hold");
        let (directory, store, now) = (self.directory.clone(), self.store.clone(), self.clock.now());
        histories.spawn(async move { history::load(begin, &directory, &*store, now).await });
    }

    async fn look_at_all(&self) {
        let mut census = Census::default();
        self.directory.fleet().begin_look();
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
        for _ in 0..SHARDS_A_SECOND {
            self.directory.listen();
            tokio::task::yield_now().await;
        }
        self.metrics.silent.set(self.directory.count_silent() as i64);
        fleet::follow(&self.directory, &self.news, self.clock.now());
    }

    fn report(&self, draft: Draft, now: Timestamp) {
        if let Err(refused) = self.drafts.try_send(draft) {
            self.metrics.reports_dropped.inc();
            self.directory
                .undelivered(&refused.into_inner().key, after_no_room(now));
        }
    }
}
