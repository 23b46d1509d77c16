//! The proof of a healing: do the executions since then look like the agent's normal?

use super::window::recent_of;
use super::{Judgement, Recent, Rule, Sample, judge};
use crate::baseline::Profile;

/// One execution of the probation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proof {
    /// Its numbers.
    pub sample: Sample,
    /// Whether it still runs.
    pub is_running: bool,
    /// Whether the platform called the agent infected with it.
    pub platform_infected: bool,
}

/// What the executions since a healing prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Too few, all well so far.
    Pending,
    /// As many as wanted, within the baseline.
    Within,
    /// Beyond the baseline.
    Beyond,
}

/// The verdict with its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What is proven.
    pub verdict: Verdict,
    /// Executions that ended.
    pub executions: u32,
    /// Their average in numbers.
    pub recent: Recent,
    /// The rule's word on that average.
    pub judgement: Judgement,
    /// One sentence with the numbers.
    pub because: String,
}

/// Before the probation is complete, an average fails it only beyond this many thresholds: of two or three executions
/// of a well agent one in twenty averages lies beyond the threshold itself, and a false failure would stay in memory.
const EARLY_THRESHOLDS: f64 = 2.0;

/// Judges the executions since a healing by the same rule as the window, on their average.
///
/// - Beyond at once: the platform's own word; two or more executions whose average is beyond twice the threshold; two
///   or more with a retry and their share over the limit; two or more failed and they are the majority.
/// - Beyond in the end: as many as wanted, and their average is anomalous.
/// - Within: as many as `wanted` (at least one) have ended and none of that holds. Where one is wanted, that one
///   decides alone, by the same limits.
/// - Pending: otherwise. An execution that still runs proves nothing good, but alone it can prove harm.
///
/// Without a ready profile only failures, retries and the platform's word decide.
pub fn verify(proofs: &[Proof], wanted: u32, profile: Option<&Profile>, rule: &Rule) -> Finding {
    let samples: Vec<Sample> = proofs.iter().map(|proof| proof.sample).collect();
    let recent = recent_of(&samples);
    let ended = proofs.iter().filter(|proof| !proof.is_running).count() as u32;
    let wanted = wanted.max(1);
    let judgement = profile.map(|p| judge(&recent, p, rule)).unwrap_or_default();

    let decides_alone = wanted == 1 && recent.executions == 1;
    let enough = |n: u32| n >= 2 || (n == 1 && decides_alone);
    let failed = samples.iter().filter(|sample| sample.failed).count() as u32;
    let retried = samples
        .iter()
        .filter(|sample| sample.retried == Some(true))
        .count() as u32;
    // A record of a running execution exists only because it is far beyond the normal range already, and the next
    // may never come: it need not wait for a second one.
    let is_stuck = proofs.iter().any(|proof| proof.is_running);
    let is_clear = judgement
        .deviations
        .largest()
        .is_some_and(|d| d > EARLY_THRESHOLDS * rule.threshold_stddev);
    let is_time = is_stuck || ended >= wanted || (is_clear && enough(recent.executions));
    let moved = judgement.anomalous.contains(&true) && is_time;
    let retries = rule.high_retry_rate
        && enough(retried)
        && recent
            .retry_share
            .is_some_and(|share| share > rule.high_retry_share);
    let failures = enough(failed) && failed * 2 > recent.executions;

    let (verdict, because) = if proofs.iter().any(|proof| proof.platform_infected) {
        (
            Verdict::Beyond,
            "the platform reported the agent as infected again".to_owned(),
        )
    } else if moved {
        let largest = judgement.deviations.largest().unwrap_or(0.0);
        let what = format!(
            "the average of {} executions is {largest:.1} standard deviations",
            recent.executions
        );
        (
            Verdict::Beyond,
            format!(
                "{what} from the baseline, the threshold is {}",
                rule.threshold_stddev
            ),
        )
    } else if retries {
        (
            Verdict::Beyond,
            format!("{retried} of {} executions had a retry", recent.executions),
        )
    } else if failures {
        (
            Verdict::Beyond,
            format!("{failed} of {} executions failed", recent.executions),
        )
    } else if ended >= wanted {
        let largest = judgement.deviations.largest().unwrap_or(0.0);
        (
            Verdict::Within,
            format!("{ended} executions within the baseline, largest deviation {largest:.1}"),
        )
    } else {
        (
            Verdict::Pending,
            format!("{ended} of {wanted} executions, all well so far"),
        )
    };
    Finding {
        verdict,
        executions: ended,
        recent,
        judgement,
        because,
    }
}

#[cfg(test)]
#[path = "probation_tests.rs"]
mod tests;
