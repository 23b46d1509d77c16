//! What time alone changes: waits escalate, first words of two lapse. Also keeps the directory small and the gauges right.

use crate::desk::Desk;
use crate::error::Error;
use immune_domain::Timestamp;
use immune_domain::case::Command;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Cases escalated in one pass at most; the rest follow in the next.
const CASES_MAX: usize = 1_000;

/// Runs until the token is cancelled.
pub(crate) async fn run(desk: Arc<Desk>, shutdown: CancellationToken) {
    let mut timer = tokio::time::interval(desk.config.tick_interval());
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        let now = desk.clock.now();
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = apply(&desk, now) => {}
        }
        desk.metrics.stand(&desk.directory.sweep(now));
    }
}

/// Applies the passing of time to the cases that it changes. Every replica does; the first save wins, and the others
/// find that the case has escalated already.
async fn apply(desk: &Desk, now: Timestamp) {
    for (id, key) in desk.directory.due(now, CASES_MAX) {
        match desk.apply(&id, Command::Tick).await {
            Ok(applied) if applied.changed => {
                let last = applied.case.timeline.last();
                if last.is_some_and(|entry| entry.kind == "escalated") {
                    desk.metrics.escalations.inc();
                }
            }
            // The directory was behind: bring it up to date, or this case would be looked at for ever.
            Ok(applied) => desk.directory.put(&applied.case),
            Err(Error::CaseNotFound(id)) => {
                tracing::warn!(case = %id, "case is gone");
                desk.directory.forget(&key, &id);
            }
            // What follows would fail as well; the follower says that the store is away.
            Err(Error::Store(error)) => {
                tracing::debug!(%error, case = %id, "time could not be applied");
                return;
            }
            Err(error) => tracing::warn!(%error, case = %id, "time could not be applied to a case"),
        }
    }
}
