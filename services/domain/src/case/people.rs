//! People's decisions: approve, reject, heal now, release.

use super::draft::Draft;
use super::second::{self, Word};
use super::timeline::bounded;
use super::{
    Containment, Decided, Decision, EventKind, FirstApproval, LastDecision, Person, QuarantinePhase, Refusal,
    State,
};
use crate::healing::Trigger;
use serde_json::json;

/// Applies a person's decision.
pub(super) fn decide(mut draft: Draft<'_>, decision: Decision, by: Person, reason: String) -> Decided {
    let reason = bounded(reason.trim().to_owned());
    second::check_permitted(&draft, &by)?;
    if !applies(decision, &draft.case.state) {
        return Err(too_late(&draft, decision));
    }
    if decision == Decision::Release && reason.is_empty() {
        return Err(Refusal::ReasonMissing {
            command: Decision::Release.as_str(),
        });
    }
    match second::weigh(&draft, decision, &by)? {
        Word::First => second::record_first(&mut draft, decision, by, reason),
        Word::Last(first) => {
            draft.case.first_approval = None;
            carry_out(&mut draft, decision, &by, &reason);
            record(&mut draft, decision, by, reason, first);
        }
    }
    draft.changed()
}

/// Whether a state has a use for a decision.
const fn applies(decision: Decision, state: &State) -> bool {
    match state {
        State::AwaitingApproval { .. } => true,
        State::Rejected { .. } => match decision {
            Decision::HealNow | Decision::Release => true,
            Decision::Approve | Decision::Reject => false,
        },
        State::HealQueued { .. } | State::Healing { .. } | State::Probation { .. } => match decision {
            Decision::Release => true,
            Decision::Approve | Decision::Reject | Decision::HealNow => false,
        },
        State::Healed { .. } | State::Released { .. } => false,
    }
}

fn carry_out(draft: &mut Draft<'_>, decision: Decision, by: &Person, reason: &str) {
    let (at, by, reason) = (draft.now, by.clone(), reason.to_owned());
    match decision {
        Decision::Approve => queue(draft, Trigger::AfterApproval),
        Decision::HealNow => queue(draft, Trigger::ExplicitAfterReject),
        Decision::Reject => draft.case.state = State::Rejected { at, by, reason },
        Decision::Release => {
            draft.case.state = State::Released { at, by, reason };
            // Where nothing was contained there is nothing to lift.
            if draft.case.quarantine.phase != QuarantinePhase::NotWanted {
                draft.want(Containment::Free);
            }
        }
    }
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

fn record(
    draft: &mut Draft<'_>,
    decision: Decision,
    by: Person,
    reason: String,
    first: Option<FirstApproval>,
) {
    let kind = match decision {
        Decision::Approve => "user_approved",
        Decision::Reject => "user_rejected",
        Decision::HealNow => "explicit_heal_requested",
        Decision::Release => "user_released",
    };
    let why = if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    };
    let after = match &first {
        Some(first) => format!(", after {}", first.by.subject),
        None => String::new(),
    };
    let text = format!("{} by {}{after}{why}", decision.done(), by.subject);
    draft.note(decision.done(), &by.subject, text.clone());
    let mut details = json!({ "decision": decision, "by": by.subject, "via": by.via, "reason": reason });
    if let Some(first) = &first {
        details["first_approval"] = json!({
            "decision": first.decision, "by": first.by.subject, "via": first.by.via, "reason": first.reason,
            "at": first.at.as_epoch_seconds(),
        });
    }
    draft.log(kind, &by.subject, details.clone());
    draft.announce(EventKind::Decided, text, details);
    draft.case.last_decision = Some(LastDecision {
        decision,
        by,
        reason,
        at: draft.now,
        first,
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
