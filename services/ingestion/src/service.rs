//! The role: decoded requests in, records to the writer, time to the assembler.

use crate::Config;
use crate::assemble::{Accepted, Assembler, Emitted, Runs};
use crate::limits::{self, Known};
use crate::metrics::{Metrics, ReasonLabels, Signal, SignalLabels};
use crate::torn;
use crate::view::RequestView;
use crate::writer::{NotStored, Work, Writer};
use immune_bus::Publisher;
use immune_domain::vitals::Vitals;
use immune_domain::{ErrorKind, Timestamp};
use immune_door::Door;
use immune_proto::v1;
use immune_proto::v1::ingestion_service_server::IngestionServiceServer;
use immune_runtime::clock::SharedClock;
use immune_runtime::grpc::Peers;
use immune_store::VitalsStore;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Time between two looks at open traces.
const TICK: Duration = Duration::from_millis(250);
/// How long a request waits for room behind the writer before its sender is told to come back.
const ROOM_WAIT: Duration = Duration::from_secs(2);
/// How long draining may take once no more requests come: open traces are finished, and what is left is stored and
/// published. With the time that requests under way have to end it stays below the process's own limit,
/// [`immune_runtime::lifecycle::DRAIN_MAX`].
pub const DRAIN_MAX: Duration = Duration::from_secs(8);
/// How long the records of open traces wait for room behind the writer then.
const DRAIN_ROOM_WAIT: Duration = Duration::from_secs(4);
/// How long a request waits for the store.
const STORE_WAIT: Duration = Duration::from_secs(10);

/// What the role is built from.
pub struct Dependencies {
    /// Where vitals go.
    pub store: Arc<dyn VitalsStore>,
    /// Where vitals go on to.
    pub bus: Arc<dyn Publisher>,
    /// What is normal, for the watch on running executions: each replica tells what it holds.
    pub baseline: Peers,
    /// Who may send.
    pub door: Door,
    /// Tells the time.
    pub clock: SharedClock,
    /// Where the role counts.
    pub metrics: Metrics,
}

/// Why a request was not taken. Nothing of it is lost for the sender: it may repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Too many requests wait to be stored.
    #[error("too many requests wait to be stored; repeat the request later")]
    Overloaded,
    /// The store, the bus or one of its consumers is away.
    #[error("records cannot be stored at the moment; repeat the request later")]
    Unavailable,
    /// The process drains.
    #[error("this server is stopping; repeat the request")]
    Stopping,
}

impl NotTaken {
    /// What a sender may do about it.
    pub fn kind(self) -> ErrorKind {
        match self {
            NotTaken::Overloaded => ErrorKind::Overloaded,
            NotTaken::Unavailable | NotTaken::Stopping => ErrorKind::Unavailable,
        }
    }
}

/// The ingestion role.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    assembler: Mutex<Assembler>,
    work: RwLock<Option<mpsc::Sender<Work>>>,
    writer: Mutex<Option<(Writer, mpsc::Receiver<Work>)>>,
    /// Ends the writer's attempts.
    end: CancellationToken,
    limits: Known,
    baseline: Peers,
    door: Door,
    clock: SharedClock,
    metrics: Metrics,
    spans_refused: AtomicU64,
    last_received: AtomicI64,
    started_at: Timestamp,
}

impl Service {
    /// Builds the role; nothing runs before [`Service::run`].
    pub fn new(config: Config, dependencies: Dependencies) -> Self {
        let Dependencies {
            store,
            bus,
            baseline,
            door,
            clock,
            metrics,
        } = dependencies;
        let started_at = clock.now();
        let (work, waiting) = mpsc::channel(config.waiting_max);
        let end = CancellationToken::new();
        let writer = Writer {
            store,
            bus,
            metrics: metrics.clone(),
            held_max: config.waiting_max,
            end: end.clone(),
        };
        let assembler = Assembler::new(config.spans.clone(), config.dialect.apply());
        Service {
            inner: Arc::new(Inner {
                config,
                assembler: Mutex::new(assembler),
                work: RwLock::new(Some(work)),
                writer: Mutex::new(Some((writer, waiting))),
                end,
                limits: Known::default(),
                baseline,
                door,
                clock,
                metrics,
                spans_refused: AtomicU64::new(0),
                last_received: AtomicI64::new(0),
                started_at,
            }),
        }
    }

