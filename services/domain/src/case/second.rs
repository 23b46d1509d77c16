//! Who may decide, and two people for the gravest cases.
//!
//! Where policy asks for a second person, the first word that lets an agent act again (approve, heal now, release) is
//! recorded and changes nothing; the same wish of somebody else completes it. Approve and heal now are the same wish.
//! Release counts among them: it lets the agent go as it is, which is no smaller thing than to heal it. A rejection
//! keeps the agent contained and needs one person.
//!
//! A first word lapses after a time, when the case turns out to be worse, and when it comes to wait for a person anew:
//! it was said of something else.

use super::draft::Draft;
use super::{Case, Decision, EventKind, FirstApproval, Person, Refusal};
use crate::policy::Policy;
use serde_json::json;
use std::time::Duration;

/// What a decision is.
pub(super) enum Word {
    /// It holds; after a first word where two are needed.
    Last(Option<FirstApproval>),
    /// It is the first of two.
    First,
}

/// Refuses whom policy does not name.
pub(super) fn check_permitted(draft: &Draft<'_>, by: &Person) -> Result<(), Refusal> {
    if draft.policy.lets_decide(&by.subject) {
        return Ok(());
    }
    Err(Refusal::NotPermitted {
        by: by.subject.clone(),
    })
}

/// Whether a case needs two people. A severity that is no number does.
pub(super) fn is_needed(case: &Case, policy: &Policy) -> bool {
    let from = policy.second_person_from_severity;
    from.is_some_and(|from| {
        let order = case.infection.severity.partial_cmp(&from);
        !matches!(order, Some(std::cmp::Ordering::Less))
    })
}

/// Whether two decisions let the agent act again in the same way.
fn is_same_wish(a: Decision, b: Decision) -> bool {
    let heals = |decision| match decision {
        Decision::Approve | Decision::HealNow => true,
        Decision::Reject | Decision::Release => false,
    };
    a == b || (heals(a) && heals(b))
}

/// Says whether a decision that applies holds, or waits for somebody else's.
pub(super) fn weigh(draft: &Draft<'_>, decision: Decision, by: &Person) -> Result<Word, Refusal> {
    let needs_two = match decision {
        Decision::Reject => false,
        Decision::Approve | Decision::HealNow | Decision::Release => is_needed(&draft.case, draft.policy),
    };
    if !needs_two {
        return Ok(Word::Last(None));
    }
    let standing = draft.case.first_approval.as_ref().filter(|first| {
        draft.now < first.expires_at
            && is_same_wish(first.decision, decision)
            && draft.policy.lets_decide(&first.by.subject)
    });
    match standing {
        // The name counts, however it was verified: one person with two ways in is one person.
        Some(first) if first.by.subject == by.subject => Err(Refusal::SecondPersonNeeded {
            decision: first.decision,
            until: first.expires_at,
        }),
        Some(first) => Ok(Word::Last(Some(first.clone()))),
        None => Ok(Word::First),
    }
}

/// Records the first of two words. It takes the place of an earlier one that wished for something else.
pub(super) fn record_first(draft: &mut Draft<'_>, decision: Decision, by: Person, reason: String) {
    let seconds = draft.policy.second_person_within_seconds;
    let first = FirstApproval {
        by,
        decision,
        reason,
        at: draft.now,
        expires_at: draft.now.plus(Duration::from_secs(u64::from(seconds))),
    };
    let why = if first.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", first.reason)
    };
    let text = format!(
        "{} by {}, which takes a second person within {seconds} s{why}",
        decision.done(),
        first.by.subject
    );
    let details = json!({
        "decision": decision, "by": first.by.subject, "via": first.by.via, "reason": first.reason,
        "second_person_within_seconds": seconds,
    });
    draft.note("second_person_wanted", &first.by.subject, text.clone());
    draft.log("second_person_wanted", &first.by.subject, details.clone());
    let mut details = details;
    // The word by which listeners know why a case waits.
    details["waits_for"] = json!("second_person");
    draft.announce(EventKind::Waiting, text, details);
    draft.case.first_approval = Some(first);
}

/// Forgets a first word, and says so.
pub(super) fn lapse(draft: &mut Draft<'_>, because: &str) {
    let Some(first) = draft.case.first_approval.take() else {
        return;
    };
    let text = format!(
        "the word of {} ({}) no longer holds: {because}",
        first.by.subject,
        first.decision.done()
    );
    draft.note("first_approval_lapsed", "quarantine", text);
    let details = json!({ "decision": first.decision, "by": first.by.subject, "because": because });
    draft.log("first_approval_lapsed", "quarantine", details);
}
