//! Takes cases that may be healed, a bounded number at a time.

use crate::error::Error;
use crate::{Healer, job};
use immune_domain::case::Case;
use immune_proto::{convert, v1};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Runs until the token is cancelled; jobs in hand are dropped then, at a point from which they can be resumed.
pub(crate) async fn run(healer: Arc<Healer>, shutdown: CancellationToken) {
    let mut jobs = JoinSet::new();
    let mut timer = tokio::time::interval(Duration::from_millis(healer.config.poll_interval_ms));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = timer.tick() => {}
            Some(ended) = jobs.join_next(), if !jobs.is_empty() => report(ended),
        }
        while let Some(ended) = jobs.try_join_next() {
            report(ended);
        }
        while jobs.len() < healer.config.concurrency {
            match claim(&healer).await {
                Ok(Some((case, fence))) => {
                    healer.metrics.claimed.inc();
                    tracing::info!(case = %case.id, agent = %case.key, state = case.state.as_str(), "case taken");
                    jobs.spawn(job::run(healer.clone(), case, fence));
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "no case could be taken");
                    break;
                }
            }
        }
        healer
            .metrics
            .in_hand
            .set(i64::try_from(jobs.len()).unwrap_or(i64::MAX));
    }
    jobs.shutdown().await;
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a healing job ended abnormally; its case is taken again after its lease");
    }
}

async fn claim(healer: &Healer) -> Result<Option<(Case, u64)>, Error> {
    let request = v1::ClaimHealingRequest {
        worker: healer.worker.clone(),
        lease_ms: healer.config.lease_ms,
    };
    let answer = healer.quarantine.clone().claim_healing(request).await;
    let answer = answer.map_err(|status| Error::Role {
        doing: "claiming a case",
        status: Box::new(status),
    })?;
    let v1::ClaimHealingResponse { case, fence } = answer.into_inner();
    Ok(convert::optional("case", case)?.map(|case| (case, fence)))
}
