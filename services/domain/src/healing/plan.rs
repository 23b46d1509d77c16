//! The choice of the next step: the ladder of the diagnosis, reordered and thinned out by immune memory.

use super::Action;
use crate::case::{Attempt, AttemptOutcome, Case};
use crate::memory::{Memory, Pin};
use std::cmp::Reverse;

/// What will be done, in which order, and what will not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Actions that may be tried, the next one first. Empty: the ladder is exhausted and a person decides.
    pub steps: Vec<Action>,
    /// Actions that are not tried.
    pub skipped: Vec<Skipped>,
}

/// An action that is not tried, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Which action.
    pub action: Action,
    /// Why, in one sentence.
    pub because: String,
}

impl Plan {
    /// The skipped actions in one line.
    pub fn skipped_in_words(&self) -> String {
        let parts: Vec<String> = self
            .skipped
            .iter()
            .map(|s| format!("{}: {}", s.action, s.because))
            .collect();
        if parts.is_empty() {
            "the ladder has no step".to_owned()
        } else {
            parts.join("; ")
        }
    }
}

/// What this case has tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Round<'a> {
    /// Every attempt of the case.
    pub attempts: &'a [Attempt],
    /// Attempts from this index on belong to the present round, which a person ordered; `None` in the first round.
    pub from: Option<usize>,
}

impl<'a> Round<'a> {
    /// Nothing tried yet.
    pub const FIRST: Round<'static> = Round {
        attempts: &[],
        from: None,
    };

    /// What a case has tried.
    pub fn of(case: &'a Case) -> Self {
        Round {
            attempts: &case.attempts,
            from: case.ladder_from.map(|from| from as usize),
        }
    }
}

/// Chooses the order.
///
/// - A person's pin comes first: `prefer` is tried before all others, even outside the ladder or after failures;
///   `avoid` never.
/// - Actions that helped this agent against this diagnosis come before those never tried; the ladder's own order
///   decides between equals.
/// - An action that failed for this agent and diagnosis is not tried again. Once the ladder is exhausted a person is
///   asked, and in the round that the person orders such actions are tried again, after all others.
/// - What ended without success in this round is not repeated in it; what the lever cannot do is not asked again in
///   this case, and says nothing in memory.
pub fn plan(ladder: &[Action], memories: &[Memory], round: Round<'_>) -> Plan {
    let memory = |action| memories.iter().find(|m| m.action == action);
    let preferred = memories
        .iter()
        .filter(|m| m.pin == Some(Pin::Prefer))
        .map(|m| m.action);
    let mut candidates: Vec<Action> = Vec::new();
    for action in ladder.iter().copied().chain(preferred) {
        if !candidates.contains(&action) {
            candidates.push(action);
        }
    }
    let ordered_by_person = round.from.is_some();
    let mut plan = Plan::default();
    let mut ranked = Vec::new();
    for (place, action) in candidates.into_iter().enumerate() {
        match skip(action, memory(action), round, ordered_by_person) {
            Some(because) => plan.skipped.push(Skipped { action, because }),
            None => ranked.push((rank(memory(action)), place, action)),
        }
    }
    ranked.sort();
    plan.steps = ranked.into_iter().map(|(_, _, action)| action).collect();
    plan
}

/// Why an action is not tried, if it is not.
fn skip(
    action: Action,
    memory: Option<&Memory>,
    round: Round<'_>,
    ordered_by_person: bool,
) -> Option<String> {
    let pin = memory.and_then(|m| m.pin);
    if pin == Some(Pin::Avoid) {
        return Some("a person said never to try it".to_owned());
    }
    for (i, attempt) in round
        .attempts
        .iter()
        .enumerate()
        .filter(|(_, a)| a.action == action)
    {
        let is_of_this_round = i >= round.from.unwrap_or(0);
        match attempt.outcome {
            AttemptOutcome::Unsupported => {
                return Some(format!("the lever cannot do it: {}", attempt.detail));
            }
            AttemptOutcome::Failed | AttemptOutcome::Unproven if is_of_this_round => {
                return Some(format!(
                    "{} in this case: {}",
                    attempt.outcome.as_str(),
                    attempt.detail
                ));
            }
            AttemptOutcome::Failed | AttemptOutcome::Unproven | AttemptOutcome::Succeeded => {}
        }
    }
    match memory {
        Some(m) if m.failures > 0 && pin.is_none() && !ordered_by_person => Some(format!(
            "failed for this agent and diagnosis before, the last attempt was at {} ({} failed, {} helped)",
            m.last_at, m.failures, m.successes
        )),
        Some(_) | None => None,
    }
}

/// Smaller is earlier: pinned, proven, never tried, failed before; within the proven the most successful, within
/// the failed the least bad.
fn rank(memory: Option<&Memory>) -> (u8, Reverse<i64>) {
    let Some(m) = memory else {
        return (2, Reverse(0));
    };
    let balance = Reverse(i64::from(m.successes) - i64::from(m.failures));
    match (m.pin, m.failures, m.successes) {
        (Some(Pin::Prefer), _, _) => (0, balance),
        (_, 0, 0) => (2, Reverse(0)),
        (_, 0, _) => (1, balance),
        (_, _, _) => (3, balance),
    }
}
