//! The table of rules.

use super::pattern::{Move, Pattern};
use super::{Diagnosis, Hypothesis, evident};
use crate::detection::guarded::{ALARM, DIAGNOSED, Evidence};
use crate::vitals::Metric;

/// Above this deviation tokens or tool calls name a diagnosis; existing users know the number.
const CLEAR_STDDEVS: f64 = 3.0;

/// Tokens alone above this deviation are an explosion rather than a drift.
const EXPLOSION_STDDEVS: f64 = 10.0;

/// Share of failed executions from which on tools are suspected.
pub(super) const FAILURE_SHARE: f64 = 0.4;

/// Share of executions with a retry from which on it is a storm.
pub(super) const STORM_SHARE: f64 = 0.6;

/// Calls with the same arguments from which on they are a loop: asking twice is a retry.
const SAME_CALLS_MIN: u32 = 3;

/// Times the usual cost from which on it is an overrun.
const OVERRUN_FACTOR: f64 = 3.0;

type Rule = fn(&Pattern<'_>) -> Option<Hypothesis>;

/// One line per diagnosis that vitals can show. `external_cause` needs the view of a whole fleet and is not here.
const RULES: [Rule; 10] = [
    prompt_injection,
    infinite_loop,
    prompt_drift,
    token_explosion,
    silent_degradation,
    tool_instability,
    latency_degradation,
    retry_storm,
    memory_corruption,
    cost_overrun,
];

/// Every diagnosis that fits the pattern, the most confident first; `unknown` where none does, so never empty.
pub fn diagnose(pattern: &Pattern<'_>) -> Vec<Hypothesis> {
    let by_evidence = pattern.clues.evidence.as_ref().and_then(evident::named);
    let mut hypotheses: Vec<Hypothesis> = RULES.iter().filter_map(|rule| rule(pattern)).collect();
    hypotheses.extend(by_evidence);
    // Stable: of equals, the one that stands first in the table.
    hypotheses.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    // Of one diagnosis by two ways, the surer.
    let mut named = Vec::new();
    hypotheses.retain(|found| {
        let is_new = !named.contains(&found.diagnosis);
        named.push(found.diagnosis);
        is_new
    });
    if hypotheses.is_empty() {
        hypotheses.push(unknown(pattern));
    }
    if let (Some(first), Some(change)) = (hypotheses.first_mut(), besides(pattern)) {
        first.because = format!("{}; {change}", first.because);
    }
    hypotheses
}

/// What else is to be known: that it has not ended, and what is new since the last healthy execution. No diagnosis, but
/// the first thing to look at.
fn besides(p: &Pattern<'_>) -> Option<String> {
    let model = p.clues.model_changed.as_ref();
    let model = model.map(|(before, now)| format!("the model is {now}, it was {before}"));
    let tools = p
        .clues
        .tools_changed
        .then(|| "the set of tools on offer is another".to_owned());
    let running = p.clues.is_running.then(|| "the execution still runs".to_owned());
    let changes: Vec<String> = running.into_iter().chain(model).chain(tools).collect();
    (!changes.is_empty()).then(|| changes.join(", and "))
}

fn hypothesis(diagnosis: Diagnosis, confidence: f64, because: String) -> Option<Hypothesis> {
    Some(Hypothesis {
        diagnosis,
        confidence,
        because,
    })
}

/// A changed prompt, and a tool that was never called before, are what tells an injection that worked from a drift:
/// vitals alone cannot. Neither accuses by itself.
fn prompt_injection(p: &Pattern<'_>) -> Option<Hypothesis> {
    let is_moved =
        p.judgement.is_anomalous() || p.clues.platform_word.is_some() || p.clues.evidence.is_some();
    let is_prompt = p.clues.prompt_changed == Some(true);
    let new_tool = p.clues.new_tools.first();
    let (confidence, what) = match (is_moved, is_prompt, new_tool) {
        (true, true, Some(tool)) => (
            0.95,
            format!("the prompt is another than in healthy executions, {tool} was called for the first time"),
        ),
        (true, true, None) => (0.9, "the prompt is another than in healthy executions".to_owned()),
        (true, false, Some(tool)) => (0.75, format!("{tool} was called for the first time")),
        (true, false, None) | (false, _, _) => return None,
    };
    let moved = Metric::ALL.into_iter().find_map(|metric| p.anomaly(metric));
    let how = match (moved, &p.clues.platform_word, &p.clues.evidence) {
        (Some(moved), _, _) => moved.sentence(),
        (None, None, Some(evidence)) => evident(evidence),
        (None, Some(_), _) | (None, None, None) => "the platform reports the agent as infected".to_owned(),
    };
    hypothesis(
        Diagnosis::PromptInjection,
        confidence,
        format!("{what}, and {how}"),
    )
}

/// One tool, called with the same arguments again and again, while tool calls rose.
fn same_call_again(p: &Pattern<'_>) -> Option<Hypothesis> {
    let call = p
        .clues
        .repeated_call
        .as_ref()
        .filter(|call| call.times >= SAME_CALLS_MIN)?;
    let is_up = p.anomaly(Metric::Tools).is_some_and(|found| found.is_up())
        || p.clues
            .evidence
            .is_some_and(|e| e.peaks[Metric::Tools.index()].z >= evident::MOVED);
    let because = || {
        let (tool, times) = (&call.tool, call.times);
        format!(
            "tool calls rose, and the latest execution called {tool} {times} times with the same arguments"
        )
    };
    is_up.then(|| hypothesis(Diagnosis::InfiniteLoop, 0.92, because()))?
}

/// The same call again, or tool calls above 3 standard deviations, or anomalous and up more than anything else.
fn infinite_loop(p: &Pattern<'_>) -> Option<Hypothesis> {
    if let Some(found) = same_call_again(p) {
        return Some(found);
    }
    let tools = p.anomaly(Metric::Tools).filter(Move::is_up)?;
    let is_clear = tools.deviation > CLEAR_STDDEVS;
    let one_tool = p
        .clues
        .only_tool
        .as_ref()
        .map(|tool| format!(", all of them {tool}"));
    let confidence = match (is_clear, p.is_up_most(&tools), one_tool.is_some()) {
        (true, true, _) | (true, false, true) => 0.8,
        (true, false, false) => 0.55,
        (false, true, _) | (false, false, true) => 0.5,
        (false, false, false) => return None,
    };
    hypothesis(
        Diagnosis::InfiniteLoop,
        confidence,
        tools.sentence() + one_tool.as_deref().unwrap_or(""),
    )
}

/// Tokens above 3 standard deviations; up together with tool calls makes it likelier, down less likely.
fn prompt_drift(p: &Pattern<'_>) -> Option<Hypothesis> {
    let tokens = p
        .anomaly(Metric::Tokens)
        .filter(|found| found.deviation > CLEAR_STDDEVS)?;
    if !tokens.is_up() {
        return hypothesis(Diagnosis::PromptDrift, 0.45, tokens.sentence());
    }
    match p.anomaly(Metric::Tools).filter(Move::is_up) {
        Some(tools) => {
            let because = format!("{}, and {}", tokens.sentence(), tools.sentence());
            hypothesis(Diagnosis::PromptDrift, 0.75, because)
        }
        None => hypothesis(Diagnosis::PromptDrift, 0.7, tokens.sentence()),
    }
}

/// Tokens alone, far beyond anything that drifts.
fn token_explosion(p: &Pattern<'_>) -> Option<Hypothesis> {
    let tokens = p.anomaly(Metric::Tokens).filter(Move::is_up)?;
    let is_explosion = tokens.deviation > EXPLOSION_STDDEVS && p.is_alone(Metric::Tokens);
    let because = || tokens.sentence() + ", and nothing else moved";
    is_explosion.then(|| hypothesis(Diagnosis::TokenExplosion, 0.72, because()))?
}

/// Tokens and tool calls fell: the agent does less than it did, and says nothing about it.
fn silent_degradation(p: &Pattern<'_>) -> Option<Hypothesis> {
    let (tokens, tools) = (p.of(Metric::Tokens)?, p.of(Metric::Tools)?);
    let fell = |found: &Move| found.average < found.mean;
    if !(fell(&tokens) && fell(&tools) && (tokens.is_anomalous || tools.is_anomalous)) {
        return None;
    }
    let because = format!("{}, and {}", tokens.sentence(), tools.sentence());
    hypothesis(Diagnosis::SilentDegradation, 0.7, because)
}

/// Latency with or without retries, or many failures: what the agent calls does not answer as it did.
fn tool_instability(p: &Pattern<'_>) -> Option<Hypothesis> {
    let failures = p.window.failure_share;
    let fails = (p.judgement.is_anomalous() && failures >= FAILURE_SHARE)
        .then(|| format!("{} failed", p.share(failures)))
        .or_else(|| of_last(p.evident_shares()[0], FAILURE_SHARE, "failed"));
    let retries = p
        .judgement
        .high_retry_rate
        .then(|| format!("{} had a retry", p.share(p.window.retry_share)));
    let latency = p.anomaly(Metric::Latency);
    let is_only_latency = p.is_alone(Metric::Latency);
    let confidence = match (&latency, retries.is_some() || fails.is_some()) {
        (Some(latency), _) if !latency.is_up() => 0.3,
        (Some(_), true) if is_only_latency => 0.8,
        (Some(_), true) => 0.65,
        (Some(_), false) => 0.6,
        (None, _) if fails.is_some() => 0.6,
        (None, _) => return None,
    };
    let reasons: Vec<String> = latency
        .map(|found| found.sentence())
        .into_iter()
        .chain(retries)
        .chain(fails)
        .collect();
    hypothesis(Diagnosis::ToolInstability, confidence, reasons.join(", and "))
}

/// Latency alone: slower, and nothing else.
fn latency_degradation(p: &Pattern<'_>) -> Option<Hypothesis> {
    let latency = p.anomaly(Metric::Latency).filter(Move::is_up)?;
    let is_lone = p.is_alone(Metric::Latency) && !p.judgement.high_retry_rate;
    let because = || latency.sentence() + ", and nothing else moved";
    (is_lone && p.window.failure_share < FAILURE_SHARE)
        .then(|| hypothesis(Diagnosis::LatencyDegradation, 0.5, because()))?
}

/// Most executions retry.
fn retry_storm(p: &Pattern<'_>) -> Option<Hypothesis> {
    let share = p.window.retry_share;
    let because = (p.judgement.high_retry_rate && share >= STORM_SHARE)
        .then(|| format!("{} had a retry", p.share(share)))
        .or_else(|| of_last(p.evident_shares()[1], STORM_SHARE, "had a retry"))?;
    hypothesis(Diagnosis::RetryStorm, 0.55, because)
}

/// Retries alone.
fn memory_corruption(p: &Pattern<'_>) -> Option<Hypothesis> {
    let is_alone = p.judgement.high_retry_rate && !p.judgement.anomalous.contains(&true);
    let because = || {
        format!(
            "{} had a retry, and nothing else moved",
            p.share(p.window.retry_share)
        )
    };
    is_alone.then(|| hypothesis(Diagnosis::MemoryCorruption, 0.6, because()))?
}

/// The platform says what an execution cost, and it is a multiple of the usual.
fn cost_overrun(p: &Pattern<'_>) -> Option<Hypothesis> {
    let (cost, usual) = (p.clues.cost?, p.clues.usual_cost?);
    if !p.judgement.is_anomalous() || usual <= 0.0 || cost <= OVERRUN_FACTOR * usual {
        return None;
    }
    let because = format!(
        "the latest execution cost {cost:.4} US dollars, {:.1} times the usual",
        cost / usual
    );
    hypothesis(Diagnosis::CostOverrun, 0.5, because)
}

/// Something departed, or the platform says so, and no rule has a name for it.
fn unknown(p: &Pattern<'_>) -> Hypothesis {
    let moved = Metric::ALL
        .into_iter()
        .filter_map(|metric| p.anomaly(metric))
        .map(|found| found.sentence());
    let word = p
        .clues
        .platform_word
        .as_ref()
        .map(|word| format!("the platform reports the agent as infected: {word}"));
    let evidence = p.clues.evidence.as_ref().map(evident);
    let reasons: Vec<String> = word.into_iter().chain(moved).chain(evidence).collect();
    let because = match reasons.is_empty() {
        true => "the pattern fits no rule".to_owned(),
        false => reasons.join(", and "),
    };
    Hypothesis {
        diagnosis: Diagnosis::Unknown,
        confidence: 0.2,
        because,
    }
}

/// `60 % of the last 5 executions failed`, from a share on.
pub(super) fn of_last(share: f64, from: f64, what: &str) -> Option<String> {
    let percent = share * 100.0;
    (share >= from).then(|| format!("{percent:.0} % of the last {DIAGNOSED} executions {what}"))
}

/// `the evidence score is 5.2 (3.5 is an infection), tokens are 5.1 standard deviations above the reference over
/// the last 8 executions`
fn evident(evidence: &Evidence) -> String {
    let score = format!(
        "the evidence score is {:.1} ({ALARM} is an infection)",
        evidence.score
    );
    let furthest = Metric::ALL
        .into_iter()
        .max_by(|a, b| {
            let size = |metric: &Metric| evidence.metrics[metric.index()].abs();
            size(a).total_cmp(&size(b))
        })
        .filter(|_| evidence.window > 0);
    let Some(metric) = furthest else {
        return score;
    };
    let z = evidence.metrics[metric.index()];
    let what = match metric {
        Metric::Latency => "latency is",
        Metric::Tokens => "tokens are",
        Metric::Tools => "tool calls are",
    };
    let direction = if z < 0.0 { "below" } else { "above" };
    let executions = match evidence.window {
        1 => "in the last execution".to_owned(),
        window => format!("over the last {window} executions"),
    };
    let size = z.abs();
    format!("{score}: {what} {size:.1} standard deviations {direction} the reference {executions}")
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
