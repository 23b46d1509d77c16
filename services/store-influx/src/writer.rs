//! The one that writes. Appends that come together share a request; while InfluxDB is away they share a sync of the
//! spill instead, and behind them the spill is emptied in its order.
//!
//! Everything goes one way: once something is in the spill, whatever comes later goes there too, until it is empty.
//! Otherwise a correction could overtake what it corrects.

mod replay;

use crate::config::Config;
use crate::deliver::{Delivery, Refused};
use crate::metrics::Metrics;
use crate::op::Op;
use crate::spill::{Spill, SpillError};
use crate::trouble::Trouble;
use immune_domain::Timestamp;
use immune_store::StorageError;
use immune_store::error::Result;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

/// Calls that wait in the channel at most; their records are bounded by permits.
pub(crate) const CALLS_MAX: usize = 1_024;

/// One call of a caller who waits.
pub(crate) struct Call {
    pub(crate) doing: &'static str,
    pub(crate) ops: Vec<Op>,
    pub(crate) done: oneshot::Sender<Result<()>>,
    /// Room in the queue, free again when the call is answered.
    #[expect(dead_code, reason = "held, not read")]
    pub(crate) room: OwnedSemaphorePermit,
}

/// What the writer is told.
pub(crate) enum Message {
    Write(Call),
    /// What was received before is no longer in the store.
    Purged(Timestamp),
    /// Answer when everything before is written or spilled and the spill is free for another process, and end.
    End(oneshot::Sender<()>),
}

/// A spill that the writer and its disk tasks share.
#[derive(Clone)]
struct SharedSpill(Arc<Mutex<Spill>>);

impl SharedSpill {
    fn lock(&self) -> MutexGuard<'_, Spill> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs disk work where it may block.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&mut Spill) -> T + Send + 'static) -> T {
        let spill = self.clone();
        match tokio::task::spawn_blocking(move || work(&mut spill.lock())).await {
            Ok(done) => done,
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            // The runtime is ending, and this task with it.
            Err(_) => std::future::pending().await,
        }
    }
}

/// The writer's own state.
pub(crate) struct Writer {
    messages: mpsc::Receiver<Message>,
    delivery: Delivery,
    spill: Option<SharedSpill>,
    config: Config,
    metrics: Metrics,
}

impl Writer {
    pub(crate) fn new(
        messages: mpsc::Receiver<Message>,
        delivery: Delivery,
        spill: Option<Spill>,
        config: Config,
    ) -> Self {
        let metrics = delivery.metrics.clone();
        Writer {
            messages,
            delivery,
            spill: spill.map(|spill| SharedSpill(Arc::new(Mutex::new(spill)))),
            config,
            metrics,
        }
    }

    /// Works until it is told to end, or every sender is gone.
    pub(crate) async fn run(mut self) {
        let mut ends = self.work().await;
        self.messages.close();
        // Calls that came behind the end hear that nobody works here any more.
        while let Ok(message) = self.messages.try_recv() {
            match message {
                Message::Write(_) | Message::Purged(_) => {}
                Message::End(done) => ends.push(done),
            }
        }
        if let Some(spill) = &self.spill {
            spill.run(|spill| spill.unlock()).await;
        }
        for end in ends {
            // Whoever asked may have gone.
            let _ = end.send(());
        }
    }

    /// Returns who told it to end.
    async fn work(&mut self) -> Vec<oneshot::Sender<()>> {
        loop {
            if let Some(spill) = &self.spill
                && !spill.lock().is_empty()
            {
                let spill = spill.clone();
                if let Some(ends) = self.empty(&spill).await {
                    return ends;
                }
            }
            let Some(message) = self.messages.recv().await else {
                return Vec::new();
            };
            let linger = Duration::from_secs_f64(self.config.linger_seconds);
            let mut gathered =
                gather(&mut self.messages, message, linger, self.config.batch_points_max).await;
            let ends = std::mem::take(&mut gathered.ends);
            self.write(gathered).await;
            if !ends.is_empty() {
                return ends;
            }
        }
    }

    /// Writes what has gathered, to InfluxDB or else to the spill, and answers.
    async fn write(&mut self, gathered: Gathered) {
        let Gathered { calls, purged, .. } = gathered;
        for before in purged {
            self.delivery.recall.forget_before(before);
        }
        let ops: Vec<&Op> = calls.iter().flat_map(|call| &call.ops).collect();
        if !ops.is_empty() {
            match self.deliver(&ops).await {
                Ok(refused) => answer(calls, &refused),
                Err(trouble) => self.keep(calls, trouble).await,
            }
        }
    }

