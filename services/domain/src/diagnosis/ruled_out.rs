//! What it was not, and why: so that whoever reads a report need not ask which causes were thought of.

use super::pattern::Pattern;
use super::{Diagnosis, Hypothesis};
use crate::vitals::Metric;
use serde::{Deserialize, Serialize};

/// A diagnosis that the pattern does not have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuledOut {
    /// Which.
    pub diagnosis: Diagnosis,
    /// The numbers that speak against it, or what telemetry does not tell.
    pub because: String,
}

/// The diagnoses of the table that are not among the hypotheses, each with what was looked at. `external_cause` needs
/// the view of a whole fleet, and is not judged here.
pub fn ruled_out(pattern: &Pattern<'_>, hypotheses: &[Hypothesis]) -> Vec<RuledOut> {
    let is_open = |diagnosis: &Diagnosis| hypotheses.iter().all(|found| found.diagnosis != *diagnosis);
    let of = |diagnosis: Diagnosis| {
        let because = why_not(pattern, diagnosis)?;
        Some(RuledOut { diagnosis, because })
    };
    Diagnosis::ALL
        .into_iter()
        .filter(is_open)
        .filter_map(of)
        .collect()
}

fn why_not(p: &Pattern<'_>, diagnosis: Diagnosis) -> Option<String> {
    let told = match diagnosis {
        Diagnosis::PromptInjection => prompt(p),
        Diagnosis::InfiniteLoop => calls(p),
        Diagnosis::PromptDrift | Diagnosis::TokenExplosion => moved(p, Metric::Tokens),
        Diagnosis::SilentDegradation => format!("{}; {}", moved(p, Metric::Tokens), moved(p, Metric::Tools)),
        Diagnosis::LatencyDegradation => moved(p, Metric::Latency),
        Diagnosis::ToolInstability => format!("{} failed", p.share(p.window.failure_share)),
        Diagnosis::RetryStorm | Diagnosis::MemoryCorruption => {
            format!("{} had a retry", p.share(p.window.retry_share))
        }
        Diagnosis::CostOverrun => cost(p),
        Diagnosis::ExternalCause | Diagnosis::Unknown => return None,
    };
    Some(told)
}

fn prompt(p: &Pattern<'_>) -> String {
    let prompt = match p.clues.prompt_changed {
        Some(false) => "the prompt is that of healthy executions",
        Some(true) => "the prompt is another, and nothing moved",
        None => "telemetry does not tell the prompt",
    };
    let tools = match p.clues.new_tools.is_empty() {
        true => "no tool was called for the first time",
        false => "a new tool was called, and nothing moved",
    };
    format!("{prompt}, and {tools}")
}

fn calls(p: &Pattern<'_>) -> String {
    let repeated = match &p.clues.repeated_call {
        Some(call) => format!(
            "{} was called {} times with the same arguments",
            call.tool, call.times
        ),
        None => "no call was repeated with the same arguments, as far as telemetry tells".to_owned(),
    };
    format!("{}; {repeated}", moved(p, Metric::Tools))
}

fn moved(p: &Pattern<'_>, metric: Metric) -> String {
    match p.of(metric) {
        Some(found) => found.sentence(),
        None => match metric {
            Metric::Latency => "of latency nothing can be said".to_owned(),
            Metric::Tokens => "of tokens nothing can be said".to_owned(),
            Metric::Tools => "of tool calls nothing can be said".to_owned(),
        },
    }
}

fn cost(p: &Pattern<'_>) -> String {
    match (p.clues.cost, p.clues.usual_cost) {
        (Some(cost), Some(usual)) => {
            format!("the latest execution cost {cost:.4} US dollars, usual are {usual:.4}")
        }
        (Some(_), None) | (None, _) => "the platform tells no cost to compare".to_owned(),
    }
}
