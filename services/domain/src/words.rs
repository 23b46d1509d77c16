//! The wire names of the closed lists, both ways. They are the names that serde writes; a test holds them together.
//!
//! To add a variant: the compiler asks for its name here, and reading it back comes with it.

use crate::baseline;
use crate::case::{AttemptOutcome, Containment, Decision, EventKind, LeverStatus, QuarantinePhase};
use crate::detection::Anomaly;
use crate::fleet::Sign;
use crate::healing::{Outcome, Trigger};
use crate::memory::Pin;
use crate::policy::Mode;
use crate::vitals::{Completeness, Metric, Source};
use std::fmt;
use std::str::FromStr;

/// A text that is none of the words of a closed list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}; known: {known}")]
pub struct NotAWord {
    /// What was given.
    pub text: String,
    /// What it should have been, with its article.
    pub what: &'static str,
    /// The words of the list.
    pub known: &'static str,
}

/// `FromStr`, the inverse of the `as_str` that the type has.
macro_rules! read_back {
    ($type:ty, $what:literal, $($variant:ident => $word:literal),+ $(,)?) => {
        impl FromStr for $type {
            type Err = NotAWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                const KNOWN: &str = concat!($("`", $word, "` "),+);
                match text {
                    $($word => Ok(<$type>::$variant),)+
                    _ => Err(NotAWord { text: text.to_owned(), what: $what, known: KNOWN.trim_ascii_end() }),
                }
            }
        }

        #[cfg(test)]
        impl tests::Listed for $type {
            const ALL: &'static [$type] = &[$(<$type>::$variant),+];

            fn word(self) -> &'static str {
                // Names every variant, so that a new one cannot be left out of the list above.
                match self { $(<$type>::$variant => self.as_str()),+ }
            }
        }
    };
}

