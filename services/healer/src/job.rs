//! One case in hand: holds its lease and does what its state asks for.

use crate::Healer;
use crate::act::Acted;
use crate::error::Error;
use crate::probation::Proof;
use immune_domain::case::{Case, State, Step, Verdict};
use immune_domain::healing::{Action, Healing, Outcome, Round, Trigger, plan};
use immune_domain::{CaseId, HealingId};
use immune_proto::{convert, v1};
use immune_store::healings::HealingFilter;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Response, Status};
use uuid::Uuid;

/// First and longest wait between two tries of a call that may succeed later.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// Records of a case that are looked at when it closes under us.
const RECORDS_MAX: u32 = 1_000;

/// The code word with which quarantine refuses what comes after the end of a case.
const CLOSED: &str = "quarantine.case_closed";

/// Does what can be done for a case, as long as the lease holds.
pub(crate) async fn run(healer: Arc<Healer>, case: Case, fence: u64, claimed_at: Instant) {
    let id = case.id.clone();
    let job = Job {
        healer: &healer,
        case: id.clone(),
        fence,
        held_until: Mutex::new(claimed_at + healer.config.lease()),
    };
    let result = tokio::select! {
        result = job.work(case) => result,
        lost = job.hold() => Err(lost),
    };
    match result {
        Ok(()) => {}
        Err(error) if error.is_refusal(CLOSED) => {
            healer.metrics.lost.inc();
            tracing::info!(case = %id, "case was closed while it was in hand");
            if let Err(error) = job.abandon().await {
                tracing::warn!(%error, case = %id, "a healing could not be ended; the sweep will do it");
            }
        }
        Err(error)
            if error.is_refusal("quarantine.stale_fence") || error.is_refusal("quarantine.wrong_state") =>
        {
            healer.metrics.lost.inc();
            tracing::info!(case = %id, %error, "case is in other hands");
        }
        Err(error) => {
            healer.metrics.errors.inc();
            tracing::warn!(case = %id, %error, "healing stopped; the case is taken again after its lease");
        }
    }
}

/// A case that is held.
pub(crate) struct Job<'a> {
    pub(crate) healer: &'a Healer,
    pub(crate) case: CaseId,
    pub(crate) fence: u64,
    /// Until when nobody else can have taken the case over, counted from before the last renewal was asked for.
    pub(crate) held_until: Mutex<Instant>,
}

