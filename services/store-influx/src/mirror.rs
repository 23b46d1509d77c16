//! Writes profiles, case events, healings and the action log beside the vitals, so that one dashboard shows all seven
//! measurements. A mirror: workflow state never lives here, and a point that finds no room is counted and dropped.

mod points;

use crate::config::Config;
use crate::deliver;
use crate::metrics::Metrics;
use crate::server::Server;
use immune_domain::case::Case;
use immune_domain::healing::Healing;
use immune_store::action_log::LogRow;
use immune_store::baselines::StoredProfile;
use immune_store::cases::NewEvent;
use immune_store::observed::Observer;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

/// How long points wait for others to share a request with.
const LINGER: Duration = Duration::from_millis(200);

/// The observer. See the module.
pub(crate) struct Mirror {
    lines: mpsc::Sender<String>,
    ends: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
    metrics: Metrics,
}

impl Mirror {
    /// Starts the task that writes, on the current runtime.
    pub(crate) fn start(server: Arc<Server>, config: &Config, metrics: Metrics) -> Self {
        let (lines, inbox) = mpsc::channel(config.mirror_points_max);
        let (ends, end) = watch::channel(false);
        let worker = Worker {
            server,
            config: config.clone(),
            metrics: metrics.clone(),
            inbox,
            end,
        };
        Mirror {
            lines,
            ends,
            task: Mutex::new(Some(tokio::spawn(worker.run()))),
            metrics,
        }
    }

    /// Tries once to write what waits, and ends.
    pub(crate) async fn close(&self) {
        self.ends.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }

    fn send(&self, lines: impl IntoIterator<Item = String>) {
        for line in lines {
            if self.lines.try_send(line).is_err() {
                self.metrics.mirror_dropped.inc();
            }
        }
    }
}

impl Observer for Mirror {
    fn profiles(&self, batch: &[StoredProfile]) {
        self.send(batch.iter().map(|stored| points::profile(&stored.profile)));
    }

    fn case(&self, case: &Case, events: &[NewEvent]) {
        self.send(points::case(case, events));
    }

    fn healing(&self, healing: &Healing) {
        self.send([points::healing(healing)]);
    }

    fn log(&self, rows: &[LogRow]) {
        self.send(rows.iter().enumerate().map(|(n, row)| points::log(row, n)));
    }
}

struct Worker {
    server: Arc<Server>,
    config: Config,
    metrics: Metrics,
    inbox: mpsc::Receiver<String>,
    end: watch::Receiver<bool>,
}

impl Worker {
    async fn run(mut self) {
        loop {
            let first = tokio::select! {
                biased;
                first = self.inbox.recv() => first,
                () = ending(&mut self.end) => self.inbox.try_recv().ok(),
            };
            let Some(first) = first else { return };
            let mut batch = vec![first];
            let until = Instant::now() + LINGER;
            while batch.len() < self.config.batch_points_max {
                let next = if self.is_ending() {
                    self.inbox.try_recv().ok()
                } else {
                    timeout_at(until, self.inbox.recv()).await.ok().flatten()
                };
                let Some(next) = next else { break };
                batch.push(next);
            }
            if !self.write(&batch).await {
                return;
            }
        }
    }

    fn is_ending(&self) -> bool {
        *self.end.borrow()
    }

    /// Writes a batch, however long InfluxDB is away; meanwhile the queue fills. False when it is time to end.
    async fn write(&mut self, batch: &[String]) -> bool {
        let mut attempt = 0;
        loop {
            let trouble = match deliver::write(&self.server, batch, String::as_str).await {
                Ok(refused) => {
                    for (n, why) in &refused {
                        warn!(point = %batch[*n], why, "InfluxDB refuses a mirrored point");
                    }
                    self.metrics.mirror_dropped.inc_by(refused.len() as u64);
                    self.metrics.mirrored.inc_by((batch.len() - refused.len()) as u64);
                    return true;
                }
                Err(trouble) => trouble,
            };
            debug!(error = %trouble, "mirrored points wait for InfluxDB");
            let wait = self.config.backoff(attempt);
            attempt = attempt.saturating_add(1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = ending(&mut self.end) => {}
            }
            if self.is_ending() {
                let lost = batch.len() + self.inbox.len();
                warn!(points = lost, error = %trouble, "mirrored points are lost at the end");
                self.metrics.mirror_dropped.inc_by(lost as u64);
                return false;
            }
        }
    }
}

async fn ending(end: &mut watch::Receiver<bool>) {
    // The sender lives as long as the mirror; when it is gone, that is an end too.
    let _ = end.wait_for(|end| *end).await;
}
