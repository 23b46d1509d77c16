//! Looks again and again whether what levers made is still there.
//!
//! A receipt says how it was when it was given. Somebody may take a policy away afterwards, or something take it back;
//! the agent need not execute for that to matter. Every replica patrols: a look changes nothing, and of two that find
//! the same thing missing the first save wins.

use crate::desk::Desk;
use futures::StreamExt;
use immune_domain::case::{Case, Command, Containment, LeverState, LeverStatus};
use immune_domain::{CaseId, Timestamp};
use immune_store::StorageError;
use immune_store::cases::CaseFilter;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Cases read at a time.
const PAGE: u32 = 200;
/// Looks at the same time.
const LOOKS_MAX: usize = 4;
/// The longest that one look may take.
const LOOK_MAX: Duration = Duration::from_secs(30);
/// A receipt this young is believed: platforms may show later what they have done.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// Runs until the token is cancelled.
pub(crate) async fn run(desk: Arc<Desk>, shutdown: CancellationToken) {
    let Some(every) = desk.config.patrol_interval() else {
        return;
    };
    let mut timer = tokio::time::interval(every);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            walked = walk(&desk) => if let Err(error) = walked {
                // The follower says that the store is away.
                tracing::debug!(%error, "the quarantines cannot be looked at");
            },
        }
    }
}

/// One look at every confirmed lever of every open case.
async fn walk(desk: &Desk) -> Result<(), StorageError> {
    let mut before: Option<(Timestamp, CaseId)> = None;
    loop {
        let filter = CaseFilter {
            open: Some(true),
            before,
            limit: PAGE,
            ..CaseFilter::default()
        };
        let page = desk.store.list(&filter).await?;
        let now = desk.clock.now();
        let mut looks = Vec::new();
        for case in &page {
            if now.since(case.quarantine.since) >= SETTLED_AFTER {
                let held = case.quarantine.levers.iter().filter(|lever| is_held(lever));
                looks.extend(held.map(|lever| look(desk, case, lever)));
            }
        }
        futures::stream::iter(looks)
            .buffer_unordered(LOOKS_MAX)
            .collect::<Vec<()>>()
            .await;
        match page.last() {
            Some(last) if page.len() == PAGE as usize => before = Some((last.opened_at, last.id.clone())),
            Some(_) | None => return Ok(()),
        }
    }
}

fn is_held(lever: &LeverState) -> bool {
    match (lever.wanted, lever.status) {
        (Containment::Contained, LeverStatus::Confirmed) => true,
        (Containment::Contained | Containment::Probation | Containment::Free, _) => false,
    }
}

async fn look(desk: &Desk, case: &Case, lever: &LeverState) {
    let Some(means) = desk.levers.get(&lever.lever) else {
        return;
    };
    let observed = tokio::time::timeout(LOOK_MAX, means.observe(&case.key)).await;
    // Who cannot tell takes nothing back.
    let Ok(Some(observed)) = observed else { return };
    if observed.contained {
        return;
    }
    let command = Command::LeverLost {
        lever: lever.lever.clone(),
        generation: lever.generation,
        detail: observed.state,
    };
    match desk.apply(&case.id, command).await {
        Ok(applied) if applied.changed => {
            desk.metrics.lost.inc();
            tracing::warn!(case = %case.id, agent = %case.key, lever = lever.lever, "a quarantine was taken away; asking again");
        }
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, case = %case.id, "a lost quarantine could not be recorded"),
    }
}