impl Job<'_> {
    /// Goes on from wherever the case is.
    async fn work(&self, mut case: Case) -> Result<(), Error> {
        loop {
            case = match &case.state {
                State::Healing {
                    step: None, trigger, ..
                } => match self.choose(&case, *trigger).await? {
                    Some(next) => next,
                    None => return Ok(()),
                },
                State::Healing {
                    step: Some(step),
                    trigger,
                    ..
                } => self.heal(&case, step, *trigger).await?,
                State::Probation {
                    step, trigger, since, ..
                } => {
                    let record = self.record(&case, step, *trigger).await?;
                    let proof = self.prove(&case, step, *since, &record).await?;
                    self.conclude(&case, step, record, proof).await?
                }
                // The step has ended and the case is in nobody's hands; it is claimed anew when its time comes.
                State::AwaitingApproval { .. }
                | State::Rejected { .. }
                | State::HealQueued { .. }
                | State::Healed { .. }
                | State::Released { .. } => return Ok(()),
            };
        }
    }

    /// Chooses the next step and begins it; `None` when no step is left and a person was asked.
    async fn choose(&self, case: &Case, trigger: Trigger) -> Result<Option<Case>, Error> {
        let policy = self.healer.policy(case);
        let memories = self
            .stored(|| self.healer.store.memories(&case.key, case.diagnosis()))
            .await?;
        let plan = plan(policy.ladder(case.diagnosis()), &memories, Round::of(case));
        let Some(&action) = plan.steps.first() else {
            self.healer.metrics.exhausted.inc();
            let detail = plan.skipped_in_words();
            tracing::info!(case = %self.case, detail, "no step is left");
            let request = v1::GiveUpHealingRequest {
                case_id: self.case.to_string(),
                fence: self.fence,
                detail,
            };
            let given_up = self.called("giving up", || {
                let (mut quarantine, request) = (self.healer.quarantine.clone(), request.clone());
                async move { quarantine.give_up_healing(request).await }
            });
            match given_up.await {
                Ok(_) => return Ok(None),
                // An answer was lost: the case waits for a person already.
                Err(error) if error.is_refusal("quarantine.wrong_state") => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        let healing = HealingId::new(Uuid::new_v4().to_string());
        tracing::info!(case = %self.case, %healing, %action, trigger = trigger.as_str(), "step begins");
        let next = self.begin(healing, action).await?;
        Ok(Some(next))
    }

    async fn begin(&self, healing: HealingId, action: Action) -> Result<Case, Error> {
        let request = v1::BeginStepRequest {
            case_id: self.case.to_string(),
            fence: self.fence,
            healing_id: healing.to_string(),
            action: action.to_string(),
        };
        let answer = self.called("beginning a step", || {
            let (mut quarantine, request) = (self.healer.quarantine.clone(), request.clone());
            async move { quarantine.begin_step(request).await }
        });
        Ok(convert::nested("case", answer.await?.case)?)
    }

    /// The healing's own record, written before the lever is asked; found as it was left when this is a resumption.
    async fn record(&self, case: &Case, step: &Step, trigger: Trigger) -> Result<Healing, Error> {
        let healing = Healing {
            id: step.healing.clone(),
            case: case.id.clone(),
            key: case.key.clone(),
            diagnosis: case.diagnosis(),
            action: step.action,
            trigger,
            started_at: step.started_at,
            outcome: Outcome::Running,
        };
        self.stored(|| self.healer.store.begin(&healing)).await?;
        let stored = self.stored(|| self.healer.store.get(&healing.id)).await?;
        stored.ok_or(Error::HealingNotFound(healing.id))
    }

    /// Acts, unless the record says how that ended, and reports it.
    async fn heal(&self, case: &Case, step: &Step, trigger: Trigger) -> Result<Case, Error> {
        use v1::end_step_request::Outcome as Ended;
        self.healer.metrics.steps.inc();
        let record = self.record(case, step, trigger).await?;
        let outcome = match &record.outcome {
            Outcome::Running => {
                let acted = self.act(case, step).await?;
                self.still_held().await?;
                let at = self.healer.clock.now();
                let outcome = match acted {
                    Acted::Done(detail) => Outcome::Verifying { acted_at: at, detail },
                    Acted::Failed(detail) => Outcome::Failed {
                        at,
                        acted: false,
                        detail,
                    },
                    Acted::Unsupported(detail) => Outcome::Unsupported { at, detail },
                    // Says nothing about the action, so that memory must not hold it against it.
                    Acted::Unknown(detail) => Outcome::Abandoned { at, detail },
                };
                self.finish(record, outcome.clone()).await?;
                outcome
            }
            known @ (Outcome::Verifying { .. }
            | Outcome::Succeeded { .. }
            | Outcome::Failed { .. }
            | Outcome::Unsupported { .. }
            | Outcome::Abandoned { .. }) => known.clone(),
        };
        let (ended, detail) = match outcome {
            Outcome::Running => (Ended::Unspecified, String::new()),
            Outcome::Verifying { detail, .. } | Outcome::Succeeded { detail, .. } => (Ended::Done, detail),
            Outcome::Failed { detail, .. } | Outcome::Abandoned { detail, .. } => (Ended::Failed, detail),
            Outcome::Unsupported { detail, .. } => (Ended::Unsupported, detail),
        };
        tracing::info!(case = %self.case, healing = %step.healing, action = %step.action, outcome = ended.as_str_name(), detail, "step ended");
        let request = v1::EndStepRequest {
            case_id: self.case.to_string(),
            fence: self.fence,
            healing_id: step.healing.to_string(),
            outcome: ended.into(),
            detail,
        };
        let answer = self.called("ending a step", || {
            let (mut quarantine, request) = (self.healer.quarantine.clone(), request.clone());
            async move { quarantine.end_step(request).await }
        });
        Ok(convert::nested("case", answer.await?.case)?)
    }

    /// Writes the proof down, then reports it.
    async fn conclude(&self, case: &Case, step: &Step, record: Healing, proof: Proof) -> Result<Case, Error> {
        let Proof { verdict, detail } = proof;
        let at = self.healer.clock.now();
        let outcome = match verdict {
            Verdict::Passed => Outcome::Succeeded {
                at,
                detail: detail.clone(),
            },
            Verdict::Failed => Outcome::Failed {
                at,
                acted: true,
                detail: detail.clone(),
            },
            Verdict::Silent => Outcome::Abandoned {
                at,
                detail: detail.clone(),
            },
        };
        self.still_held().await?;
        self.finish(record, outcome).await?;
        tracing::info!(case = %case.id, healing = %step.healing, action = %step.action, ?verdict, detail, "probation ended");
        let request = v1::VerifyHealingRequest {
            case_id: self.case.to_string(),
            fence: self.fence,
            healing_id: step.healing.to_string(),
            verdict: v1::verify_healing_request::Verdict::from(verdict).into(),
            detail,
        };
        let answer = self.called("reporting a verdict", || {
            let (mut quarantine, request) = (self.healer.quarantine.clone(), request.clone());
            async move { quarantine.verify_healing(request).await }
        });
        Ok(convert::nested("case", answer.await?.case)?)
    }

    async fn finish(&self, record: Healing, outcome: Outcome) -> Result<(), Error> {
        let ended = Healing { outcome, ..record };
        if self.stored(|| self.healer.store.finish(&ended)).await? && ended.outcome.is_final() {
            self.healer.metrics.ended(&ended.outcome);
        }
        Ok(())
    }

    /// Ends the records of a case that was closed under us.
    async fn abandon(&self) -> Result<(), Error> {
        let filter = HealingFilter {
            case: Some(self.case.clone()),
            limit: RECORDS_MAX,
            ..HealingFilter::default()
        };
        for record in self.healer.store.list(&filter).await? {
            if !record.outcome.is_final() {
                let detail = "the case was closed while the healing was under way".to_owned();
                self.finish(
                    record,
                    Outcome::Abandoned {
                        at: self.healer.clock.now(),
                        detail,
                    },
                )
                .await?;
            }
        }
        Ok(())
    }

    /// Calls another role until it answers for good. Not bounded here: the job ends when its lease is lost.
    pub(crate) async fn called<T, F>(
        &self,
        doing: &'static str,
        mut call: impl FnMut() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut wait = RETRY_FIRST;
        loop {
            match call().await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if immune_runtime::grpc::kind(&status).is_retryable() => {
                    tracing::debug!(%status, doing, "trying again");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_MAX);
                }
                Err(status) => {
                    return Err(Error::Role {
                        doing,
                        status: Box::new(status),
                    });
                }
            }
        }
    }

    /// Calls the store until it answers for good. Not bounded here: the job ends when its lease is lost.
    async fn stored<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, immune_store::StorageError>>,
    {
        let mut wait = RETRY_FIRST;
        loop {
            let answer = call().await;
            self.healer.said_by_store(&answer);
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) if error.kind().is_retryable() => {
                    tracing::debug!(%error, "trying again");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_MAX);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
