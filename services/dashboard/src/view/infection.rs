//! A report of the sentinel, as clients see it.

use super::vitals::seconds;
use immune_domain::detection::{Infection, rounded};
use immune_domain::vitals::Metric;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// A diagnosis that it was not.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RuledOutView {
    /// Which.
    pub diagnosis: String,
    /// The numbers that speak against it, or what telemetry does not tell.
    pub because: String,
}

/// One possible diagnosis.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HypothesisView {
    /// Its name.
    pub diagnosis: String,
    /// 0 to 1.
    pub confidence: f64,
    /// Why, in a sentence.
    pub because: String,
}

/// One execution that shows an infection.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EvidenceView {
    /// Which execution.
    pub execution_id: String,
    /// Its trace, hex.
    pub trace_id: Option<String>,
    /// When it ended, epoch seconds.
    pub timestamp: f64,
    /// Milliseconds.
    pub latency_ms: f64,
    /// Absent when unknown.
    pub token_count: Option<u64>,
    /// Absent when unknown.
    pub tool_calls: Option<u32>,
    /// Absent when unknown.
    pub retries: Option<u32>,
    /// Whether it succeeded.
    pub success: bool,
}

/// Deviations by name; what cannot be said is left out.
pub(crate) fn deviations(infection: &Infection) -> Value {
    let d = &infection.deviations;
    let named = [
        ("latency", d.latency),
        ("tokens", d.tokens),
        ("tools", d.tools),
        ("retry_rate", d.retry_rate),
    ];
    let said = named
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
    Value::Object(said.collect::<Map<_, _>>())
}

/// Names of the anomalies.
pub(crate) fn anomalies(infection: &Infection) -> Vec<String> {
    infection
        .anomalies
        .iter()
        .map(|anomaly| anomaly.as_str().to_owned())
        .collect()
}

/// The largest deviation, where there is one.
pub(crate) fn max_deviation(infection: &Infection) -> Option<f64> {
    let d = &infection.deviations;
    [d.latency, d.tokens, d.tools, d.retry_rate]
        .into_iter()
        .flatten()
        .reduce(f64::max)
}

/// Why the diagnosis has its name.
pub(crate) fn reasoning(infection: &Infection) -> String {
    infection
        .hypotheses
        .first()
        .map(|hypothesis| hypothesis.because.clone())
        .unwrap_or_default()
}

pub(crate) fn hypotheses(infection: &Infection) -> Vec<HypothesisView> {
    let view = |h: &immune_domain::diagnosis::Hypothesis| HypothesisView {
        diagnosis: h.diagnosis.to_string(),
        confidence: h.confidence,
        because: h.because.clone(),
    };
    infection.hypotheses.iter().map(view).collect()
}

pub(crate) fn ruled_out(infection: &Infection) -> Vec<RuledOutView> {
    let view = |not: &immune_domain::diagnosis::RuledOut| RuledOutView {
        diagnosis: not.diagnosis.to_string(),
        because: not.because.clone(),
    };
    infection.ruled_out.iter().map(view).collect()
}

pub(crate) fn evidence(infection: &Infection) -> Vec<EvidenceView> {
    let view = |e: &immune_domain::detection::Evidence| EvidenceView {
        execution_id: e.execution.to_string(),
        trace_id: e.trace_id.clone(),
        timestamp: seconds(e.timestamp),
        latency_ms: e.latency_ms,
        token_count: e.token_count,
        tool_calls: e.tool_calls,
        retries: e.retries,
        success: e.success,
    };
    infection.evidence.iter().map(view).collect()
}

/// The window in numbers, per metric.
pub(crate) fn window(infection: &Infection) -> Value {
    let w = &infection.window;
    let metrics = Metric::ALL.map(|metric| {
        let i = metric.index();
        let numbers = json!({ "average": w.averages[i], "mean": w.means[i], "stddev": w.stddevs[i] });
        (metric.as_str().to_owned(), numbers)
    });
    json!({
        "executions": w.executions,
        "window_seconds": w.window_seconds,
        "retry_share": w.retry_share,
        "failure_share": w.failure_share,
        "metrics": metrics.into_iter().collect::<Map<_, _>>(),
    })
}

/// What the original's clients call the infection payload.
pub(crate) fn payload(infection: &Infection) -> Value {
    json!({
        "agent_id": infection.key.agent,
        "severity": rounded(infection.severity),
        "max_deviation": max_deviation(infection),
        "anomalies": anomalies(infection),
        "deviations": deviations(infection),
        "diagnosis_type": infection.hypotheses.first().map(|h| h.diagnosis),
        "reasoning": reasoning(infection),
    })
}
