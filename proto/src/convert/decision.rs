//! People, what they decide, and the verdict on a healing.

use super::vitals::unknown;
use super::{WireError, nested, optional, time};
use crate::v1;
use immune_domain::case::{Decision, FirstApproval, LastDecision, Person, Verdict};

impl From<&Person> for v1::Person {
    fn from(person: &Person) -> Self {
        v1::Person {
            subject: person.subject.clone(),
            via: person.via.clone(),
        }
    }
}

impl TryFrom<v1::Person> for Person {
    type Error = WireError;

    /// Nobody is no person: a decision without a name would be a hole in the record.
    fn try_from(wire: v1::Person) -> Result<Self, Self::Error> {
        let named = |field, text: String| {
            if text.is_empty() {
                Err(WireError::new(field, "is missing"))
            } else {
                Ok(text)
            }
        };
        Ok(Person {
            subject: named("subject", wire.subject)?,
            via: named("via", wire.via)?,
        })
    }
}

impl From<Decision> for v1::Decision {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Approve => v1::Decision::Approve,
            Decision::Reject => v1::Decision::Reject,
            Decision::HealNow => v1::Decision::HealNow,
            Decision::Release => v1::Decision::Release,
        }
    }
}

/// A decision by its number on the wire.
pub fn decision(field: &str, number: i32) -> Result<Decision, WireError> {
    match v1::Decision::try_from(number) {
        Ok(v1::Decision::Approve) => Ok(Decision::Approve),
        Ok(v1::Decision::Reject) => Ok(Decision::Reject),
        Ok(v1::Decision::HealNow) => Ok(Decision::HealNow),
        Ok(v1::Decision::Release) => Ok(Decision::Release),
        Ok(v1::Decision::Unspecified) | Err(_) => Err(unknown(field, "a decision", number)),
    }
}

impl From<&LastDecision> for v1::LastDecision {
    fn from(last: &LastDecision) -> Self {
        v1::LastDecision {
            decision: v1::Decision::from(last.decision).into(),
            by: Some((&last.by).into()),
            reason: last.reason.clone(),
            at: Some(time::to_wire(last.at)),
            first: last.first.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::LastDecision> for LastDecision {
    type Error = WireError;

    fn try_from(wire: v1::LastDecision) -> Result<Self, Self::Error> {
        Ok(LastDecision {
            decision: decision("decision", wire.decision)?,
            by: nested("by", wire.by)?,
            at: time::from_wire("at", wire.at)?,
            reason: wire.reason,
            first: optional("first", wire.first)?,
        })
    }
}

impl From<&FirstApproval> for v1::FirstApproval {
    fn from(first: &FirstApproval) -> Self {
        v1::FirstApproval {
            by: Some((&first.by).into()),
            decision: v1::Decision::from(first.decision).into(),
            reason: first.reason.clone(),
            at: Some(time::to_wire(first.at)),
            expires_at: Some(time::to_wire(first.expires_at)),
        }
    }
}

impl TryFrom<v1::FirstApproval> for FirstApproval {
    type Error = WireError;

    fn try_from(wire: v1::FirstApproval) -> Result<Self, Self::Error> {
        Ok(FirstApproval {
            by: nested("by", wire.by)?,
            decision: decision("decision", wire.decision)?,
            reason: wire.reason,
            at: time::from_wire("at", wire.at)?,
            expires_at: time::from_wire("expires_at", wire.expires_at)?,
        })
    }
}

impl From<Verdict> for v1::verify_healing_request::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed => v1::verify_healing_request::Verdict::Passed,
            Verdict::Failed => v1::verify_healing_request::Verdict::Failed,
            Verdict::Silent => v1::verify_healing_request::Verdict::Silent,
        }
    }
}

/// The verdict on a healing by its number on the wire.
pub fn verdict(field: &str, number: i32) -> Result<Verdict, WireError> {
    use v1::verify_healing_request::Verdict as Wire;
    match Wire::try_from(number) {
        Ok(Wire::Passed) => Ok(Verdict::Passed),
        Ok(Wire::Failed) => Ok(Verdict::Failed),
        Ok(Wire::Silent) => Ok(Verdict::Silent),
        Ok(Wire::Unspecified) | Err(_) => Err(unknown(field, "a verdict", number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: every decision and verdict survives the wire; an unset one is refused, never taken for a yes.
    #[test]
    fn decisions_are_never_guessed() {
        for each in [
            Decision::Approve,
            Decision::Reject,
            Decision::HealNow,
            Decision::Release,
        ] {
            assert_eq!(decision("decision", v1::Decision::from(each).into()), Ok(each));
        }
        for each in [Verdict::Passed, Verdict::Failed, Verdict::Silent] {
            assert_eq!(
                verdict("verdict", v1::verify_healing_request::Verdict::from(each).into()),
                Ok(each)
            );
        }
        assert_eq!(
            decision("decision", 0).expect_err("unset").to_string(),
            "decision: is missing"
        );
        assert_eq!(
            verdict("verdict", 9).expect_err("unknown").to_string(),
            "verdict: 9 is not a verdict"
        );
    }

    /// Guarantees: a decision always has a name behind it.
    #[test]
    fn nobody_is_no_person() {
        let wire = v1::Person {
            subject: String::new(),
            via: "loopback".to_owned(),
        };
        assert_eq!(
            Person::try_from(wire).expect_err("nobody").to_string(),
            "subject: is missing"
        );
    }
}