/// `as_str`, `Display` and `FromStr`.
macro_rules! words {
    ($type:ty, $what:literal, $($variant:ident => $word:literal),+ $(,)?) => {
        impl $type {
            /// Name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(<$type>::$variant => $word),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        read_back!($type, $what, $($variant => $word),+);
    };
}

read_back!(Anomaly, "an anomaly",
    LatencySpike => "latency_spike", TokenSpike => "token_spike", ToolExplosion => "tool_explosion",
    HighRetryRate => "high_retry_rate", PlatformReport => "platform_report");
read_back!(Trigger, "a trigger",
    Auto => "auto", AfterApproval => "after_approval", ExplicitAfterReject => "explicit_after_reject");
read_back!(Metric, "a metric", Latency => "latency", Tokens => "tokens", Tools => "tools");
read_back!(baseline::Origin, "where a baseline comes from",
    Seen => "seen", Reset => "reset", Pinned => "pinned", Imported => "imported", Accepted => "accepted");
read_back!(baseline::State, "a baseline state",
    Learning => "learning", Active => "active", Stale => "stale",
    Suspect => "suspect");

words!(Sign, "a way to depart",
    LatencyUp => "latency_up", LatencyDown => "latency_down", TokensUp => "tokens_up", TokensDown => "tokens_down",
    ToolsUp => "tools_up", ToolsDown => "tools_down", Failures => "failures", Retries => "retries");
words!(Completeness, "a completeness",
    Complete => "complete", Incomplete => "incomplete", Running => "running");
words!(Source, "a source of vitals", Otlp => "otlp", Posted => "posted");
words!(Pin, "a pin", Prefer => "prefer", Avoid => "avoid");
words!(Mode, "a mode", Observe => "observe", Enforce => "enforce");
read_back!(Containment, "a containment",
    Contained => "contained", Probation => "probation", Free => "free");
read_back!(LeverStatus, "a lever's status",
    Requested => "requested", Confirmed => "confirmed", Failed => "failed", Unsupported => "unsupported");
read_back!(QuarantinePhase, "a phase of quarantine",
    NotWanted => "not_wanted", Requested => "requested", Partial => "partial", Confirmed => "confirmed",
    Breached => "breached", Probation => "probation", Releasing => "releasing", Released => "released");
read_back!(AttemptOutcome, "an outcome of a step",
    Succeeded => "succeeded", Failed => "failed", Unsupported => "unsupported", Unproven => "unproven");
read_back!(Decision, "a decision",
    Approve => "approve", Reject => "reject", HealNow => "heal_now", Release => "release");
read_back!(EventKind, "an event",
    Opened => "case_opened", Worsened => "case_worsened", Waiting => "case_waiting", Contained => "case_contained", Decided => "case_decided",
    Healing => "case_healing", Healed => "case_healed", Failed => "case_failed", Breached => "case_breached",
    Released => "case_released");

impl Outcome {
    /// Name on the wire; what is true in the state travels beside it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Outcome::Running => "running",
            Outcome::Verifying { .. } => "verifying",
            Outcome::Succeeded { .. } => "succeeded",
            Outcome::Failed { .. } => "failed",
            Outcome::Unsupported { .. } => "unsupported",
            Outcome::Abandoned { .. } => "abandoned",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::case::WaitReason;
    use serde::Serialize;
    use std::fmt::Debug;

    pub(super) trait Listed: Copy + 'static {
        const ALL: &'static [Self];
        fn word(self) -> &'static str;
    }

    fn both_ways<T: Listed + Serialize + FromStr + PartialEq + Debug>() {
        for value in T::ALL {
            let serde = serde_json::to_value(value).expect("an enum without data");
            assert_eq!(serde, value.word(), "{value:?}");
            assert_eq!(value.word().parse::<T>().ok(), Some(*value));
        }
        assert!("".parse::<T>().is_err() && "no such word".parse::<T>().is_err());
    }

    /// Guarantees: one name per variant, the same in protobuf, REST and the database, and it reads back.
    #[test]
    fn names_are_serdes_and_read_back() {
        both_ways::<Anomaly>();
        both_ways::<Trigger>();
        both_ways::<Metric>();
        both_ways::<baseline::State>();
        both_ways::<Sign>();
        both_ways::<Completeness>();
        both_ways::<Source>();
        both_ways::<Pin>();
        both_ways::<Mode>();
        both_ways::<Containment>();
        both_ways::<LeverStatus>();
        both_ways::<QuarantinePhase>();
        both_ways::<AttemptOutcome>();
        both_ways::<Decision>();
        for kind in EventKind::ALL {
            assert_eq!(kind.word().parse::<EventKind>(), Ok(*kind));
        }
    }

    /// Guarantees: enums with data are named as serde tags them.
    #[test]
    fn names_of_enums_with_data_are_serdes() {
        let reasons = [
            WaitReason::Severe,
            WaitReason::LadderExhausted,
            WaitReason::BlastRadius { cap: 5 },
            WaitReason::Observing,
            WaitReason::Unproven,
        ];
        for reason in reasons {
            assert_eq!(
                serde_json::to_value(&reason).expect("plain data")["kind"],
                reason.as_str()
            );
        }
        let (at, detail) = (Timestamp::EPOCH, String::new);
        let outcomes = [
            Outcome::Running,
            Outcome::Verifying {
                acted_at: at,
                detail: detail(),
            },
            Outcome::Succeeded { at, detail: detail() },
            Outcome::Failed {
                at,
                acted: true,
                detail: detail(),
            },
            Outcome::Unsupported { at, detail: detail() },
            Outcome::Abandoned { at, detail: detail() },
        ];
        for outcome in outcomes {
            assert_eq!(
                serde_json::to_value(&outcome).expect("plain data")["state"],
                outcome.as_str()
            );
        }
    }

    /// Guarantees: the message names what was given and what is known.
    #[test]
    fn says_what_is_known() {
        let error = "never".parse::<Pin>().expect_err("not a pin");
        assert_eq!(
            error.to_string(),
            r#""never" is not a pin; known: `prefer` `avoid`"#
        );
    }
}
