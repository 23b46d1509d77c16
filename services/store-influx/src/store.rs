//! The store that callers hold.

use crate::config::Config;
use crate::deliver::Delivery;
use crate::metrics::Metrics;
use crate::mirror::Mirror;
use crate::op::Op;
use crate::recall::Recall;
use crate::server::Server;
use crate::spill::Spill;
use crate::writer::{CALLS_MAX, Call, Message, Writer};
use crate::{purge, reads};
use async_trait::async_trait;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, AgentKey, ErrorKind, ExecutionId, RunId, Timestamp};
use immune_store::StorageError;
use immune_store::error::Result;
use immune_store::observed::Observer;
use immune_store::series::{Buckets, Latencies};
use immune_store::vitals::{AgentSummary, VitalsStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

/// The store could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options cannot be meant.
    #[error("the options for InfluxDB cannot be used: {}", mistakes.join("; "))]
    Config {
        /// Each with its path.
        mistakes: Vec<String>,
    },
    /// No client for this address and these certificates.
    #[error("no client for InfluxDB can be built")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The folder of the spill cannot be used.
    #[error("the spill folder {folder} cannot be used")]
    Spill {
        /// Which.
        folder: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl OpenError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            OpenError::Config { .. } => ErrorKind::Invalid,
            OpenError::Client(_) | OpenError::Spill { .. } => ErrorKind::Internal,
        }
    }
}

/// Vitals in InfluxDB. Opening it asks nothing of the server: it may come later.
pub struct InfluxStore {
    vitals: Arc<InfluxVitals>,
    mirror: Arc<Mirror>,
    writer: JoinHandle<()>,
}

impl InfluxStore {
    /// Opens the store, with whatever an earlier process left in the spill, and starts its writer on the current
    /// runtime.
    pub async fn open(config: Config, metrics: Metrics) -> std::result::Result<Self, OpenError> {
        let mut mistakes = Vec::new();
        config.check("influx", &mut mistakes);
        if !mistakes.is_empty() {
            return Err(OpenError::Config { mistakes });
        }
        for warning in config.warnings() {
            warn!("{warning}");
        }
        let server = Arc::new(Server::new(&config).map_err(OpenError::Client)?);
        let spill = match config.spill_dir.clone() {
            None => None,
            Some(folder) => Some(open_spill(folder, config.spill_bytes_max).await?),
        };
        if let Some(spill) = &spill {
            metrics
                .spill_bytes
                .set(i64::try_from(spill.bytes()).unwrap_or(i64::MAX));
        }
        let delivery = Delivery {
            server: server.clone(),
            recall: Recall::new(config.remembered_max),
            points_max: config.batch_points_max,
            bytes_max: config.batch_bytes_max,
            metrics: metrics.clone(),
        };
        let (messages, inbox) = mpsc::channel(CALLS_MAX);
        let writer = Writer::new(inbox, delivery, spill, config.clone());
        let vitals = InfluxVitals {
            server: server.clone(),
            messages,
            room: Arc::new(Semaphore::new(config.queue_records_max)),
            room_max: config.queue_records_max,
            patience: Duration::from_secs_f64(config.queue_seconds),
            metrics: metrics.clone(),
        };
        Ok(InfluxStore {
            vitals: Arc::new(vitals),
            mirror: Arc::new(Mirror::start(server, &config, metrics)),
            writer: tokio::spawn(writer.run()),
        })
    }

    /// The contract.
    pub fn vitals(&self) -> Arc<dyn VitalsStore> {
        self.vitals.clone()
    }

    /// The observer that writes profiles, case events, healings and the action log beside the vitals; for
    /// [`immune_store::observed::observe`].
    pub fn mirror(&self) -> Arc<dyn Observer> {
        self.mirror.clone()
    }

    /// Makes the database where a client may (1.x); elsewhere the error names the command. Harmless when there is one.
    pub async fn create_database(&self) -> Result<()> {
        let made = self.vitals.server.create_database().await;
        made.map_err(|trouble| trouble.while_doing("making the database"))
    }

    /// Waits until everything that was appended is written or spilled, what is mirrored is written once, and ends.
    pub async fn close(self) {
        let (done, ended) = oneshot::channel();
        if self.vitals.messages.send(Message::End(done)).await.is_ok() {
            let _ = ended.await;
        }
        self.mirror.close().await;
        let _ = self.writer.await;
    }
}

