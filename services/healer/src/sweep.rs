//! Ends records whose case went on without them: a person released the case, and the healer that held it died before
//! it could write that down. Every healer sweeps; the first end of a record stays, so that several do no harm.

use crate::Healer;
use crate::error::Error;
use immune_domain::Timestamp;
use immune_domain::case::{AttemptOutcome, Case, State};
use immune_domain::healing::{Healing, Outcome};
use immune_proto::{convert, v1};
use immune_store::healings::HealingFilter;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

/// Records looked at in one sweep, the newest first.
const RECORDS_MAX: u32 = 500;
/// How long quarantine may take to say how a case stands.
const GET_MAX: Duration = Duration::from_secs(5);

/// Runs until the token is cancelled.
pub(crate) async fn run(healer: Arc<Healer>, shutdown: CancellationToken) {
    let mut timer = tokio::time::interval(Duration::from_secs(healer.config.sweep_interval_seconds));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            swept = sweep(&healer) => {
                if let Err(error) = swept {
                    tracing::warn!(%error, "records could not be swept");
                }
            }
        }
    }
}

async fn sweep(healer: &Healer) -> Result<(), Error> {
    let filter = HealingFilter {
        limit: RECORDS_MAX,
        ..HealingFilter::default()
    };
    let records = healer.store.list(&filter).await;
    healer.said_by_store(&records);
    for record in records? {
        if record.outcome.is_final() {
            continue;
        }
        let case = case_of(healer, &record).await?;
        if let Some(outcome) = orphaned(case.as_ref(), &record, healer.clock.now()) {
            tracing::info!(healing = %record.id, case = %record.case, outcome = outcome.as_str(), "record ended by the sweep");
            let ended = Healing { outcome, ..record };
            if healer.store.finish(&ended).await? {
                healer.metrics.ended(&ended.outcome);
            }
        }
    }
    Ok(())
}

async fn case_of(healer: &Healer, record: &Healing) -> Result<Option<Case>, Error> {
    let request = v1::GetCaseRequest {
        case_id: record.case.to_string(),
    };
    let mut quarantine = healer.quarantine.clone();
    let answer = tokio::time::timeout(GET_MAX, quarantine.get_case(request)).await;
    match answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time"))) {
        Ok(answer) => Ok(convert::optional("case", answer.into_inner().case)?),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(Error::Role {
            doing: "reading a case",
            status: Box::new(status),
        }),
    }
}

/// How a record ends whose case does not have its step under way; `None` while it has.
fn orphaned(case: Option<&Case>, record: &Healing, at: Timestamp) -> Option<Outcome> {
    let Some(case) = case else {
        return Some(Outcome::Abandoned {
            at,
            detail: "the case is no longer on record".to_owned(),
        });
    };
    match &case.state {
        State::Healing { step: Some(step), .. } | State::Probation { step, .. }
            if step.healing == record.id =>
        {
            return None;
        }
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healing { .. }
        | State::Probation { .. }
        | State::Healed { .. }
        | State::Released { .. } => {}
    }
    let Some(attempt) = case.attempts.iter().find(|attempt| attempt.healing == record.id) else {
        let detail = format!("the case went on without it and is {}", case.state.as_str());
        return Some(Outcome::Abandoned { at, detail });
    };
    let (at, detail) = (attempt.at, attempt.detail.clone());
    let acted = matches!(record.outcome, Outcome::Verifying { .. });
    Some(match attempt.outcome {
        AttemptOutcome::Succeeded => Outcome::Succeeded { at, detail },
        AttemptOutcome::Failed => Outcome::Failed { at, acted, detail },
        AttemptOutcome::Unsupported => Outcome::Unsupported { at, detail },
        AttemptOutcome::Unproven => Outcome::Abandoned { at, detail },
    })
}
