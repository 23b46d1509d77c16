//! Keeps a replica's leases: signs of life, positions, taking, giving up, giving back.

use super::holds::Holds;
use super::share::{order, share};
use super::tenure::{Granted, Life, Renewal};
use crate::keys::ConsumerKeys;
use crate::link::{Link, Site};
use crate::metrics::ConsumerMetrics;
use crate::place::Position;
use crate::script::{ACQUIRE, BEAT, Call, KEEP, RELEASE, digits};
use crate::trouble::Trouble;
use redis::{RedisError, Value, from_redis_value};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// Time between two looks for positions that Redis does not have.
const FLUSH: Duration = Duration::from_millis(100);

/// The keeper of one replica of one consumer.
pub(crate) struct Keeper {
    pub(crate) site: Arc<Site>,
    pub(crate) link: Link,
    pub(crate) keys: ConsumerKeys,
    pub(crate) name: String,
    pub(crate) worker: String,
    pub(crate) holds: Arc<Holds>,
    pub(crate) metrics: ConsumerMetrics,
    /// Who this replica is to the others; nothing until Redis has given it a number.
    pub(crate) who: String,
    pub(crate) counted: (u64, u64),
}

impl Keeper {
    /// Works until the consumer is gone and its leases are given back.
    pub(crate) async fn run(mut self) {
        let holds = self.holds.clone();
        let mut beat = tokio::time::interval(self.site.config.beat());
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flush = tokio::time::interval(FLUSH);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while holds.life() != Life::Ended {
            let done = tokio::select! {
                _ = beat.tick() => self.beat().await,
                _ = flush.tick() => self.keep(true).await,
                () = holds.keeper.notified() => Ok(()),
            };
            let done = match done {
                Ok(()) => self.give_back().await,
                Err(trouble) => Err(trouble),
            };
            // The way to Redis has said what is wrong; what is missed shows when the leases end.
            if let Err(trouble) = done {
                tracing::debug!(
                    consumer = self.name,
                    error = &trouble as &dyn std::error::Error,
                    "leases not kept"
                );
            }
            holds.expire(Instant::now());
            self.count();
        }
        let last = async {
            self.give_back().await?;
            self.leave().await
        };
        // Others wait for the end of the leases if this fails.
        match tokio::time::timeout(self.site.config.lease(), last).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => tracing::warn!(consumer = self.name, "could not give the partitions back"),
        }
        self.count();
        self.metrics.lag.set(0.0);
    }

    fn count(&mut self) {
        let (gained, lost) = self.holds.turnover();
        self.metrics.partitions_gained.inc_by(gained - self.counted.0);
        self.metrics.partitions_lost.inc_by(lost - self.counted.1);
        self.counted = (gained, lost);
        self.metrics.partitions_held.set(self.holds.held().len() as i64);
    }

    fn milliseconds(&self) -> Vec<u8> {
        digits(self.site.config.lease_ms)
    }

    /// A sign of life, all leases kept, and as many partitions as are this replica's share.
    async fn beat(&mut self) -> Result<(), Trouble> {
        let call = BEAT.call(
            [&self.keys.members, &self.keys.lives],
            [
                self.who.clone().into(),
                self.worker.clone().into(),
                self.milliseconds(),
            ],
        );
        let renewals = self.holds.renewals(false);
        let mut calls = vec![call];
        calls.extend(renewals.iter().map(|renewal| self.keep_call(renewal)));
        let asked = Instant::now();
        let mut answers = self.link.run(&calls).await?.into_iter();
        let beat = answers.next().ok_or_else(|| nothing("a sign of life"))?;
        self.kept(&renewals, answers, asked);
        let (who, now_ms, members): (String, u64, BTreeSet<String>) = read(beat)?;
        if self.who.is_empty() {
            tracing::info!(consumer = self.name, who, "joined");
        }
        self.who = who;
        let lag = self
            .holds
            .oldest_open_ms()
            .map_or(0, |ms| now_ms.saturating_sub(ms));
        self.metrics.lag.set(lag as f64 / 1e3);
        if self.holds.life() == Life::Open {
            self.balance(&members).await?;
        }
        Ok(())
    }

    /// Keeps leases: all, or those whose position Redis does not have.
    async fn keep(&self, is_dirty: bool) -> Result<(), Trouble> {
        let renewals = self.holds.renewals(is_dirty);
        if renewals.is_empty() {
            return Ok(());
        }
        let calls: Vec<Call> = renewals.iter().map(|renewal| self.keep_call(renewal)).collect();
        let asked = Instant::now();
        let answers = self.link.run(&calls).await?;
        self.kept(&renewals, answers, asked);
        Ok(())
    }

    fn keep_call(&self, renewal: &Renewal) -> Call {
        let keys = self.keys.lease(renewal.tenure.index);
        let meta = &self.site.keys.partition(renewal.tenure.index).meta;
        KEEP.call(
            [&keys.lease, &keys.state, meta],
            [
                self.who.clone().into(),
                self.milliseconds(),
                digits(renewal.fence),
                written(renewal.acked),
            ],
        )
    }

    fn kept(
        &self,
        renewals: &[Renewal],
        answers: impl IntoIterator<Item = Result<Value, RedisError>>,
        asked: Instant,
    ) {
        let until = asked + self.site.config.trust();
        for (renewal, answer) in renewals.iter().zip(answers) {
            let partition = renewal.tenure.index;
            match read::<Vec<Value>>(answer).and_then(kept) {
                Ok(Some(last)) => {
                    if self.holds.extend(renewal, until, last) {
                        self.metrics.data_losses.inc();
                        let read = renewal.read.position.number;
                        tracing::error!(
                            consumer = self.name,
                            partition,
                            read,
                            last = last.number,
                            "redis has lost entries that were read; entries after them may be lost too"
                        );
                    }
                }
                Ok(None) => {
                    tracing::warn!(
                        consumer = self.name,
                        partition,
                        "another replica has the partition"
                    );
                    self.holds.lose(renewal.tenure);
                }
                // Not known: the lease is trusted until its time is over.
                Err(trouble) => {
                    tracing::debug!(
                        consumer = self.name,
                        partition,
                        error = &trouble as &dyn std::error::Error,
                        "lease not kept"
                    );
                }
            }
        }
    }

    /// Takes what is free up to this replica's share, and gives up what is above it.
    async fn balance(&mut self, members: &BTreeSet<String>) -> Result<(), Trouble> {
        let count = self.site.config.partitions;
        let wanted = usize::from(share(members, &self.who, count));
        let preferred = order(&self.who, count);
        let held: BTreeSet<u16> = self.holds.held().into_iter().collect();
        if held.len() > wanted {
            let surplus: Vec<u16> = preferred
                .iter()
                .rev()
                .copied()
                .filter(|i| held.contains(i))
                .collect();
            for index in surplus.into_iter().take(held.len() - wanted) {
                self.holds.give_up(index, Instant::now());
            }
            return Ok(());
        }
        let missing = wanted - held.len();
        if missing > 0 {
            let others: Vec<u16> = preferred.into_iter().filter(|i| !self.holds.knows(*i)).collect();
            let mut free = self.free(others).await?;
            free.truncate(missing);
            self.take(&free).await?;
        }
        Ok(())
    }

    /// Those of some partitions that nobody holds, in the same order.
    async fn free(&self, some: Vec<u16>) -> Result<Vec<u16>, Trouble> {
        let calls: Vec<Call> = some
            .iter()
            .map(|index| {
                let mut command = redis::cmd("GET");
                command.arg(self.keys.lease(*index).lease.as_bytes());
                Call::Command(command)
            })
            .collect();
        let answers = self.link.run(&calls).await?;
        // One that this replica has at Redis and not here is free as well: it lost an answer.
        let is_free = |answer: &Result<Value, RedisError>| match answer {
            Ok(Value::Nil) => true,
            Ok(Value::BulkString(holder)) => *holder == self.who.as_bytes(),
            Ok(_) | Err(_) => false,
        };
        Ok(some
            .into_iter()
            .zip(answers)
            .filter(|(_, answer)| is_free(answer))
            .map(|(index, _)| index)
            .collect())
    }

    /// Takes partitions, unless others were quicker.
    async fn take(&self, some: &[u16]) -> Result<(), Trouble> {
        let calls: Vec<Call> = some
            .iter()
            .map(|index| {
                let keys = self.keys.lease(*index);
                let meta = &self.site.keys.partition(*index).meta;
                ACQUIRE.call(
                    [&keys.lease, &keys.state, meta],
                    [self.who.clone().into(), self.milliseconds()],
                )
            })
            .collect();
        let until = Instant::now() + self.site.config.trust();
        for (index, answer) in some.iter().zip(self.link.run(&calls).await?) {
            match read::<Vec<Value>>(answer).and_then(granted) {
                Ok(Some(granted)) => self.holds.gain(*index, granted, until),
                Ok(None) => {}
                // Not known whether it was taken: the next look shows it.
                Err(trouble) => {
                    tracing::debug!(
                        consumer = self.name,
                        partition = index,
                        error = &trouble as &dyn std::error::Error,
                        "partition not taken"
                    );
                }
            }
        }
        Ok(())
    }

    /// Gives back what the consumer knows to be lost, so that others need not wait.
    async fn give_back(&self) -> Result<(), Trouble> {
        let patience = self.site.config.trust();
        let leavers = self.holds.leavers(Instant::now().checked_sub(patience));
        if leavers.is_empty() {
            return Ok(());
        }
        let calls: Vec<Call> = leavers
            .iter()
            .map(|leaver| {
                let keys = self.keys.lease(leaver.tenure.index);
                RELEASE.call(
                    [&keys.lease, &keys.state],
                    [
                        self.who.clone().into(),
                        digits(leaver.fence),
                        written(leaver.acked),
                    ],
                )
            })
            .collect();
        for answer in self.link.run(&calls).await? {
            answer?;
        }
        Ok(())
    }

    /// Is a member no longer.
    async fn leave(&self) -> Result<(), Trouble> {
        let mut command = redis::cmd("ZREM");
        command.arg(self.keys.members.as_bytes()).arg(&self.who);
        for answer in self.link.run(&[Call::Command(command)]).await? {
            answer?;
        }
        Ok(())
    }
}

