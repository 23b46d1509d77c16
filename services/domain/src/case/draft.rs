//! A change in the making: the case as it will be, and the effects collected on the way.

use super::second;
use super::timeline::{self, Entry, bounded};
use super::{
    Announcement, Case, Containment, Decided, Effect, EventKind, LeverStatus, LogEntry, QuarantinePhase,
    State, WaitReason,
};
use crate::Timestamp;
use crate::policy::Policy;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Longest time between two escalations of one wait.
const ESCALATION_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A change in the making.
pub(super) struct Draft<'a> {
    pub(super) case: Case,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
    effects: Vec<Effect>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(case: Case, policy: &'a Policy, now: Timestamp) -> Self {
        Draft {
            case,
            policy,
            now,
            effects: Vec::new(),
        }
    }

    /// The changed case, one version on.
    pub(super) fn changed(mut self) -> Decided {
        self.case.version += 1;
        self.case.updated_at = self.now;
        self.count_people();
        Ok((self.case, self.effects))
    }

    /// The first version of a case that has just been opened.
    pub(super) fn opened(mut self) -> (Case, Vec<Effect>) {
        self.count_people();
        (self.case, self.effects)
    }

    /// Notes whether the case takes two people.
    fn count_people(&mut self) {
        let is_open = !self.case.state.is_closed();
        self.case.needs_second_person = is_open && second::is_needed(&self.case, self.policy);
        if !self.case.needs_second_person {
            self.case.first_approval = None;
        }
    }

    /// The case as it was: the command had been applied before, or there is nothing to do.
    pub(super) fn unchanged(self) -> Decided {
        Ok((self.case, Vec::new()))
    }

    /// The version that the case will have; also the fencing token of a claim, since versions only grow.
    pub(super) fn next_version(&self) -> u64 {
        self.case.version + 1
    }

    /// Whether the severity asks for a person. A severity that is no number does.
    pub(super) fn is_severe(&self) -> bool {
        is_severe(self.case.infection.severity, self.policy)
    }

    /// Adds to the timeline.
    pub(super) fn note(&mut self, kind: &str, actor: &str, text: impl Into<String>) {
        let entry = Entry {
            at: self.now,
            kind: kind.to_owned(),
            actor: actor.to_owned(),
            text: bounded(text.into()),
            count: 1,
        };
        timeline::add(&mut self.case, entry);
    }

    /// Adds a row for the action log; what every row says of the case is filled in here.
    pub(super) fn log(&mut self, kind: &'static str, actor: &str, details: Value) {
        let payload = self.payload(details);
        self.effects.push(Effect::Log(LogEntry {
            kind,
            actor: actor.to_owned(),
            payload,
        }));
    }

    /// Adds an event.
    pub(super) fn announce(&mut self, kind: EventKind, text: impl Into<String>, details: Value) {
        let payload = self.payload(details);
        self.effects.push(Effect::Announce(Announcement {
            kind,
            text: bounded(text.into()),
            payload,
        }));
    }

    fn payload(&self, details: Value) -> Value {
        let mut payload = Map::new();
        payload.insert("case_id".to_owned(), json!(self.case.id));
        payload.insert("severity".to_owned(), json!(self.case.infection.severity));
        payload.insert("diagnosis_type".to_owned(), json!(self.case.diagnosis()));
        payload.insert("state".to_owned(), json!(self.case.state.as_str()));
        if let Value::Object(details) = details {
            payload.extend(details);
        }
        Value::Object(payload)
    }

    /// Makes the case wait for a person.
    pub(super) fn wait(&mut self, reason: WaitReason) {
        let text = match &reason {
            WaitReason::Severe => format!(
                "severity {:.1} is at or above {:.1}: a person must approve healing",
                self.case.infection.severity, self.policy.severity_requiring_approval
            ),
            WaitReason::LadderExhausted => "no step of the ladder is left: a person must decide".to_owned(),
            WaitReason::BlastRadius { cap } => {
                format!(
                    "{cap} agents of this run are quarantined already: not quarantined, a person must decide"
                )
            }
            WaitReason::Observing => {
                "policy only observes: not quarantined, nothing is healed without an order".to_owned()
            }
            WaitReason::Unproven => {
                "the step was done but the agent never ran again: a person must decide".to_owned()
            }
        };
        // Whatever a person orders after these two starts the ladder anew.
        match reason {
            WaitReason::LadderExhausted | WaitReason::Unproven => {
                self.case.ladder_from = Some(u32::try_from(self.case.attempts.len()).unwrap_or(u32::MAX));
            }
            WaitReason::Severe | WaitReason::BlastRadius { .. } | WaitReason::Observing => {}
        }
        second::lapse(self, "the case waits for a person anew");
        let word = reason.as_str();
        self.case.state = State::AwaitingApproval {
            since: self.now,
            reason,
            escalates_at: self.now.plus(self.escalation_after(0)),
            escalations: 0,
        };
        self.note("waiting", "quarantine", text.clone());
        self.log("approval_requested", "quarantine", json!({ "reason": word }));
        self.announce(
            EventKind::Waiting,
            text,
            json!({ "reason": word, "escalations": 0 }),
        );
    }

    /// Time until the wait escalates once more: doubles each time, at most a day.
    pub(super) fn escalation_after(&self, escalations: u32) -> Duration {
        let first = Duration::from_secs(u64::from(self.policy.approval_escalates_after_seconds.max(1)));
        first.saturating_mul(1 << escalations.min(16)).min(ESCALATION_MAX)
    }

    /// Sets what is wanted of every lever. Levers that were asked for it already are left alone.
    pub(super) fn want(&mut self, wanted: Containment) {
        let phase = match wanted {
            Containment::Contained => QuarantinePhase::Requested,
            Containment::Probation => QuarantinePhase::Probation,
            Containment::Free => QuarantinePhase::Releasing,
        };
        for lever in &mut self.case.quarantine.levers {
            if lever.wanted == wanted {
                continue;
            }
            lever.wanted = wanted;
            lever.status = LeverStatus::Requested;
            lever.attempts = 0;
            lever.generation = lever.generation.saturating_add(1);
            lever.retry_at = self.now;
            lever.detail.clear();
            self.effects.push(Effect::AskLever {
                lever: lever.lever.clone(),
                wanted,
            });
        }
        self.case.quarantine.phase = phase;
        self.case.quarantine.since = self.now;
        self.settle();
    }

    /// Asks every lever that can once more for what it has confirmed: the world says otherwise.
    pub(super) fn ask_again(&mut self) {
        for lever in &mut self.case.quarantine.levers {
            match lever.status {
                LeverStatus::Confirmed => {}
                LeverStatus::Requested | LeverStatus::Failed | LeverStatus::Unsupported => continue,
            }
            lever.status = LeverStatus::Requested;
            lever.attempts = 0;
            lever.generation = lever.generation.saturating_add(1);
            lever.retry_at = self.now;
            self.effects.push(Effect::AskLever {
                lever: lever.lever.clone(),
                wanted: lever.wanted,
            });
        }
    }
}

/// Whether a severity asks for a person. Written so that what is no number does.
pub(super) fn is_severe(severity: f64, policy: &Policy) -> bool {
    !matches!(
        severity.partial_cmp(&policy.severity_requiring_approval),
        Some(std::cmp::Ordering::Less)
    )
}
