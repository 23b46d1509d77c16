//! One sentence about a case, for people.

use super::translate::shortened;
use immune_domain::case::{Case, QuarantinePhase, State, WaitReason};

/// The longest sentence, bytes; reasons and names in it come from people.
const SUMMARY_MAX: usize = 500;
/// The longest name or reason in it, bytes.
const PART_MAX: usize = 120;

/// What is the matter, what holds the agent, and what happens next.
pub(super) fn summary(case: &Case) -> String {
    let (diagnosis, severity) = (
        case.diagnosis().as_str().replace('_', " "),
        case.infection.severity,
    );
    let text = format!(
        "{diagnosis} (severity {severity:.1}); {}; {}",
        containment(case),
        standing(case)
    );
    shortened(&text, SUMMARY_MAX)
}

fn containment(case: &Case) -> &'static str {
    match case.quarantine.phase {
        QuarantinePhase::NotWanted => "the agent is not quarantined",
        QuarantinePhase::Requested => "the quarantine is asked for",
        QuarantinePhase::Partial => "the agent is partly quarantined",
        QuarantinePhase::Confirmed => "the agent is quarantined",
        QuarantinePhase::Breached => "the agent has executed although it is quarantined",
        QuarantinePhase::Probation => "the agent runs under watch",
        QuarantinePhase::Releasing => "the agent is being released",
        QuarantinePhase::Released => "the agent is free",
    }
}

fn standing(case: &Case) -> String {
    match &case.state {
        State::AwaitingApproval { reason, .. } => match &case.first_approval {
            Some(first) => format!(
                "{} has said {}, somebody else must, too",
                part(&first.by.subject),
                first.decision.as_str().replace('_', " ")
            ),
            None => waiting(reason),
        },
        State::Rejected { by, .. } => {
            format!(
                "{} has rejected the healing; it stays so until heal-now or release",
                part(&by.subject)
            )
        }
        State::HealQueued { .. } => "a healing is queued".to_owned(),
        State::Healing { step: Some(step), .. } => format!("{} is under way", step.action.as_str()),
        State::Healing { step: None, .. } => "a healing is being chosen".to_owned(),
        State::Probation { step, .. } => format!("{} is being proven", step.action.as_str()),
        State::Healed { action, .. } => format!("{} has healed it", action.as_str()),
        State::Released { by, reason, .. } => match reason.as_str() {
            "" => format!("{} has released it", part(&by.subject)),
            reason => format!("{} has released it: {}", part(&by.subject), part(reason)),
        },
    }
}

fn waiting(reason: &WaitReason) -> String {
    match reason {
        WaitReason::Severe => "so severe that a person must decide".to_owned(),
        WaitReason::LadderExhausted => "no healing action is left, a person must decide".to_owned(),
        WaitReason::BlastRadius { cap } => {
            format!("{cap} agents are quarantined already, a person must decide")
        }
        WaitReason::Observing => "policy only observes, a person may decide".to_owned(),
        WaitReason::Unproven => {
            "the agent has not run again, so nothing is proven, a person must decide".to_owned()
        }
    }
}

fn part(text: &str) -> String {
    shortened(text, PART_MAX)
}
