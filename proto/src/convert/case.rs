//! Cases: one infection's life, with its attempts and its timeline.

use super::{WireError, id, list, nested, optional, time, word};
use crate::v1;
use immune_domain::case::{Attempt, Case, Entry};

impl From<&Case> for v1::Case {
    fn from(case: &Case) -> Self {
        v1::Case {
            case_id: case.id.to_string(),
            key: Some((&case.key).into()),
            version: case.version,
            opened_at: Some(time::to_wire(case.opened_at)),
            updated_at: Some(time::to_wire(case.updated_at)),
            infection: Some((&case.infection).into()),
            state: Some((&case.state).into()),
            quarantine: Some((&case.quarantine).into()),
            attempts: case.attempts.iter().map(Into::into).collect(),
            timeline: case.timeline.iter().map(Into::into).collect(),
            agent_type: case.agent_type.clone(),
            namespace: case.namespace.clone(),
            ladder_from: case.ladder_from,
            last_decision: case.last_decision.as_ref().map(Into::into),
            needs_second_person: case.needs_second_person,
            first_approval: case.first_approval.as_ref().map(Into::into),
        }
    }
}

impl From<Case> for v1::Case {
    fn from(case: Case) -> Self {
        v1::Case::from(&case)
    }
}

impl TryFrom<v1::Case> for Case {
    type Error = WireError;

    fn try_from(wire: v1::Case) -> Result<Self, Self::Error> {
        Ok(Case {
            id: id("case_id", wire.case_id)?,
            key: nested("key", wire.key)?,
            version: wire.version,
            opened_at: time::from_wire("opened_at", wire.opened_at)?,
            updated_at: time::from_wire("updated_at", wire.updated_at)?,
            infection: nested("infection", wire.infection)?,
            state: nested("state", wire.state)?,
            quarantine: nested("quarantine", wire.quarantine)?,
            attempts: list("attempts", wire.attempts)?,
            timeline: list("timeline", wire.timeline)?,
            agent_type: wire.agent_type,
            namespace: wire.namespace,
            ladder_from: wire.ladder_from,
            last_decision: optional("last_decision", wire.last_decision)?,
            needs_second_person: wire.needs_second_person,
            first_approval: optional("first_approval", wire.first_approval)?,
        })
    }
}

impl From<&Attempt> for v1::Attempt {
    fn from(attempt: &Attempt) -> Self {
        v1::Attempt {
            healing_id: attempt.healing.to_string(),
            action: attempt.action.to_string(),
            outcome: attempt.outcome.as_str().to_owned(),
            detail: attempt.detail.clone(),
            at: Some(time::to_wire(attempt.at)),
        }
    }
}

impl TryFrom<v1::Attempt> for Attempt {
    type Error = WireError;

    fn try_from(wire: v1::Attempt) -> Result<Self, Self::Error> {
        Ok(Attempt {
            healing: id("healing_id", wire.healing_id)?,
            action: word("action", &wire.action)?,
            outcome: word("outcome", &wire.outcome)?,
            detail: wire.detail,
            at: time::from_wire("at", wire.at)?,
        })
    }
}

impl From<&Entry> for v1::TimelineEntry {
    fn from(entry: &Entry) -> Self {
        v1::TimelineEntry {
            at: Some(time::to_wire(entry.at)),
            kind: entry.kind.clone(),
            actor: entry.actor.clone(),
            text: entry.text.clone(),
            count: entry.count,
        }
    }
}

impl TryFrom<v1::TimelineEntry> for Entry {
    type Error = WireError;

    fn try_from(wire: v1::TimelineEntry) -> Result<Self, Self::Error> {
        Ok(Entry {
            at: time::from_wire("at", wire.at)?,
            kind: wire.kind,
            actor: wire.actor,
            text: wire.text,
            count: wire.count,
        })
    }
}

#[cfg(test)]
#[path = "case_tests.rs"]
mod tests;
