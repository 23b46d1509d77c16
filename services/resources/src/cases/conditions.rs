//! Conditions in the usual shape, so that `kubectl wait --for=condition=Released acase/...` works. Their times come from
//! the case, not from when they were written: whoever writes them anew changes nothing.

use super::translate::{action, time};
use immune_domain::Timestamp;
use immune_domain::case::{Case, QuarantinePhase, State};
use immune_store::cases::closed_at;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Some lever holds the agent.
pub const CONTAINED: &str = "Contained";
/// A person must decide.
pub const APPROVAL_REQUIRED: &str = "ApprovalRequired";
/// A healing is under way.
pub const HEALING: &str = "Healing";
/// The agent is free and the case closed.
pub const RELEASED: &str = "Released";

/// All of them.
pub(crate) const CONDITIONS: [&str; 4] = [CONTAINED, APPROVAL_REQUIRED, HEALING, RELEASED];

pub(super) fn conditions(case: &Case) -> Vec<Condition> {
    vec![
        contained(case),
        approval_required(case),
        healing(case),
        released(case),
    ]
}

fn contained(case: &Case) -> Condition {
    let phase = case.quarantine.phase;
    let reason = match phase {
        QuarantinePhase::NotWanted => "NotWanted",
        QuarantinePhase::Requested => "Requested",
        QuarantinePhase::Partial => "SomeLeversConfirmed",
        QuarantinePhase::Confirmed => "AllLeversConfirmed",
        QuarantinePhase::Breached => "Breached",
        QuarantinePhase::Probation => "Probation",
        QuarantinePhase::Releasing => "Releasing",
        QuarantinePhase::Released => "Released",
    };
    let confirmed = case
        .quarantine
        .levers
        .iter()
        .filter(|lever| !lever.is_pending())
        .count();
    let message = match case.quarantine.levers.len() {
        0 => "no lever is asked".to_owned(),
        all => format!("{confirmed} of {all} levers have answered"),
    };
    condition(
        CONTAINED,
        phase.is_in_force(),
        reason,
        message,
        case.quarantine.since,
    )
}

fn approval_required(case: &Case) -> Condition {
    let (is_so, reason, at) = match &case.state {
        State::AwaitingApproval { since, reason, .. } => (true, camel(reason.as_str()), *since),
        State::Rejected { at, .. } => (false, "Rejected".to_owned(), *at),
        State::HealQueued { .. }
        | State::Healing { .. }
        | State::Probation { .. }
        | State::Healed { .. }
        | State::Released { .. } => match &case.last_decision {
            Some(last) => (false, "Decided".to_owned(), last.at),
            None => (false, "NotNeeded".to_owned(), case.opened_at),
        },
    };
    let message = match &case.last_decision {
        Some(last) if !is_so => format!("{} by {}", last.decision.done(), last.by.subject),
        Some(_) | None if is_so => "a person decides: approve, reject, heal-now or release".to_owned(),
        Some(_) | None => "nobody is asked".to_owned(),
    };
    condition(APPROVAL_REQUIRED, is_so, &reason, message, at)
}

fn healing(case: &Case) -> Condition {
    let ended_at = case.attempts.last().map_or(case.opened_at, |attempt| attempt.at);
    let (is_so, reason, at) = match &case.state {
        State::Healing { step: Some(step), .. } => (true, "ActionUnderWay", step.started_at),
        State::Healing { step: None, .. } => (true, "ChoosingAction", ended_at),
        State::Probation { step, .. } => (true, "Probation", step.started_at),
        State::HealQueued { .. } => (false, "Queued", ended_at),
        State::AwaitingApproval { .. } => (false, "AwaitingApproval", ended_at),
        State::Rejected { .. } => (false, "Rejected", ended_at),
        State::Healed { at, .. } => (false, "Healed", *at),
        State::Released { at, .. } => (false, "ReleasedByPerson", *at),
    };
    let message = match action(case) {
        Some(action) => action.as_str().to_owned(),
        None if closed_at(case).is_none() => "no action is under way".to_owned(),
        None => "the case is closed".to_owned(),
    };
    condition(HEALING, is_so, reason, message, at)
}

fn released(case: &Case) -> Condition {
    let is_free = match case.quarantine.phase {
        QuarantinePhase::NotWanted | QuarantinePhase::Released => true,
        QuarantinePhase::Requested
        | QuarantinePhase::Partial
        | QuarantinePhase::Confirmed
        | QuarantinePhase::Breached
        | QuarantinePhase::Probation
        | QuarantinePhase::Releasing => false,
    };
    let (is_so, reason, message, at) = match closed_at(case) {
        None => (false, "CaseOpen", "the case is open", case.opened_at),
        Some(at) if is_free => {
            let at = at.max(case.quarantine.since);
            (
                true,
                "CaseClosed",
                "the case is closed and nothing holds the agent",
                at,
            )
        }
        Some(at) => (
            false,
            "LeversPending",
            "the case is closed; levers have still to let the agent go",
            at,
        ),
    };
    condition(RELEASED, is_so, reason, message.to_owned(), at)
}

fn condition(type_: &str, is_so: bool, reason: &str, message: String, at: Timestamp) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: if is_so { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: time(at),
        observed_generation: None,
    }
}

/// `ladder_exhausted` as `LadderExhausted`.
fn camel(word: &str) -> String {
    let parts = word.split('_').map(|part| {
        let mut chars = part.chars();
        let first = chars.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(chars).collect::<String>()
    });
    parts.collect()
}