async fn open_spill(folder: std::path::PathBuf, bytes_max: u64) -> std::result::Result<Spill, OpenError> {
    let name = folder.display().to_string();
    let opened = tokio::task::spawn_blocking(move || Spill::open(&folder, bytes_max)).await;
    let opened = opened.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    opened.map_err(|source| OpenError::Spill { folder: name, source })
}

/// The [`VitalsStore`] of an InfluxDB.
pub(crate) struct InfluxVitals {
    server: Arc<Server>,
    messages: mpsc::Sender<Message>,
    room: Arc<Semaphore>,
    room_max: usize,
    patience: Duration,
    metrics: Metrics,
}

impl InfluxVitals {
    /// Queues operations and waits until they survive a crash.
    async fn write(&self, doing: &'static str, ops: Vec<Op>) -> Result<()> {
        if ops.is_empty() {
            return Ok(());
        }
        // A call larger than the whole queue may pass alone.
        let needed = u32::try_from(ops.len().min(self.room_max)).unwrap_or(u32::MAX);
        let room = timeout(self.patience, self.room.clone().acquire_many_owned(needed)).await;
        let Ok(Ok(room)) = room else {
            self.metrics.turned_away.inc_by(ops.len() as u64);
            return Err(StorageError::Unavailable {
                doing,
                source: format!("the queue for InfluxDB is full: {} records wait", self.room_max).into(),
            });
        };
        let (done, result) = oneshot::channel();
        let gone = || StorageError::Unavailable {
            doing,
            source: "the writer for InfluxDB has ended".into(),
        };
        let call = Call {
            doing,
            ops,
            done,
            room,
        };
        let sent = self.messages.send(Message::Write(call)).await;
        sent.map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl VitalsStore for InfluxVitals {
    async fn append(&self, batch: &[Vitals]) -> Result<()> {
        let ops = batch.iter().cloned().map(Op::Append).collect();
        self.write("appending vitals", ops).await
    }

    async fn retract(&self, executions: &[(AgentKey, ExecutionId)]) -> Result<()> {
        let ops = executions
            .iter()
            .map(|(key, execution)| Op::Retract(key.clone(), execution.clone()))
            .collect();
        self.write("retracting vitals", ops).await
    }

    async fn recent(&self, key: &AgentKey, since: Timestamp, limit: u32) -> Result<Vec<Vitals>> {
        reads::recent(&self.server, key, since, limit).await
    }

    async fn latest(&self, key: &AgentKey) -> Result<Option<Vitals>> {
        reads::latest(&self.server, key).await
    }

    async fn execution_count(&self, key: &AgentKey) -> Result<u64> {
        reads::count(&self.server, &key.run, Some(key)).await
    }

    async fn total_executions(&self, run: &RunId) -> Result<u64> {
        reads::count(&self.server, run, None).await
    }

    async fn agents(&self, run: &RunId, after: Option<&str>, limit: u32) -> Result<Vec<AgentSummary>> {
        reads::agents::page(&self.server, run, after, limit).await
    }

    async fn summaries(&self, run: &RunId, agents: &[AgentId]) -> Result<Vec<AgentSummary>> {
        reads::agents::these(&self.server, run, agents).await
    }

    async fn recent_latencies(&self, run: &RunId, agents: &[AgentId], limit: u32) -> Result<Vec<Latencies>> {
        reads::series::recent_latencies(&self.server, run, agents, limit).await
    }

    async fn between(
        &self,
        key: &AgentKey,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<Vitals>> {
        reads::series::between(&self.server, key, from, to, limit).await
    }

    async fn buckets(
        &self,
        key: &AgentKey,
        from: Timestamp,
        to: Timestamp,
        width: Duration,
    ) -> Result<Buckets> {
        reads::series::buckets(&self.server, key, from, to, width).await
    }

    async fn agents_seen(&self, run: &RunId, since: Timestamp) -> Result<u64> {
        reads::agents::seen(&self.server, run, since).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        let removed = purge::purge(&self.server, before).await?;
        if self.messages.send(Message::Purged(before)).await.is_err() {
            warn!("the writer for InfluxDB has ended");
        }
        Ok(removed)
    }

    async fn ping(&self) -> Result<()> {
        reads::ping(&self.server).await
    }
}