    /// The gRPC service.
    pub fn grpc(&self) -> IngestionServiceServer<Self> {
        IngestionServiceServer::new(self.clone())
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn door(&self) -> &Door {
        &self.inner.door
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Takes the spans of one request; returns when their vitals, and those of every request before, are durable.
    ///
    /// # Errors
    /// When the sender should repeat the request.
    pub async fn traces<'r>(
        &self,
        runs: Runs<'_>,
        request: impl RequestView<'r>,
    ) -> Result<Accepted, NotTaken> {
        let accepted = self
            .assemble(|assembler, now, emitted| assembler.accept(runs, request, now, emitted))
            .await?;
        for (reason, count) in &accepted.rejected {
            self.metrics()
                .spans_refused
                .get_or_create(&ReasonLabels {
                    reason: reason.as_str(),
                })
                .inc_by(*count);
        }
        self.inner
            .spans_refused
            .fetch_add(accepted.rejected_count(), Ordering::Relaxed);
        self.received(Signal::Traces, accepted.accepted);
        Ok(accepted)
    }

    /// Takes the log records of one request. Some tell tokens that spans lack; none is refused.
    ///
    /// # Errors
    /// When the sender should repeat the request.
    pub async fn logs(&self, runs: Runs<'_>, request: &ExportLogsServiceRequest) -> Result<(), NotTaken> {
        self.assemble(|assembler, now, emitted| assembler.accept_logs(runs, request, now, emitted))
            .await?;
        let scopes = request
            .resource_logs
            .iter()
            .flat_map(|resource| &resource.scope_logs);
        self.received(
            Signal::Logs,
            scopes.map(|scope| scope.log_records.len() as u64).sum(),
        );
        Ok(())
    }

    async fn assemble<T>(
        &self,
        accept: impl FnOnce(&mut Assembler, Timestamp, &mut Vec<Emitted>) -> T,
    ) -> Result<T, NotTaken> {
        let room = self.room(ROOM_WAIT).await?;
        let (done, stored) = oneshot::channel();
        let accepted = {
            // Accepting and queueing are one step under the lock, so that records keep the order of acceptance.
            let mut assembler = self
                .inner
                .assembler
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let mut emitted = Vec::new();
            let accepted = accept(&mut assembler, self.now(), &mut emitted);
            torn::mark(&mut emitted, self.inner.started_at);
            room.send(Work {
                emitted,
                done: Some(done),
            });
            accepted
        };
        stored_in_time(stored).await?;
        Ok(accepted)
    }

    /// Takes vitals that a platform posted.
    ///
    /// # Errors
    /// When the sender should repeat the request.
    pub async fn posted(&self, vitals: Vec<Vitals>) -> Result<(), NotTaken> {
        let room = self.room(ROOM_WAIT).await?;
        let (done, stored) = oneshot::channel();
        self.metrics().posted.inc_by(vitals.len() as u64);
        self.inner
            .last_received
            .store(self.now().as_micros(), Ordering::Relaxed);
        room.send(Work {
            emitted: vitals.into_iter().map(Emitted::Vitals).collect(),
            done: Some(done),
        });
        stored_in_time(stored).await
    }

    /// Counts a request of a signal and what it held.
    pub(crate) fn received(&self, signal: Signal, items: u64) {
        self.metrics()
            .requests
            .get_or_create(&SignalLabels { signal })
            .inc();
        self.metrics()
            .items
            .get_or_create(&SignalLabels { signal })
            .inc_by(items);
        self.inner
            .last_received
            .store(self.now().as_micros(), Ordering::Relaxed);
    }

    async fn room(&self, wait: Duration) -> Result<mpsc::OwnedPermit<Work>, NotTaken> {
        let work = self
            .inner
            .work
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let work = work.ok_or(NotTaken::Stopping)?;
        match tokio::time::timeout(wait, work.reserve_owned()).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) => Err(NotTaken::Stopping),
            Err(_) => Err(NotTaken::Overloaded),
        }
    }

    /// Writes, watches profiles and open traces until the token is cancelled; then finishes open traces as
    /// incomplete and returns when everything is stored and published, at the latest after [`DRAIN_MAX`]: what the
    /// store or the bus has not taken by then is lost, counted and logged. A second call does nothing.
    pub async fn run(self, shutdown: CancellationToken) {
        let taken = self
            .inner
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some((writer, waiting)) = taken else { return };
        let writing = tokio::spawn(writer.run(waiting));
        let watching = limits::watch(self.inner.baseline.clone(), self.inner.limits.clone());
        let watching = AbortOnDropHandle::new(tokio::spawn(watching));
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = tick.tick() => self.look_at_open_traces(false).await,
            }
        }
        drop(watching);
        let end = tokio::time::Instant::now() + DRAIN_MAX;
        let ending = tokio::spawn({
            let inner = self.inner.clone();
            async move {
                tokio::time::sleep_until(end).await;
                inner.end.cancel();
            }
        });
        self.look_at_open_traces(true).await;
        self.inner
            .work
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Err(error) = writing.await {
            tracing::error!(%error, "the writer of vitals failed");
        }
        ending.abort();
    }

    async fn look_at_open_traces(&self, drain: bool) {
        let wait = if drain { DRAIN_ROOM_WAIT } else { ROOM_WAIT };
        let inner = &self.inner;
        let Ok(room) = self.room(wait).await else {
            if drain {
                let totals = inner
                    .assembler
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .totals();
                tracing::error!(
                    traces = totals.traces,
                    "open traces lost: the store was away while draining"
                );
            }
            return;
        };
        let now = self.now();
        let mut emitted = Vec::new();
        let mut assembler = inner.assembler.lock().unwrap_or_else(PoisonError::into_inner);
        if drain {
            assembler.drain(now, &mut emitted);
        } else {
            assembler.tick(now, &mut emitted);
            inner
                .limits
                .read(|limits| assembler.report_running(now, |key| limits.get(key).copied(), &mut emitted));
        }
        torn::mark(&mut emitted, inner.started_at);
        let totals = assembler.totals();
        inner.metrics.traces_open.set(totals.traces as i64);
        inner.metrics.traces_bytes.set(totals.bytes as i64);
        inner
            .metrics
            .traces_finished_early
            .set(totals.finished_early as i64);
        if !emitted.is_empty() {
            room.send(Work { emitted, done: None });
        }
    }

    /// What was received since the start, and what is held.
    pub fn status(&self) -> v1::GetIngestionStatusResponse {
        let totals = self
            .inner
            .assembler
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .totals();
        let metrics = self.metrics();
        let of = |signal| SignalLabels { signal };
        let all = [Signal::Traces, Signal::Metrics, Signal::Logs];
        let last = self.inner.last_received.load(Ordering::Relaxed);
        let silent = (last > 0).then(|| self.now().since(Timestamp::from_micros(last)).as_secs_f64());
        v1::GetIngestionStatusResponse {
            requests: all
                .map(|signal| metrics.requests.get_or_create(&of(signal)).get())
                .iter()
                .sum(),
            spans_accepted: metrics.items.get_or_create(&of(Signal::Traces)).get(),
            spans_refused: self.inner.spans_refused.load(Ordering::Relaxed),
            executions: totals.executions,
            open_traces: totals.traces as u64,
            late_executions: metrics.executions_late.get(),
            silent_seconds: silent,
        }
    }
}

async fn stored_in_time(stored: oneshot::Receiver<Result<(), NotStored>>) -> Result<(), NotTaken> {
    match tokio::time::timeout(STORE_WAIT, stored).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(NotStored::Overloaded))) => Err(NotTaken::Overloaded),
        Ok(Ok(Err(NotStored::Unavailable))) | Err(_) => Err(NotTaken::Unavailable),
        Ok(Err(_)) => Err(NotTaken::Stopping),
    }
}