fn written(position: Option<Position>) -> Vec<u8> {
    position
        .map(|position| position.to_string().into_bytes())
        .unwrap_or_default()
}

fn nothing(what: &str) -> Trouble {
    Trouble::Answer {
        what: format!("nothing to {what}"),
    }
}

fn read<T: redis::FromRedisValue>(answer: Result<Value, RedisError>) -> Result<T, Trouble> {
    Ok(from_redis_value(answer?).map_err(RedisError::from)?)
}

/// The answer to ACQUIRE.
fn granted(answer: Vec<Value>) -> Result<Option<Granted>, Trouble> {
    let [is_granted, fence, acked, number, id] = match <[Value; 5]>::try_from(answer) {
        Ok(fields) => fields,
        Err(_) => return Ok(None),
    };
    let is_granted: u64 = read(Ok(is_granted))?;
    let acked: String = read(Ok(acked))?;
    Ok((is_granted == 1).then_some(Granted {
        fence: read(Ok(fence))?,
        acked: acked.parse().ok(),
        last: last(number, id)?,
    }))
}

/// The answer to KEEP: the partition's last entry, or nothing when another has it.
fn kept(answer: Vec<Value>) -> Result<Option<Position>, Trouble> {
    match <[Value; 3]>::try_from(answer) {
        Ok([_, number, id]) => last(number, id).map(Some),
        Err(_) => Ok(None),
    }
}

fn last(number: Value, id: Value) -> Result<Position, Trouble> {
    let id: String = read(Ok(id))?;
    Ok(Position {
        id: id.parse().unwrap_or_default(),
        number: read(Ok(number))?,
    })
}
