//! One step of the ladder: begun, done, failed, unsupported; and the end of the ladder.

use super::draft::Draft;
use super::lease::{check_fence, needs_approval, wrong_state};
use super::timeline::bounded;
use super::{
    Attempt, AttemptOutcome, Containment, Decided, EventKind, QuarantinePhase, Refusal, State, Step,
    WaitReason,
};
use crate::HealingId;
use crate::healing::{Action, Trigger};
use serde_json::json;
use std::time::Duration;

/// How a step ended that never reached probation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Failed,
    Unsupported,
}

/// A healer is about to act. Beginning the same step again changes nothing: the healer crashed, or its message was
/// delivered twice.
pub(super) fn begin(mut draft: Draft<'_>, fence: u64, healing: HealingId, action: Action) -> Decided {
    check_fence(&draft, fence, "begin_step")?;
    let State::Healing { trigger, lease, step } = &draft.case.state else {
        return Err(wrong_state(&draft, "begin_step"));
    };
    let (trigger, lease) = (*trigger, lease.clone());
    match step {
        Some(under_way) if under_way.healing == healing => return draft.unchanged(),
        Some(under_way) => {
            return Err(Refusal::WrongStep {
                given: healing,
                current: Some(under_way.healing.clone()),
            });
        }
        None => {}
    }
    if trigger == Trigger::Auto && draft.is_severe() {
        return Err(needs_approval(&draft));
    }
    if draft.case.attempts.iter().any(|a| a.healing == healing) {
        return Err(Refusal::WrongStep {
            given: healing,
            current: None,
        });
    }
    if draft.case.round().iter().any(|a| a.action == action) {
        return Err(Refusal::AlreadyTried { action });
    }
    let worker = lease.worker.clone();
    let details = json!({ "action": action, "trigger": trigger, "healing_id": healing });
    draft.case.state = State::Healing {
        trigger,
        lease,
        step: Some(Step {
            healing,
            action,
            started_at: draft.now,
        }),
    };
    let text = format!("{action} begins");
    draft.note("healing_started", &worker, text.clone());
    draft.announce(EventKind::Healing, text, details);
    draft.changed()
}

/// The lever did it: containment is lifted under watch.
pub(super) fn done(mut draft: Draft<'_>, fence: u64, healing: &HealingId, detail: String) -> Decided {
    check_fence(&draft, fence, "step_done")?;
    match &draft.case.state {
        State::Probation { step, .. } if step.healing == *healing => return draft.unchanged(),
        State::Probation { step, .. } => {
            return Err(Refusal::WrongStep {
                given: healing.clone(),
                current: Some(step.healing.clone()),
            });
        }
        State::Healing { .. } => {}
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healed { .. }
        | State::Released { .. } => return Err(wrong_state(&draft, "step_done")),
    }
    let held = held_step(&draft, healing, "step_done")?;
    let (worker, action) = (held.lease.worker.clone(), held.step.action);
    draft.case.state = State::Probation {
        trigger: held.trigger,
        lease: held.lease,
        step: held.step,
        since: draft.now,
    };
    if draft.case.quarantine.phase != QuarantinePhase::NotWanted {
        draft.want(Containment::Probation);
    }
    let text = format!(
        "{action} is done, the agent runs under watch: {}",
        bounded(detail)
    );
    draft.note("probation_started", &worker, text.clone());
    draft.announce(
        EventKind::Healing,
        text,
        json!({ "action": action, "healing_id": healing }),
    );
    draft.changed()
}

/// The lever failed, or cannot do it.
pub(super) fn ended(
    mut draft: Draft<'_>,
    fence: u64,
    healing: &HealingId,
    ended: Ended,
    detail: String,
) -> Decided {
    let (command, outcome) = match ended {
        Ended::Failed => ("step_failed", AttemptOutcome::Failed),
        Ended::Unsupported => ("step_unsupported", AttemptOutcome::Unsupported),
    };
    if was_applied(&draft, healing, outcome) {
        return draft.unchanged();
    }
    check_fence(&draft, fence, command)?;
    let held = held_step(&draft, healing, command)?;
    draft.attempt_ended(&held, outcome, detail);
    let wait = match ended {
        Ended::Failed => draft.cooldown(),
        // Nothing was done to the agent, so that there is nothing to cool down from.
        Ended::Unsupported => Duration::ZERO,
    };
    draft.go_on(held.trigger, wait);
    draft.changed()
}

