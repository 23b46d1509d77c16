//! Brings the spill into InfluxDB, in its order, for as long as that takes.

use super::SharedSpill;
use crate::config::Config;
use crate::deliver::Delivery;
use crate::metrics::Metrics;
use crate::trouble::Trouble;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{error, warn};

/// When no more than this is left in the spill, new calls wait for the end instead of adding to it: otherwise a
/// steady stream of them would keep the spill from ever being empty.
const NEARLY_EMPTY_BYTES: u64 = 256 * 1_024;

/// Keeps new calls out of the spill while it is about to be empty.
#[derive(Default)]
pub(super) struct Gate {
    shut: AtomicBool,
    changed: Notify,
}

impl Gate {
    pub(super) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::SeqCst)
    }

    /// Returns when it may have been shut or opened since the last time.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn set(&self, shut: bool) {
        if self.shut.swap(shut, Ordering::SeqCst) != shut {
            self.changed.notify_one();
        }
    }
}

/// Returns when the spill is empty. While the gate is shut, nothing must be added to it.
pub(super) async fn run(
    delivery: &mut Delivery,
    spill: &SharedSpill,
    config: &Config,
    metrics: &Metrics,
    gate: &Gate,
) {
    let mut attempt = 0;
    loop {
        gate.set(spill.lock().bytes_left() <= NEARLY_EMPTY_BYTES);
        let wait = match step(delivery, spill, config, metrics).await {
            Ok(true) => {
                attempt = 0;
                continue;
            }
            Ok(false) => return,
            Err(wait) => wait.unwrap_or_else(|| config.backoff(attempt)),
        };
        // Nobody waits for a server that is away.
        gate.set(false);
        attempt = attempt.saturating_add(1);
        tokio::time::sleep(wait).await;
    }
}

/// Brings one page over; whether there was one. An error says how long to wait, if the server does.
async fn step(
    delivery: &mut Delivery,
    spill: &SharedSpill,
    config: &Config,
    metrics: &Metrics,
) -> Result<bool, Option<Duration>> {
    let ops_max = config.batch_points_max;
    let page = match spill.run(move |spill| spill.read(ops_max)).await {
        Ok(Some(page)) => page,
        Ok(None) => return Ok(false),
        Err(e) => {
            error!(error = %e, "the spill cannot be read");
            return Err(None);
        }
    };
    if page.damaged > 0 {
        error!(
            bytes = page.damaged,
            "part of the spill is damaged and is passed over"
        );
        metrics.spill_damaged.inc_by(page.damaged);
    }
    let refused = match delivery.deliver(&page.ops.iter().collect::<Vec<_>>()).await {
        Ok(refused) => refused,
        Err(trouble) => {
            metrics.failures.inc();
            warn!(error = %trouble, "the spill still waits for InfluxDB");
            return Err(match trouble {
                Trouble::Away { wait, .. } => wait,
                Trouble::Unready { .. }
                | Trouble::Refused { .. }
                | Trouble::TooLarge
                | Trouble::Odd { .. } => None,
            });
        }
    };
    for (n, why) in &refused {
        // Its sender was told that it is safe, so this must be seen.
        error!(record = %page.ops[*n].subject(), why, "InfluxDB refuses a record of the spill");
    }
    metrics.replayed.inc_by((page.ops.len() - refused.len()) as u64);
    let next = page.next;
    let (released, bytes) = spill.run(move |spill| (spill.release(next), spill.bytes())).await;
    metrics.spill_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    match released {
        Ok(()) => Ok(true),
        Err(e) => {
            error!(error = %e, "a file of the spill cannot be removed");
            Err(None)
        }
    }
}