    /// Delivers, again where that may help.
    async fn deliver(&mut self, ops: &[&Op]) -> std::result::Result<Refused, Trouble> {
        let mut attempt = 0;
        loop {
            let trouble = match self.delivery.deliver(ops).await {
                Ok(refused) => return Ok(refused),
                Err(trouble) => trouble,
            };
            self.metrics.failures.inc();
            let wait = match &trouble {
                Trouble::Away { wait, .. } => wait.unwrap_or(self.config.backoff(attempt)),
                Trouble::Unready { .. }
                | Trouble::Refused { .. }
                | Trouble::TooLarge
                | Trouble::Odd { .. } => return Err(trouble),
            };
            // A server that wants to be left alone for long is better served by the spill.
            if attempt >= self.config.retries_max || wait > Duration::from_secs(1) {
                return Err(trouble);
            }
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// Spills what could not be delivered, or refuses it where there is no spill.
    async fn keep(&self, calls: Vec<Call>, trouble: Trouble) {
        match &self.spill {
            Some(spill) => {
                warn!(error = %trouble, "InfluxDB cannot be written to, records go to the spill");
                keep(spill, calls, &self.metrics).await;
            }
            None => {
                warn!(error = %trouble, "InfluxDB cannot be written to, and there is no spill");
                for call in calls {
                    self.metrics.turned_away.inc_by(call.ops.len() as u64);
                    let _ = call.done.send(Err(trouble.clone().while_doing(call.doing)));
                }
            }
        }
    }

    /// Empties the spill while new calls go to its end. When it is told to end meanwhile, who did.
    async fn empty(&mut self, spill: &SharedSpill) -> Option<Vec<oneshot::Sender<()>>> {
        info!(
            bytes = spill.lock().bytes(),
            "records in the spill wait for InfluxDB"
        );
        let gate = replay::Gate::default();
        let Writer {
            messages,
            delivery,
            config,
            metrics,
            ..
        } = self;
        let mut purged = Vec::new();
        let linger = Duration::from_secs_f64(config.linger_seconds);
        {
            let replay = replay::run(delivery, spill, config, metrics, &gate);
            let mut replay = std::pin::pin!(replay);
            loop {
                tokio::select! {
                    biased;
                    () = &mut replay => break,
                    () = gate.changed() => {}
                    message = messages.recv(), if !gate.is_shut() => {
                        let Some(message) = message else { return Some(Vec::new()) };
                        let gathered = gather(messages, message, linger, config.batch_points_max).await;
                        purged.extend(gathered.purged);
                        keep(spill, gathered.calls, metrics).await;
                        if !gathered.ends.is_empty() {
                            return Some(gathered.ends);
                        }
                    }
                }
            }
        }
        for before in purged {
            self.delivery.recall.forget_before(before);
        }
        info!("the spill is empty");
        None
    }
}

/// Calls that came together.
struct Gathered {
    calls: Vec<Call>,
    purged: Vec<Timestamp>,
    ends: Vec<oneshot::Sender<()>>,
}

impl Gathered {
    fn take(&mut self, message: Message) {
        match message {
            Message::Write(call) => self.calls.push(call),
            Message::Purged(before) => self.purged.push(before),
            Message::End(done) => self.ends.push(done),
        }
    }

    fn ops(&self) -> usize {
        self.calls.iter().map(|call| call.ops.len()).sum()
    }
}

/// Waits a moment for others, up to a full batch.
async fn gather(
    messages: &mut mpsc::Receiver<Message>,
    first: Message,
    linger: Duration,
    ops_max: usize,
) -> Gathered {
    let mut gathered = Gathered {
        calls: Vec::new(),
        purged: Vec::new(),
        ends: Vec::new(),
    };
    gathered.take(first);
    let until = Instant::now() + linger;
    while gathered.ops() < ops_max
        && gathered.ends.is_empty()
        && let Ok(Some(message)) = timeout_at(until, messages.recv()).await
    {
        gathered.take(message);
    }
    gathered
}

/// Answers calls whose operations were delivered in their order.
fn answer(calls: Vec<Call>, refused: &Refused) {
    let mut start = 0;
    for call in calls {
        let end = start + call.ops.len();
        let first = (start..end).find_map(|n| Some((&call.ops[n - start], refused.get(&n)?)));
        let result = match first {
            None => Ok(()),
            Some((op, why)) => {
                let others = (start..end).filter(|n| refused.contains_key(n)).count() - 1;
                let and = if others > 0 {
                    format!(" (and {others} more)")
                } else {
                    String::new()
                };
                Err(StorageError::refused(
                    call.doing,
                    format!("{}{and}: {why}", op.subject()),
                ))
            }
        };
        // Whoever asked may have gone; the records are stored all the same.
        let _ = call.done.send(result);
        start = end;
    }
}

/// Spills calls and answers them.
async fn keep(spill: &SharedSpill, calls: Vec<Call>, metrics: &Metrics) {
    if calls.is_empty() {
        return;
    }
    let (calls, result, bytes) = spill
        .run(move |spill| {
            let batches: Vec<&[Op]> = calls.iter().map(|call| call.ops.as_slice()).collect();
            let result = spill.append(&batches);
            (calls, result, spill.bytes())
        })
        .await;
    metrics.spill_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    let (taken, why) = match result {
        Ok(taken) => (taken, None),
        Err(e) => (0, Some(e)),
    };
    if let Some(e) = &why {
        warn!(error = %e, "records are turned away");
    }
    for (n, call) in calls.into_iter().enumerate() {
        let records = call.ops.len() as u64;
        let result = if n < taken {
            metrics.spilled.inc_by(records);
            Ok(())
        } else {
            metrics.turned_away.inc_by(records);
            let source = why
                .as_ref()
                .map_or("the spill is full".to_owned(), SpillError::to_string);
            Err(StorageError::Unavailable {
                doing: call.doing,
                source: source.into(),
            })
        };
        let _ = call.done.send(result);
    }
}
