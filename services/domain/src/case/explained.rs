//! A release that no person ordered: a fleet incident explains the agent's state, so that the agent is not what is sick.

use super::draft::Draft;
use super::timeline::bounded;
use super::{Containment, Decided, EventKind, Person, QuarantinePhase, State};
use crate::detection::Anomaly;
use serde_json::json;

/// Who releases in the name of an incident. No login can have the way in.
const FLEET_CHECK: &str = "fleet check";
const VIA: &str = "fleet_incident";

/// Releases the agent of an open case. Where a person has had a word, or the platform itself called the agent
/// infected, nothing changes: they know something that the numbers of the fleet do not say.
pub(super) fn release(mut draft: Draft<'_>, incident: &str, because: &str) -> Decided {
    let case = &draft.case;
    let has_word = case.last_decision.is_some() || case.first_approval.is_some();
    let is_called_infected = case.infection.anomalies.contains(&Anomaly::PlatformReport);
    if case.state.is_closed() || has_word || is_called_infected {
        return draft.unchanged();
    }
    let reason = bounded(format!("fleet incident {incident}: {because}"));
    draft.case.state = State::Released {
        at: draft.now,
        by: Person {
            subject: FLEET_CHECK.to_owned(),
            via: VIA.to_owned(),
        },
        reason: reason.clone(),
    };
    // Where nothing was contained there is nothing to lift.
    if draft.case.quarantine.phase != QuarantinePhase::NotWanted {
        draft.want(Containment::Free);
    }
    let text = format!("released by the {FLEET_CHECK}: {reason}");
    let details = json!({ "decision": "release", "by": FLEET_CHECK, "via": VIA, "reason": reason, "incident_id": incident });
    draft.note("released", FLEET_CHECK, text.clone());
    draft.log("released_for_incident", FLEET_CHECK, details.clone());
    draft.announce(EventKind::Decided, text, details);
    draft.changed()
}
