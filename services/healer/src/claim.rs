//! Takes cases that may be healed, a bounded number at a time.

use crate::error::Error;
use crate::{Healer, job};
use immune_domain::case::Case;
use immune_proto::{convert, v1};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// How long quarantine may take to give a case.
const CLAIM_MAX: Duration = Duration::from_secs(5);
/// First and longest wait after quarantine could not be asked.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Runs until the token is cancelled. Jobs in hand are dropped then, at a point from which they can be resumed; their
/// leases lapse, so that another healer goes on after [`Config::lease_ms`](crate::Config::lease_ms) at most.
pub(crate) async fn run(healer: Arc<Healer>, shutdown: CancellationToken) {
    let mut jobs = JoinSet::new();
    let mut timer = tokio::time::interval(Duration::from_millis(healer.config.poll_interval_ms));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut retry = RETRY_FIRST;
    let mut not_before = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = timer.tick() => {}
            Some(ended) = jobs.join_next(), if !jobs.is_empty() => report(ended),
        }
        while let Some(ended) = jobs.try_join_next() {
            report(ended);
        }
        while jobs.len() < healer.config.concurrency && Instant::now() >= not_before {
            let claimed_at = Instant::now();
            let claimed = tokio::select! {
                () = shutdown.cancelled() => break,
                claimed = claim(&healer) => claimed,
            };
            healer.said_by_quarantine(&claimed);
            match claimed {
                Ok(claimed) => {
                    retry = RETRY_FIRST;
                    let Some((case, fence)) = claimed else {
                        break;
                    };
                    healer.metrics.claimed.inc();
                    tracing::info!(case = %case.id, agent = %case.key, state = case.state.as_str(), "case taken");
                    jobs.spawn(job::run(healer.clone(), case, fence, claimed_at));
                }
                Err(_) => {
                    not_before = Instant::now() + retry;
                    retry = (retry * 2).min(RETRY_MAX);
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
    healer.metrics.in_hand.set(0);
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
    let mut quarantine = healer.quarantine.clone();
    let answer = tokio::time::timeout(CLAIM_MAX, quarantine.claim_healing(request)).await;
    let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
    let answer = answer.map_err(|status| Error::Role {
        doing: "claiming a case",
        status: Box::new(status),
    })?;
    let v1::ClaimHealingResponse { case, fence } = answer.into_inner();
    Ok(convert::optional("case", case)?.map(|case| (case, fence)))
}
