//! What time alone changes: a wait escalates; the first of two words lapses; a queued healing whose policy has become
//! stricter waits for a person.
//! Expired leases are looked at when another healer claims.

use super::draft::Draft;
use super::{Decided, EventKind, State, WaitReason, second};
use crate::healing::Trigger;
use serde_json::json;

/// Applies the passing of time; most often there is nothing to do.
pub(super) fn tick(mut draft: Draft<'_>) -> Decided {
    let has_lapsed = is_first_word_over(&draft);
    if has_lapsed {
        second::lapse(&mut draft, "no second person came in time");
    }
    match draft.case.state.clone() {
        State::AwaitingApproval {
            since,
            reason,
            escalates_at,
            escalations,
        } if draft.now >= escalates_at => {
            let escalations = escalations.saturating_add(1);
            let word = reason.as_str();
            let escalates_at = draft.now.plus(draft.escalation_after(escalations));
            draft.case.state = State::AwaitingApproval {
                since,
                reason,
                escalates_at,
                escalations,
            };
            let waited = draft.now.since(since).as_secs();
            let text = format!("still waiting for a person after {waited} s");
            draft.note("escalated", "quarantine", text.clone());
            let details = json!({ "reason": word, "escalations": escalations, "waited_seconds": waited });
            draft.log("approval_escalated", "quarantine", details.clone());
            draft.announce(EventKind::Waiting, text, details);
            draft.changed()
        }
        State::HealQueued {
            trigger: Trigger::Auto,
            ..
        }
        | State::Healing {
            trigger: Trigger::Auto,
            step: None,
            ..
        } if draft.is_severe() => {
            draft.wait(WaitReason::Severe);
            draft.changed()
        }
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healing { .. }
        | State::Probation { .. }
        | State::Healed { .. }
        | State::Released { .. }
            if has_lapsed =>
        {
            draft.changed()
        }
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healing { .. }
        | State::Probation { .. }
        | State::Healed { .. }
        | State::Released { .. } => draft.unchanged(),
    }
}

fn is_first_word_over(draft: &Draft<'_>) -> bool {
    let first = draft.case.first_approval.as_ref();
    first.is_some_and(|first| draft.now >= first.expires_at)
}
