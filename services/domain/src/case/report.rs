//! Further reports of an agent that has an open case.

use super::draft::{Draft, is_severe};
use super::{Decided, EventKind, Refusal, State, WaitReason, second};
use crate::detection::Infection;
use crate::healing::Trigger;
use serde_json::json;

/// Merges a report: the worst severity is kept, with the report that said so. A case that would have healed by
/// itself waits for a person once it is severe, unless a step is under way; that step ends first, and whatever
/// comes after it needs the approval.
pub(super) fn again(mut draft: Draft<'_>, infection: Infection) -> Decided {
    if draft.case.infection.id == infection.id {
        return draft.unchanged();
    }
    let waits = match &draft.case.state {
        State::Healed { .. } | State::Released { .. } => {
            return Err(Refusal::Closed {
                state: draft.case.state.as_str(),
            });
        }
        State::HealQueued { trigger, .. }
        | State::Healing {
            trigger, step: None, ..
        } => *trigger == Trigger::Auto && is_severe(infection.severity, draft.policy),
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::Healing { step: Some(_), .. }
        | State::Probation { .. } => false,
    };
    let (before, reported) = (draft.case.infection.severity, infection.severity);
    let text = format!("reported again: severity {reported:.1}, {before:.1} before");
    // Total order: what is no number counts as the worst, and is what asks for a person.
    if reported.total_cmp(&before).is_gt() {
        draft.case.infection = infection;
        second::lapse(&mut draft, "the case is worse than it was");
        let details = json!({ "severity_before": before });
        draft.log("infection_worsened", "sentinel", details.clone());
        draft.announce(EventKind::Worsened, text.clone(), details);
    }
    draft.note("reported_again", "sentinel", text);
    if waits {
        draft.wait(WaitReason::Severe);
    }
    draft.changed()
}
