//! People's decisions: approve, reject, heal now, release.

use super::draft::Draft;
use super::timeline::bounded;
use super::{
    Containment, Decided, Decision, EventKind, LastDecision, Person, QuarantinePhase, Refusal, State,
};
use crate::healing::Trigger;
use serde_json::json;

/// Applies a person's decision.
pub(super) fn decide(draft: Draft<'_>, decision: Decision, by: Person, reason: String) -> Decided {
    let reason = bounded(reason.trim().to_owned());
    match decision {
        Decision::Approve => approve(draft, by, reason),
        Decision::Reject => reject(draft, by, reason),
        Decision::HealNow => heal_now(draft, by, reason),
        Decision::Release => release(draft, by, reason),
    }
}

fn approve(mut draft: Draft<'_>, by: Person, reason: String) -> Decided {
    match &draft.case.state {
        State::AwaitingApproval { .. } => {}
        State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healing { .. }
        | State::Probation { .. }
        | State::Healed { .. }
        | State::Released { .. } => return Err(too_late(&draft, Decision::Approve)),
    }
    queue(&mut draft, Trigger::AfterApproval);
    record(&mut draft, Decision::Approve, by, reason, "user_approved");
    draft.changed()
}

fn reject(mut draft: Draft<'_>, by: Person, reason: String) -> Decided {
    match &draft.case.state {
        State::AwaitingApproval { .. } => {}
        State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healing { .. }
        | State::Probation { .. }
        | State::Healed { .. }
        | State::Released { .. } => return Err(too_late(&draft, Decision::Reject)),
    }
    draft.case.state = State::Rejected {
        at: draft.now,
        by: by.clone(),
        reason: reason.clone(),
    };
    record(&mut draft, Decision::Reject, by, reason, "user_rejected");
    draft.changed()
}

fn heal_now(mut draft: Draft<'_>, by: Person, reason: String) -> Decided {
    match &draft.case.state {
        State::AwaitingApproval { .. } | State::Rejected { .. } => {}
        State::HealQueued { .. }
        | State::Healing { .. }
        | State::Probation { .. }
        | State::Healed { .. }
        | State::Released { .. } => return Err(too_late(&draft, Decision::HealNow)),
    }
    queue(&mut draft, Trigger::ExplicitAfterReject);
    record(
        &mut draft,
        Decision::HealNow,
        by,
        reason,
        "explicit_heal_requested",
    );
    draft.changed()
}

fn release(mut draft: Draft<'_>, by: Person, reason: String) -> Decided {
    match &draft.case.state {
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healing { .. }
        | State::Probation { .. } => {}
        State::Healed { .. } | State::Released { .. } => return Err(too_late(&draft, Decision::Release)),
    }
    if reason.is_empty() {
        return Err(Refusal::ReasonMissing {
            command: Decision::Release.as_str(),
        });
    }
    draft.case.state = State::Released {
        at: draft.now,
        by: by.clone(),
        reason: reason.clone(),
    };
    // Where nothing was contained there is nothing to lift.
    if draft.case.quarantine.phase != QuarantinePhase::NotWanted {
        draft.want(Containment::Free);
    }
    record(&mut draft, Decision::Release, by, reason, "user_released");
    draft.changed()
}

/// Lets healers take the case. An agent that was not contained (observing, blast radius) is contained first: the
/// person's word lifts what held the quarantine back.
fn queue(draft: &mut Draft<'_>, trigger: Trigger) {
    draft.case.state = State::HealQueued {
        trigger,
        not_before: draft.now,
    };
    if draft.case.quarantine.phase == QuarantinePhase::NotWanted {
        draft.want(Containment::Contained);
        draft.note("quarantine_requested", "quarantine", "quarantine asked for");
        draft.log(
            "quarantine_requested",
            "quarantine",
            json!({ "automatic": false }),
        );
    }
}

fn record(draft: &mut Draft<'_>, decision: Decision, by: Person, reason: String, kind: &'static str) {
    let why = if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    };
    let text = format!("{} by {}{why}", decision.done(), by.subject);
    draft.note(decision.done(), &by.subject, text.clone());
    let details = json!({ "decision": decision, "by": by.subject, "via": by.via, "reason": reason });
    draft.log(kind, &by.subject, details.clone());
    draft.announce(EventKind::Decided, text, details);
    draft.case.last_decision = Some(LastDecision {
        decision,
        by,
        reason,
        at: draft.now,
    });
}

/// Whoever decides too late is told who was first; where nobody decided, how the case stands.
fn too_late(draft: &Draft<'_>, decision: Decision) -> Refusal {
    let state = draft.case.state.as_str();
    match &draft.case.last_decision {
        Some(last) => Refusal::AlreadyDecided {
            decision: last.decision,
            by: last.by.subject.clone(),
            state,
        },
        None if draft.case.state.is_closed() => Refusal::Closed { state },
        None => Refusal::WrongState {
            command: decision.as_str(),
            state,
        },
    }
}
