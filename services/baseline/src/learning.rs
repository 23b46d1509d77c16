//! The one loop that changes profiles and stores them.

use crate::acting::{Asked, Refusal};
use crate::board::Board;
use crate::gaining::{Gaining, Taken, take_over};
use crate::partition::{Held, Rules};
use crate::state::State;
use crate::verdicts::{Verdict, Verdicts};
use crate::writing::{BATCH_MAX, Part, Write};
use immune_bus::{Arrival, Consumer, Delivery, Partition};
use immune_runtime::clock::SharedClock;
use immune_store::baselines::{Put, StoredProfile};
use immune_store::{BaselineStore, StorageError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Time between two looks at all profiles: for those that have become stale, and those that are suspect.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Least time between two requests to repeat verdicts for which there was no room.
const REPEAT_EVERY: Duration = Duration::from_secs(1);
/// Verdicts taken at once.
const VERDICTS_MAX: usize = 256;
/// How long the role takes to store what it learned when it is shut down.
pub const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// What the store has answered.
pub(crate) enum Answer {
    TakenOver(Result<Vec<Taken>, StorageError>),
    Written(Vec<StoredProfile>, Result<Put, StorageError>),
}

/// What the loop is built from.
pub(crate) struct Parts {
    pub(crate) rules: Arc<Rules>,
    pub(crate) store: Arc<dyn BaselineStore>,
    pub(crate) board: Arc<Board>,
    pub(crate) clock: SharedClock,
    pub(crate) state: watch::Sender<State>,
    /// What people ask; the loop alone changes profiles, so that no write can undo another.
    pub(crate) inbox: mpsc::Receiver<Asked>,
}

/// The loop's state.
pub(crate) struct Learning {
    pub(crate) parts: Parts,
    pub(crate) held: BTreeMap<u16, Held>,
    /// Partitions in all; 0 before the first is given.
    pub(crate) count: u16,
    pub(crate) gaining: Gaining,
    /// Calls of the store under way: at most one that takes over, and one that writes.
    pub(crate) calls: JoinSet<Answer>,
    /// What is being written.
    pub(crate) writing: Option<Vec<Part>>,
    /// The partition with which the next write begins.
    turn: u16,
    /// Whether there was more for the last write than it has room for.
    pub(crate) is_cut: bool,
    /// Whether verdicts came for which there was no room.
    has_refused: bool,
    repeated_at: Option<Instant>,
}

impl Learning {
    pub(crate) fn new(parts: Parts) -> Self {
        Learning {
            parts,
            held: BTreeMap::new(),
            count: 0,
            gaining: Gaining::default(),
            calls: JoinSet::new(),
            writing: None,
            turn: 0,
            is_cut: false,
            has_refused: false,
            repeated_at: None,
        }
    }

    /// Learns until the token is cancelled or the bus ends, then stores what has taken effect, within
    /// [`SHUTDOWN_MAX`]. The partitions are given back when `bus` is dropped at its end.
    pub(crate) async fn run(
        mut self,
        mut bus: Box<dyn Consumer>,
        mut verdicts: Verdicts,
        shutdown: CancellationToken,
    ) {
        let mut flush = every(Duration::from_millis(self.parts.rules.config.flush_interval_ms));
        let mut look = every(LOOK_EVERY);
        let mut is_watching = true;
        let mut heard = Vec::with_capacity(VERDICTS_MAX);
        loop {
            let gain_at = self.gaining.due_at();
            tokio::select! {
                arrival = bus.next(), if self.has_room() => match arrival {
                    Some(Arrival::Gained(partition)) => self.gain(partition),
                    Some(Arrival::Lost(partition)) => self.lose(partition),
                    Some(Arrival::Batch(delivery)) => self.take(delivery),
                    None => break,
                },
                count = verdicts.next(&mut heard, VERDICTS_MAX), if is_watching => {
                    is_watching = count > 0;
                    self.judge(&heard);
                    heard.clear();
                }
                Some(asked) = self.parts.inbox.recv(), if !self.is_busy() => self.act(asked),
                Some(answer) = self.calls.join_next() => {
                    let begins = self.answered(answer);
                    if !begins.is_empty() {
                        verdicts.repeat();
                    }
                    for (partition, begin) in begins {
                        bus.begin(partition, begin).await;
                    }
                }
                () = sleep_until(gain_at.unwrap_or_else(Instant::now)), if gain_at.is_some() => self.take_over(),
                _ = flush.tick() => {
                    self.flush();
                    if self.wants_repetition() {
                        verdicts.repeat();
                    }
                }
                _ = look.tick() => self.look_at_all(),
                () = shutdown.cancelled() => break,
            }
        }
        if timeout(SHUTDOWN_MAX, self.finish()).await.is_err() {
            warn!("not everything that was learned could be stored before the end");
        }
    }

    /// Whether there is room for another delivery. Where the bus delivers nothing twice the partition makes room.
    fn has_room(&self) -> bool {
        self.waiting() < self.parts.rules.config.waiting_max || !self.held.values().any(Held::is_placed)
    }

    fn waiting(&self) -> usize {
        self.held.values().map(Held::waiting).sum()
    }

    /// Whether the store has a call of ours that changes profiles.
    pub(crate) fn is_busy(&self) -> bool {
        self.writing.is_some()
    }

    fn gain(&mut self, partition: Partition) {
        self.count = partition.count;
        self.drop_partition(partition);
        self.gaining.gained(partition);
        self.parts.board.expect(partition);
        self.tell_state();
    }

    fn lose(&mut self, partition: Partition) {
        self.gaining.lost(partition);
        self.drop_partition(partition);
        self.tell_state();
    }

    /// Drops everything of a partition that is not stored.
    pub(crate) fn drop_partition(&mut self, partition: Partition) {
        if self.held.remove(&partition.index).is_some() {
            info!(partition = partition.index, "partition given up");
        }
        self.parts.board.lose(partition);
        self.set_gauges();
    }

    fn take_over(&mut self) {
        let partitions = self.gaining.start();
        if partitions.is_empty() {
            return;
        }
        let rules = &self.parts.rules;
        let room = rules
            .config
            .agents_max
            .saturating_sub(rules.agents.load(Ordering::Relaxed));
        let store = self.parts.store.clone();
        self.calls
            .spawn(async move { Answer::TakenOver(take_over(store, partitions, room).await) });
    }

    fn take(&mut self, delivery: Delivery) {
        let now = self.parts.clock.now();
        let room = self.parts.rules.config.waiting_max.saturating_sub(self.waiting());
        // What comes of a partition that is not held was sent before that was known.
        if let Some(held) = self.held.get_mut(&delivery.partition.index) {
            let room = room + held.waiting();
            held.take(delivery, room, now);
        }
    }

    fn judge(&mut self, verdicts: &[Verdict]) {
        let now = self.parts.clock.now();
        let has_room = self.early() < self.parts.rules.config.waiting_max;
        for verdict in verdicts.iter().filter(|_| self.count > 0) {
            let partition = Partition::of(&verdict.key, self.count);
            if let Some(held) = self.held.get_mut(&partition.index)
                && !held.judge(verdict, has_room, now)
            {
                self.has_refused = true;
            }
        }
    }

    fn early(&self) -> usize {
        self.held.values().map(Held::early).sum()
    }

    /// Whether verdicts were refused for which there is room by now.
    fn wants_repetition(&mut self) -> bool {
        let has_room = self.early() <= self.parts.rules.config.waiting_max / 2;
        let is_time = self.repeated_at.is_none_or(|at| at.elapsed() >= REPEAT_EVERY);
        let wants = self.has_refused && has_room && is_time;
        if wants {
            (self.has_refused, self.repeated_at) = (false, Some(Instant::now()));
        }
        wants
    }

    /// Writes what has taken effect, unless the store is still at the last write.
    pub(crate) fn flush(&mut self) {
        if self.is_busy() {
            return;
        }
        let now = self.parts.clock.now();
        self.expire();
        let mut write = Write::default();
        let from_turn = self.held.range(self.turn..).map(|(index, _)| *index);
        let order: Vec<u16> = from_turn
            .chain(self.held.range(..self.turn).map(|(index, _)| *index))
            .collect();
        self.is_cut = false;
        for index in order {
            if write.profiles.len() >= BATCH_MAX {
                (self.turn, self.is_cut) = (index, true);
                break;
            }
            if let Some(held) = self.held.get_mut(&index) {
                held.fill(&mut write, now);
                self.is_cut |= held.is_cut;
            }
        }
        if write.parts.is_empty() {
            return;
        }
        let (
            store,
            Write {
                profiles,
                tenures,
                rows,
                parts,
            },
        ) = (self.parts.store.clone(), write);
        self.writing = Some(parts);
        self.calls.spawn(async move {
            let put = store.put_with(&profiles, &tenures, &rows).await;
            Answer::Written(profiles, put)
        });
    }

    /// Forgets what is remembered beyond the limits; partitions share the room as they need it.
    fn expire(&mut self) {
        let now = self.parts.clock.now();
        let max = self.parts.rules.config.waiting_max;
        let remembered: usize = self.held.values().map(Held::remembered).sum();
        for held in self.held.values_mut() {
            let share = held.remembered().saturating_mul(max) / remembered.max(max).max(1);
            held.expire(share, now);
        }
        self.set_gauges();
    }

    fn look_at_all(&mut self) {
        let now = self.parts.clock.now();
        let held = self.held.values_mut();
        let suspect = held.map(|held| held.look_at_all(now)).sum::<usize>();
        self.parts.rules.metrics.suspect.set(suspect as i64);
    }

    /// Does what a person wants, and stores it at once.
    fn act(&mut self, asked: Asked) {
        let now = self.parts.clock.now();
        let partition = (self.count > 0).then(|| Partition::of(&asked.key, self.count).index);
        match partition.and_then(|index| self.held.get_mut(&index)) {
            Some(held) => held.act(asked, now),
            // The asker may be gone.
            None => drop(asked.answer.send(Err(Refusal::NotHeld))),
        }
        self.flush();
    }

    pub(crate) fn tell_state(&self) {
        let (partitions_held, partition_count) = (self.held.len(), self.count);
        let is_loaded = partitions_held > 0 && self.gaining.is_done();
        self.parts.state.send_if_modified(|state| {
            let next = State {
                partitions_held,
                partition_count,
                is_loaded,
                store_error: state.store_error.clone(),
            };
            let has_changed = *state != next;
            *state = next;
            has_changed
        });
    }

    pub(crate) fn set_gauges(&self) {
        let (rules, remembered) = (
            &self.parts.rules,
            self.held.values().map(Held::remembered).sum::<usize>(),
        );
        rules.metrics.waiting.set(remembered as i64);
        rules
            .metrics
            .agents
            .set(rules.agents.load(Ordering::Relaxed) as i64);
        rules.metrics.partitions.set(self.held.len() as i64);
    }
}

pub(crate) fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
