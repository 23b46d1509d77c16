//! The end of a probation.

use super::draft::Draft;
use super::lease::{check_fence, wrong_state};
use super::step::{Held, was_applied};
use super::{AttemptOutcome, Containment, Decided, QuarantinePhase, Refusal, State, Verdict, WaitReason};
use crate::HealingId;

/// Applies the verdict of a probation: the agent is released, or contained again and the next step queued. Where
/// the agent never ran nothing is proven; it is contained again and a person decides.
pub(super) fn verified(
    mut draft: Draft<'_>,
    fence: u64,
    healing: &HealingId,
    verdict: Verdict,
    detail: String,
) -> Decided {
    let outcome = match verdict {
        Verdict::Passed => AttemptOutcome::Succeeded,
        Verdict::Failed => AttemptOutcome::Failed,
        Verdict::Silent => AttemptOutcome::Unproven,
    };
    if was_applied(&draft, healing, outcome) {
        return draft.unchanged();
    }
    check_fence(&draft, fence, "verified")?;
    let held = match &draft.case.state {
        State::Probation {
            trigger, lease, step, ..
        } if step.healing == *healing => Held {
            trigger: *trigger,
            lease: lease.clone(),
            step: step.clone(),
        },
        State::Probation { step, .. } => {
            return Err(Refusal::WrongStep {
                given: healing.clone(),
                current: Some(step.healing.clone()),
            });
        }
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healing { .. }
        | State::Healed { .. }
        | State::Released { .. } => return Err(wrong_state(&draft, "verified")),
    };
    match verdict {
        Verdict::Passed => {
            draft.case.state = State::Healed {
                at: draft.now,
                action: held.step.action,
            };
            draft.attempt_ended(&held, outcome, detail);
            draft.set_containment(Containment::Free);
        }
        Verdict::Failed => {
            draft.attempt_ended(&held, outcome, detail);
            draft.set_containment(Containment::Contained);
            let wait = draft.cooldown();
            draft.go_on(held.trigger, wait);
        }
        Verdict::Silent => {
            draft.attempt_ended(&held, outcome, detail);
            draft.set_containment(Containment::Contained);
            draft.wait(WaitReason::Unproven);
        }
    }
    draft.changed()
}

impl Draft<'_> {
    /// Changes what levers are asked for, where they are in play at all.
    fn set_containment(&mut self, wanted: Containment) {
        if self.case.quarantine.phase != QuarantinePhase::NotWanted {
            self.want(wanted);
        }
    }
}
