//! Healings: attempts of actions with their outcomes.

use super::{WireError, id, nested, time, word};
use crate::v1;
use immune_domain::Timestamp;
use immune_domain::healing::{Healing, Outcome};

impl From<&Healing> for v1::HealingRecord {
    fn from(healing: &Healing) -> Self {
        let (ended_at, acted, detail) = parts(&healing.outcome);
        v1::HealingRecord {
            healing_id: healing.id.to_string(),
            case_id: healing.case.to_string(),
            key: Some((&healing.key).into()),
            diagnosis: healing.diagnosis.to_string(),
            action: healing.action.to_string(),
            trigger: healing.trigger.as_str().to_owned(),
            started_at: Some(time::to_wire(healing.started_at)),
            outcome: healing.outcome.as_str().to_owned(),
            detail: detail.to_owned(),
            ended_at: ended_at.map(time::to_wire),
            acted,
        }
    }
}

/// When the outcome was reached, whether the lever is known to have done its part, and the words for it.
fn parts(outcome: &Outcome) -> (Option<Timestamp>, bool, &str) {
    match outcome {
        Outcome::Running => (None, false, ""),
        Outcome::Verifying { acted_at, detail } => (Some(*acted_at), true, detail),
        Outcome::Succeeded { at, detail } => (Some(*at), true, detail),
        Outcome::Failed { at, acted, detail } => (Some(*at), *acted, detail),
        Outcome::Unsupported { at, detail } | Outcome::Abandoned { at, detail } => (Some(*at), false, detail),
    }
}

impl From<Healing> for v1::HealingRecord {
    fn from(healing: Healing) -> Self {
        v1::HealingRecord::from(&healing)
    }
}

impl TryFrom<v1::HealingRecord> for Healing {
    type Error = WireError;

    fn try_from(wire: v1::HealingRecord) -> Result<Self, Self::Error> {
        let at = || time::from_wire("ended_at", wire.ended_at);
        let detail = wire.detail;
        let outcome = match wire.outcome.as_str() {
            "running" => Outcome::Running,
            "verifying" => Outcome::Verifying {
                acted_at: at()?,
                detail,
            },
            "succeeded" => Outcome::Succeeded { at: at()?, detail },
            "failed" => Outcome::Failed {
                at: at()?,
                acted: wire.acted,
                detail,
            },
            "unsupported" => Outcome::Unsupported { at: at()?, detail },
            "abandoned" => Outcome::Abandoned { at: at()?, detail },
            other => {
                return Err(WireError::new(
                    "outcome",
                    format!("{other:?} is not an outcome of a healing"),
                ));
            }
        };
        Ok(Healing {
            id: id("healing_id", wire.healing_id)?,
            case: id("case_id", wire.case_id)?,
            key: nested("key", wire.key)?,
            diagnosis: word("diagnosis", &wire.diagnosis)?,
            action: word("action", &wire.action)?,
            trigger: word("trigger", &wire.trigger)?,
            started_at: time::from_wire("started_at", wire.started_at)?,
            outcome,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::arbitrary;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Guarantees: nothing of a healing is lost or changed on the wire, whatever its outcome.
        #[test]
        fn round_trip(healing in arbitrary::healing()) {
            prop_assert_eq!(Healing::try_from(v1::HealingRecord::from(&healing)), Ok(healing));
        }

        /// Guarantees: an ended healing has an end, and words outside the closed lists are refused.
        #[test]
        fn refuses_by_field(healing in arbitrary::healing()) {
            let good = v1::HealingRecord::from(&healing);
            let refused = |wire: v1::HealingRecord| Healing::try_from(wire).expect_err("not a healing").to_string();
            let wire = v1::HealingRecord { outcome: "failed".to_owned(), ended_at: None, ..good.clone() };
            prop_assert_eq!(refused(wire), "ended_at: is missing");
            let wire = v1::HealingRecord { outcome: "fine".to_owned(), ..good.clone() };
            prop_assert_eq!(refused(wire), "outcome: \"fine\" is not an outcome of a healing");
            let wire = v1::HealingRecord { action: "pray".to_owned(), ..good };
            prop_assert_eq!(refused(wire), "action: \"pray\" is not a healing action");
        }
    }
}
