//! The containment's side of a case: what levers answer, and executions that should not have happened.

use super::draft::Draft;
use super::timeline::bounded;
use super::{Containment, Decided, EventKind, LeverStatus, QuarantinePhase, Refusal};
use crate::{ExecutionId, Timestamp};
use serde_json::json;
use std::time::Duration;

/// How far an agent's clock may be ahead of ours: an execution breaches a quarantine when it says that it started
/// more than this after the confirmation.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);
/// Wait before a lever whose effect is unknown is asked again, with the same key.
pub const UNKNOWN_RETRY: Duration = Duration::from_secs(2);
/// First wait after a no; doubles with every further one.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest wait between two asks.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// A lever's answer, as the command carries it.
pub(super) struct Answered {
    pub(super) lever: String,
    pub(super) wanted: Containment,
    pub(super) generation: u32,
    pub(super) status: LeverStatus,
    pub(super) detail: String,
}

/// Records a lever's answer. Holds in every state: containment is driven to its end after a case has closed, too.
pub(super) fn answered(mut draft: Draft<'_>, answer: Answered) -> Decided {
    let now = draft.now;
    let Some(lever) = draft
        .case
        .quarantine
        .levers
        .iter_mut()
        .find(|l| l.lever == answer.lever)
    else {
        return Err(Refusal::UnknownLever { lever: answer.lever });
    };
    let is_current = lever.wanted == answer.wanted && lever.generation == answer.generation;
    if !is_current || !lever.is_pending() {
        return draft.unchanged();
    }
    let wanted = answer.wanted.as_str();
    let detail = bounded(answer.detail);
    let sentence = |what: &str| format!("lever {} {what} ({wanted}): {detail}", answer.lever);
    lever.attempts = lever.attempts.saturating_add(1);
    lever.status = answer.status;
    lever.detail = detail.clone();
    match answer.status {
        LeverStatus::Confirmed => draft.note("lever_confirmed", &answer.lever, sentence("confirmed")),
        LeverStatus::Unsupported => {
            draft.note("lever_unsupported", &answer.lever, sentence("cannot do this"))
        }
        LeverStatus::Failed => {
            // A no is final for this ask; the next one is a new ask with a new key.
            lever.generation = lever.generation.saturating_add(1);
            let wait = RETRY_FIRST
                .saturating_mul(1 << (lever.attempts - 1).min(10))
                .min(RETRY_MAX);
            lever.retry_at = now.plus(wait);
            draft.note("lever_failed", &answer.lever, sentence("failed"));
        }
        LeverStatus::Requested => {
            lever.retry_at = now.plus(UNKNOWN_RETRY);
            draft.note("lever_unknown", &answer.lever, sentence("gave no answer"));
        }
    }
    draft.settle();
    draft.changed()
}

