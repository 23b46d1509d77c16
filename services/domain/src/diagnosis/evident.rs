//! The name for what the guarded detector saw. Where it decides, the specified rule often has nothing over its
//! threshold, and the pattern is in the evidence: what rose, what fell, and by how much.

use super::rules::{FAILURE_SHARE, STORM_SHARE, of_last};
use super::{Diagnosis, Hypothesis};
use crate::detection::guarded::{Evidence, Peak};
use crate::vitals::Metric;

/// From here on a metric counts as moved. Below the alarm: two metrics may be over it only together.
pub(super) const MOVED: f32 = 2.0;
/// From here on failures and retries count: where they are usual, a share of them says nothing.
const COUNTED: f32 = 2.5;
/// Above what deviations of a few seconds say, below a changed prompt.
const CONFIDENCE: f64 = 0.85;

/// The diagnosis of the evidence, `None` where it has no name.
///
/// Certainty (z) says which metrics moved, size which of them leads: a loop raises everything and calls most, a longer
/// prompt everything and tokens most. Tokens lead latency where both rose, since they take the time.
pub(super) fn named(evidence: &Evidence) -> Option<Hypothesis> {
    let [failures, retries] = evidence.shares.map(f64::from);
    if evidence.counted >= COUNTED {
        if let Some(because) = of_last(failures, FAILURE_SHARE, "failed") {
            return Some(hypothesis(Diagnosis::ToolInstability, because));
        }
        if let Some(because) = of_last(retries, STORM_SHARE, "had a retry") {
            return Some(hypothesis(Diagnosis::RetryStorm, because));
        }
    }
    let [latency, tokens, tools] = Metric::ALL.map(|metric| evidence.peaks[metric.index()]);
    let rose = |peak: Peak| peak.z >= MOVED;
    let diagnosis = if tokens.z < 0.0 && tools.z < 0.0 && tokens.z.min(tools.z) <= -MOVED && !rose(latency) {
        Diagnosis::SilentDegradation
    } else if rose(tools) && leads(tools, [latency, tokens]) {
        Diagnosis::InfiniteLoop
    } else if rose(tools) && rose(tokens) {
        Diagnosis::PromptDrift
    } else if rose(tokens) {
        Diagnosis::TokenExplosion
    } else if rose(latency) {
        Diagnosis::LatencyDegradation
    } else {
        return None;
    };
    Some(hypothesis(diagnosis, sentence(evidence)))
}

fn leads(one: Peak, others: [Peak; 2]) -> bool {
    let mut rivals = others.into_iter().filter(|peak| peak.z >= MOVED);
    rivals.all(|rival| one.size > rival.size)
}

fn hypothesis(diagnosis: Diagnosis, because: String) -> Hypothesis {
    Hypothesis {
        diagnosis,
        confidence: CONFIDENCE,
        because,
    }
}

/// `tokens are 5.2 times the reference (4.1 standard deviations), and tool calls are ...`
fn sentence(evidence: &Evidence) -> String {
    let moved: Vec<String> = Metric::ALL
        .into_iter()
        .map(|metric| (metric, evidence.peaks[metric.index()]))
        .filter(|(_, peak)| peak.z.abs() >= MOVED)
        .map(|(metric, peak)| {
            let what = match metric {
                Metric::Latency => "latency is",
                Metric::Tokens => "tokens are",
                Metric::Tools => "tool calls are",
            };
            // The logarithm is of 1 + x, which for anything but a few calls is that of x.
            let times = peak.size.exp();
            let deviations = peak.z.abs();
            format!("{what} about {times:.1} times the reference ({deviations:.1} standard deviations)")
        })
        .collect();
    moved.join(", and ")
}

#[cfg(test)]
#[path = "evident_tests.rs"]
mod tests;