/// No step is left: a person decides.
pub(super) fn exhausted(mut draft: Draft<'_>, fence: u64, detail: String) -> Decided {
    check_fence(&draft, fence, "ladder_exhausted")?;
    match &draft.case.state {
        State::Healing { step: None, .. } => {}
        State::Healing { step: Some(step), .. } | State::Probation { step, .. } => {
            return Err(Refusal::StepUnderWay {
                healing: step.healing.clone(),
            });
        }
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healed { .. }
        | State::Released { .. } => return Err(wrong_state(&draft, "ladder_exhausted")),
    }
    draft.note("ladder_exhausted", "healer", detail);
    draft.wait(WaitReason::LadderExhausted);
    draft.changed()
}

/// Who holds the case, for which step.
pub(super) struct Held {
    pub(super) trigger: Trigger,
    pub(super) lease: super::Lease,
    pub(super) step: Step,
}

/// The step under way, if it is the one that the caller means.
fn held_step(draft: &Draft<'_>, healing: &HealingId, command: &'static str) -> Result<Held, Refusal> {
    match &draft.case.state {
        State::Healing {
            trigger,
            lease,
            step: Some(step),
        } if step.healing == *healing => Ok(Held {
            trigger: *trigger,
            lease: lease.clone(),
            step: step.clone(),
        }),
        State::Healing { step, .. } => Err(Refusal::WrongStep {
            given: healing.clone(),
            current: step.as_ref().map(|step| step.healing.clone()),
        }),
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Probation { .. }
        | State::Healed { .. }
        | State::Released { .. } => Err(wrong_state(draft, command)),
    }
}

/// Whether the attempt ended this way before: its message was delivered twice.
pub(super) fn was_applied(draft: &Draft<'_>, healing: &HealingId, outcome: AttemptOutcome) -> bool {
    draft
        .case
        .attempts
        .iter()
        .any(|a| a.healing == *healing && a.outcome == outcome)
}

impl Draft<'_> {
    /// Records how an attempt ended, on every record that tells of it.
    pub(super) fn attempt_ended(&mut self, held: &Held, outcome: AttemptOutcome, detail: String) {
        let detail = bounded(detail);
        let action = held.step.action;
        self.case.attempts.push(Attempt {
            healing: held.step.healing.clone(),
            action,
            outcome,
            detail: detail.clone(),
            at: self.now,
        });
        let (kind, event, success) = match outcome {
            AttemptOutcome::Succeeded => ("healed", EventKind::Healed, true),
            AttemptOutcome::Failed => ("step_failed", EventKind::Failed, false),
            AttemptOutcome::Unsupported => ("step_unsupported", EventKind::Failed, false),
            AttemptOutcome::Unproven => ("step_unproven", EventKind::Failed, false),
        };
        let text = format!("{action} {}: {detail}", outcome.as_str());
        let details = json!({
            "action": action,
            "success": success,
            "outcome": outcome,
            "trigger": held.trigger,
            "healing_id": held.step.healing,
            "message": detail,
        });
        self.note(kind, &held.lease.worker, text.clone());
        self.log("healing_attempt", "healer", details.clone());
        self.announce(event, text, details);
    }

    /// The wait between two steps.
    pub(super) fn cooldown(&self) -> Duration {
        Duration::from_secs(u64::from(self.policy.cooldown_seconds))
    }

    /// What follows a step that did not help: the next one after a wait, or a person.
    pub(super) fn go_on(&mut self, trigger: Trigger, wait: Duration) {
        if trigger == Trigger::Auto && self.is_severe() {
            self.wait(WaitReason::Severe);
        } else if self.case.round().len() >= self.policy.attempts_max as usize {
            self.wait(WaitReason::LadderExhausted);
        } else {
            self.case.state = State::HealQueued {
                trigger,
                not_before: self.now.plus(wait),
            };
        }
    }
}