impl Draft<'_> {
    /// Reads the overall phase off the levers.
    pub(super) fn settle(&mut self) {
        let levers = &self.case.quarantine.levers;
        let confirmed = levers
            .iter()
            .filter(|l| l.status == LeverStatus::Confirmed)
            .count();
        let pending = levers.iter().filter(|l| l.is_pending()).count();
        let (before, breaches) = (self.case.quarantine.phase, self.case.quarantine.breaches);
        let after = match before {
            // No lever that can contain is no containment, so that one confirmation is needed.
            QuarantinePhase::Requested | QuarantinePhase::Partial => match (confirmed, pending) {
                (0, _) => QuarantinePhase::Requested,
                (_, 0) => QuarantinePhase::Confirmed,
                (_, _) => QuarantinePhase::Partial,
            },
            QuarantinePhase::Breached if pending == 0 && confirmed > 0 => QuarantinePhase::Confirmed,
            QuarantinePhase::Releasing if pending == 0 => QuarantinePhase::Released,
            QuarantinePhase::NotWanted
            | QuarantinePhase::Confirmed
            | QuarantinePhase::Breached
            | QuarantinePhase::Probation
            | QuarantinePhase::Releasing
            | QuarantinePhase::Released => before,
        };
        if after == before {
            return;
        }
        self.case.quarantine.phase = after;
        self.case.quarantine.since = self.now;
        match after {
            QuarantinePhase::Confirmed => {
                let text = "every lever has confirmed the quarantine";
                self.note("quarantine_confirmed", "quarantine", text);
                self.log(
                    "quarantine_confirmed",
                    "quarantine",
                    json!({ "breaches": breaches }),
                );
                self.announce(EventKind::Contained, text, json!({ "breaches": breaches }));
            }
            QuarantinePhase::Released => {
                let text = "every lever has confirmed the release";
                self.note("quarantine_released", "quarantine", text);
                self.log("quarantine_released", "quarantine", json!({}));
                self.announce(EventKind::Released, text, json!({}));
            }
            QuarantinePhase::NotWanted
            | QuarantinePhase::Requested
            | QuarantinePhase::Partial
            | QuarantinePhase::Breached
            | QuarantinePhase::Probation
            | QuarantinePhase::Releasing => {}
        }
    }
}

/// An execution of the agent was seen. It breaches a confirmed quarantine when it started after the confirmation by
/// more than [`CLOCK_TOLERANCE`]; the levers are then asked again.
pub(super) fn seen(mut draft: Draft<'_>, execution: &ExecutionId, started_at: Timestamp) -> Decided {
    let started_after = started_at > draft.case.quarantine.since.plus(CLOCK_TOLERANCE);
    let is_first = match draft.case.quarantine.phase {
        QuarantinePhase::Confirmed if started_after => true,
        QuarantinePhase::Breached => false,
        QuarantinePhase::NotWanted
        | QuarantinePhase::Requested
        | QuarantinePhase::Partial
        | QuarantinePhase::Confirmed
        | QuarantinePhase::Probation
        | QuarantinePhase::Releasing
        | QuarantinePhase::Released => return draft.unchanged(),
    };
    draft.case.quarantine.breaches = draft.case.quarantine.breaches.saturating_add(1);
    let text = format!("execution {execution} started at {started_at} although the quarantine was confirmed");
    draft.note("breached", "sentinel", text.clone());
    if is_first {
        draft.case.quarantine.phase = QuarantinePhase::Breached;
        draft.case.quarantine.since = draft.now;
        let details = json!({ "execution_id": execution, "started_at": started_at.as_epoch_seconds() });
        draft.log("quarantine_breached", "sentinel", details.clone());
        draft.announce(EventKind::Breached, text, details);
        draft.ask_again();
    }
    draft.changed()
}

/// What a lever had made is not there any more: somebody took it away, or something took it back. The quarantine is
/// breached, though no execution was seen yet, and the levers are asked again.
pub(super) fn lost(mut draft: Draft<'_>, lever: &str, generation: u32, detail: String) -> Decided {
    let levers = &draft.case.quarantine.levers;
    let Some(state) = levers.iter().find(|l| l.lever == lever) else {
        return Err(Refusal::UnknownLever {
            lever: lever.to_owned(),
        });
    };
    let is_current = state.generation == generation
        && state.wanted == Containment::Contained
        && state.status == LeverStatus::Confirmed;
    if !is_current || !draft.case.quarantine.phase.is_in_force() {
        return draft.unchanged();
    }
    let text = format!(
        "lever {lever} does not hold the agent any more: {}",
        bounded(detail)
    );
    draft.note("lever_lost", lever, text.clone());
    draft.case.quarantine.phase = QuarantinePhase::Breached;
    draft.case.quarantine.since = draft.now;
    let details = json!({ "lever": lever });
    draft.log("quarantine_breached", lever, details.clone());
    draft.announce(EventKind::Breached, text, details);
    draft.ask_again();
    draft.changed()
}
