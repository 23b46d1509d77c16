//! Healers take a case and hold on to it.

use super::draft::Draft;
use super::{Containment, Decided, Lease, QuarantinePhase, Refusal, State};
use crate::Timestamp;
use crate::healing::Trigger;
use std::time::Duration;

/// How long healing waits for the levers to confirm the quarantine. A lever that is away longer does not keep the
/// agent from being healed.
const CONTAIN_FIRST_MAX: Duration = Duration::from_secs(15);

/// A healer takes the case, or takes it over from one whose lease has expired, with the step under way.
pub(super) fn claim(mut draft: Draft<'_>, worker: String, duration: Duration) -> Decided {
    let now = draft.now;
    let lease = Lease {
        worker: worker.clone(),
        fence: draft.next_version(),
        until: now.plus(duration),
    };
    match &mut draft.case.state {
        State::HealQueued { trigger, not_before } => {
            let trigger = *trigger;
            let not_before = (*not_before).max(contained_by(&draft));
            if now < not_before {
                return Err(Refusal::NotDue { not_before });
            }
            if trigger == Trigger::Auto && draft.is_severe() {
                return Err(needs_approval(&draft));
            }
            draft.case.state = State::Healing {
                trigger,
                lease,
                step: None,
            };
            draft.note("claimed", &worker, "a healer took the case");
        }
        State::Healing { lease: held, .. } | State::Probation { lease: held, .. } => {
            if now < held.until {
                return Err(Refusal::LeaseHeld {
                    worker: held.worker.clone(),
                    until: held.until,
                });
            }
            let text = format!("taken over from {}, whose lease had expired", held.worker);
            *held = lease;
            draft.note("taken_over", &worker, text);
        }
        State::AwaitingApproval { .. } | State::Rejected { .. } => return Err(wrong_state(&draft, "claim")),
        State::Healed { .. } | State::Released { .. } => {
            return Err(Refusal::Closed {
                state: draft.case.state.as_str(),
            });
        }
    }
    draft.changed()
}

/// When healing may begin as far as containment is concerned: at once when every lever has answered.
fn contained_by(draft: &Draft<'_>) -> Timestamp {
    let quarantine = &draft.case.quarantine;
    let pending = quarantine
        .levers
        .iter()
        .any(|l| l.is_pending() && l.wanted == Containment::Contained);
    match quarantine.phase {
        QuarantinePhase::Requested | QuarantinePhase::Partial if pending => {
            quarantine.since.plus(CONTAIN_FIRST_MAX)
        }
        QuarantinePhase::NotWanted
        | QuarantinePhase::Requested
        | QuarantinePhase::Partial
        | QuarantinePhase::Confirmed
        | QuarantinePhase::Breached
        | QuarantinePhase::Probation
        | QuarantinePhase::Releasing
        | QuarantinePhase::Released => Timestamp::EPOCH,
    }
}

/// A healer holds on. Allowed after the lease has expired, as long as nobody took over.
pub(super) fn renew(mut draft: Draft<'_>, fence: u64, duration: Duration) -> Decided {
    let until = draft.now.plus(duration);
    check_fence(&draft, fence, "renew_lease")?;
    match &mut draft.case.state {
        State::Healing { lease, .. } | State::Probation { lease, .. } => lease.until = until.max(lease.until),
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healed { .. }
        | State::Released { .. } => return Err(wrong_state(&draft, "renew_lease")),
    }
    draft.changed()
}

/// Refuses whoever does not hold the case.
pub(super) fn check_fence(draft: &Draft<'_>, given: u64, command: &'static str) -> Result<(), Refusal> {
    match &draft.case.state {
        State::Healing { lease, .. } | State::Probation { lease, .. } if lease.fence != given => {
            Err(Refusal::StaleFence {
                given,
                current: lease.fence,
            })
        }
        State::Healing { .. } | State::Probation { .. } => Ok(()),
        State::AwaitingApproval { .. } | State::Rejected { .. } | State::HealQueued { .. } => {
            Err(wrong_state(draft, command))
        }
        State::Healed { .. } | State::Released { .. } => Err(Refusal::Closed {
            state: draft.case.state.as_str(),
        }),
    }
}

pub(super) fn wrong_state(draft: &Draft<'_>, command: &'static str) -> Refusal {
    Refusal::WrongState {
        command,
        state: draft.case.state.as_str(),
    }
}

pub(super) fn needs_approval(draft: &Draft<'_>) -> Refusal {
    Refusal::NeedsApproval {
        severity: draft.case.infection.severity,
        threshold: draft.policy.severity_requiring_approval,
    }
}
