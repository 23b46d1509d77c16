//! What runs beside the roles.

use immune_runtime::clock::SharedClock;
use immune_runtime::health::Readiness;
use immune_store::retention;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Time between two sweeps of old records.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Keeps a condition as a role's own state says.
pub(crate) fn stand<T: Send + Sync + 'static>(
    readiness: &Readiness,
    name: &'static str,
    mut state: watch::Receiver<T>,
    shutdown: &CancellationToken,
    problem: impl Fn(&T) -> Option<String> + Send + 'static,
) {
    let (condition, shutdown) = (readiness.condition(name), shutdown.clone());
    tokio::spawn(async move {
        loop {
            match problem(&state.borrow_and_update()) {
                None => condition.ok(),
                Some(reason) => condition.not(reason),
            }
            tokio::select! {
                changed = state.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
        }
    });
}

/// Runs something that never fails.
pub(crate) fn spawn(tasks: &mut JoinSet<anyhow::Result<()>>, run: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(async move {
        run.await;
        Ok(())
    });
}

/// Removes old records again and again. Several processes may do it: what one has removed the others do not find.
pub(crate) async fn sweep(
    stores: immune_store::Stores,
    keep: retention::Retention,
    clock: SharedClock,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP_INTERVAL) => {}
        }
        for swept in retention::sweep(&stores, &keep, clock.now()).await {
            match swept.result {
                Ok(0) => {}
                Ok(removed) => tracing::info!(records = swept.records, removed, "old records removed"),
                Err(error) => {
                    tracing::warn!(records = swept.records, %error, "old records not removed; trying again later");
                }
            }
        }
    }
}
