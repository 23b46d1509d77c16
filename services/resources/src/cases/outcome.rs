//! What can become of a decision, and how quarantine's answer and the case tell.

use super::seal::Sealed;
use super::translate::time;
use immune_domain::case::{Case, Person};
use immune_domain::{ErrorKind, Timestamp};
use immune_runtime::grpc;
use std::time::Duration;
use tonic::Status;

/// How far the clocks of those who seal and those who decide may be apart.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// What became of a decision.
#[derive(Debug)]
pub(super) struct Outcome {
    pub word: &'static str,
    pub detail: String,
    pub case_version: Option<u64>,
}

/// It holds.
pub(super) const DONE: &str = "done";
/// It is the first of two words.
pub(super) const FIRST_OF_TWO: &str = "first_of_two";
/// Quarantine said no.
pub(super) const REFUSED: &str = "refused";
/// Nobody could be asked in time.
pub(super) const EXPIRED: &str = "expired";

/// What the role's answer means.
pub(super) enum Meaning {
    /// The case has changed meanwhile.
    Changed,
    /// It is not done however often it is asked for.
    Refused,
    /// Nobody knows; ask again.
    Away,
}

pub(super) fn meaning(status: &Status) -> Meaning {
    match grpc::kind(status) {
        ErrorKind::Conflict if grpc::code_word(status) == Some("quarantine.version_changed") => {
            Meaning::Changed
        }
        ErrorKind::Invalid
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Unauthenticated => Meaning::Refused,
        ErrorKind::Overloaded | ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Internal => {
            Meaning::Away
        }
    }
}

/// Whether a case holds a decision already, and how: it is in its history, by the same person, not from before it was
/// sealed.
pub(super) fn taken(case: &Case, sealed: &Sealed, by: &Person) -> Option<&'static str> {
    let is_since = |at: Timestamp| at.plus(CLOCK_TOLERANCE) >= sealed.at;
    let first = case.first_approval.as_ref();
    if first.is_some_and(|first| first.decision == sealed.decision && first.by == *by && is_since(first.at)) {
        return Some(FIRST_OF_TWO);
    }
    let last = case.last_decision.as_ref();
    let is_last = last.is_some_and(|last| {
        let first = last.first.as_ref();
        let is_own = last.decision == sealed.decision && last.by == *by && is_since(last.at);
        let is_completed = first
            .is_some_and(|first| first.decision == sealed.decision && first.by == *by && is_since(first.at));
        is_own || is_completed
    });
    let is_noted = case
        .timeline
        .iter()
        .any(|entry| entry.kind == sealed.decision.done() && entry.actor == by.subject && is_since(entry.at));
    (is_last || is_noted).then_some(DONE)
}

/// What is said about a decision that holds.
pub(super) fn told(word: &str, case: &Case) -> String {
    match (word, &case.first_approval) {
        (FIRST_OF_TWO, Some(first)) => {
            format!(
                "somebody else must say so, too, before {}",
                time(first.expires_at).0
            )
        }
        _ => String::new(),
    }
}

pub(super) const fn refused(detail: String) -> Outcome {
    Outcome {
        word: REFUSED,
        detail,
        case_version: None,
    }
}
