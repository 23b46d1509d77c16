//! An agent's vitals over time, as charts show them.

use super::agent::Band;
use super::vitals::{VitalsView, seconds};
use immune_domain::Timestamp;
use immune_domain::case::{Case, State};
use immune_domain::detection::rounded;
use immune_domain::vitals::Vitals;
use immune_store::series::{Bucket, Words};
use serde::Serialize;
use utoipa::ToSchema;

/// Changes that are shown at most, the latest.
const CHANGES_MAX: usize = 100;

/// An agent's vitals over time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Series {
    /// Beginning of the first step, epoch seconds.
    pub from: f64,
    /// End, epoch seconds.
    pub to: f64,
    /// Length of a step, seconds.
    pub bucket_seconds: f64,
    /// The steps that have executions, oldest first.
    pub points: Vec<Point>,
    /// The store could not sum up all executions: the earliest are missing.
    pub truncated: bool,
    /// The executions one by one, oldest first, where they are 500 or fewer.
    pub executions: Vec<VitalsView>,
    /// What is normal now; empty before anything was learned, and while nobody knows.
    pub band: Vec<Band>,
    /// Deviation above which an average is an anomaly, standard deviations.
    pub threshold_stddev: f64,
    /// Cases that were open within, newest first.
    pub cases: Vec<CaseSpan>,
    /// Executions within that were evidence of a case.
    pub anomalies: Vec<Anomaly>,
    /// When the model or the prompt changed, oldest first, at most the latest 100. To the execution where they are
    /// listed one by one, else to the step.
    pub changes: Vec<Change>,
}

/// The executions of a step.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Point {
    /// When the step begins, epoch seconds.
    pub at: f64,
    /// Executions.
    pub count: u64,
    /// Mean, milliseconds.
    pub latency: Option<f64>,
    /// Mean of those that are known.
    pub tokens: Option<f64>,
    /// Mean of those that are known.
    pub tools: Option<f64>,
    /// Sum of those that are known.
    pub retries: Option<u64>,
    /// Executions that failed.
    pub failures: u64,
}

/// A case on the axis.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CaseSpan {
    /// Identity.
    pub case_id: String,
    /// Epoch seconds.
    pub opened_at: f64,
    /// Epoch seconds; null while it is open.
    pub closed_at: Option<f64>,
    /// 0 to 10, one decimal.
    pub severity: f64,
    /// The most confident diagnosis.
    pub diagnosis: String,
    /// As in a case.
    pub state: String,
}

/// An execution that was evidence of a case.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Anomaly {
    /// Of which case.
    pub case_id: String,
    /// Which execution.
    pub execution_id: String,
    /// Its trace, hex.
    pub trace_id: Option<String>,
    /// When it ended, epoch seconds.
    pub at: f64,
    /// Milliseconds.
    pub latency: f64,
    /// Null when unknown.
    pub tokens: Option<u64>,
    /// Null when unknown.
    pub tools: Option<u32>,
    /// Null when unknown.
    pub retries: Option<u32>,
    /// Whether it succeeded.
    pub success: bool,
}

/// A change of what an agent runs on.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Change {
    /// Epoch seconds.
    pub at: f64,
    /// `model`; `version`: the fingerprint of the system prompt.
    pub kind: &'static str,
    /// What it was.
    pub from: String,
    /// What it became.
    pub to: String,
}

/// A step as a point.
pub(crate) fn point(bucket: &Bucket) -> Point {
    Point {
        at: seconds(bucket.start),
        count: bucket.count,
        latency: bucket.latency_ms,
        tokens: bucket.tokens,
        tools: bucket.tools,
        retries: bucket.retries,
        failures: bucket.failures,
    }
}

impl CaseSpan {
    pub(crate) fn of(case: &Case) -> Self {
        let closed_at = match &case.state {
            State::Healed { at, .. } | State::Released { at, .. } => Some(seconds(*at)),
            State::AwaitingApproval { .. }
            | State::Rejected { .. }
            | State::HealQueued { .. }
            | State::Healing { .. }
            | State::Probation { .. } => None,
        };
        CaseSpan {
            case_id: case.id.to_string(),
            opened_at: seconds(case.opened_at),
            closed_at,
            severity: rounded(case.infection.severity),
            diagnosis: case.diagnosis().to_string(),
            state: case.state.as_str().to_owned(),
        }
    }

    /// Whether it was open within a stretch of time.
    pub(crate) fn overlaps(&self, from: Timestamp, to: Timestamp) -> bool {
        self.opened_at < seconds(to) && self.closed_at.is_none_or(|closed| closed >= seconds(from))
    }
}

impl Anomaly {
    /// The evidence of a case that lies within a stretch of time.
    pub(crate) fn of(case: &Case, from: Timestamp, to: Timestamp) -> Vec<Anomaly> {
        let evidence = case.infection.evidence.iter();
        let within = evidence.filter(|e| e.timestamp >= from && e.timestamp < to);
        within
            .map(|evidence| Anomaly {
                case_id: case.id.to_string(),
                execution_id: evidence.execution.to_string(),
                trace_id: evidence.trace_id.clone(),
                at: seconds(evidence.timestamp),
                latency: evidence.latency_ms,
                tokens: evidence.token_count,
                tools: evidence.tool_calls,
                retries: evidence.retries,
                success: evidence.success,
            })
            .collect()
    }
}

/// Follows one word over time.
struct Follow {
    kind: &'static str,
    last: Option<String>,
}

impl Follow {
    fn of(kind: &'static str) -> Self {
        Follow { kind, last: None }
    }

    fn see(&mut self, at: Timestamp, word: &str, changes: &mut Vec<Change>) {
        match &self.last {
            Some(last) if last == word => return,
            Some(last) => changes.push(Change {
                at: seconds(at),
                kind: self.kind,
                from: last.clone(),
                to: word.to_owned(),
            }),
            None => {}
        }
        self.last = Some(word.to_owned());
    }

    /// A step with several words is taken for a change from the one that was there to the other.
    fn see_any(&mut self, at: Timestamp, words: &Words, changes: &mut Vec<Change>) {
        if let Some(only) = words.only() {
            return self.see(at, only, changes);
        }
        let was_high = self.last.as_ref() == Some(&words.high);
        let (first, then) = if was_high {
            (&words.high, &words.low)
        } else {
            (&words.low, &words.high)
        };
        self.see(at, first, changes);
        self.see(at, then, changes);
    }
}

/// Changes from execution to execution.
pub(crate) fn changes_of(records: &[Vitals]) -> Vec<Change> {
    let (mut models, mut prompts) = (Follow::of("model"), Follow::of("version"));
    let mut changes = Vec::new();
    for vitals in records {
        let context = &vitals.context;
        if let Some(model) = &context.model {
            models.see(vitals.timestamp, model, &mut changes);
        }
        if let Some(prompt) = &context.prompt_hash {
            prompts.see(vitals.timestamp, prompt, &mut changes);
        }
    }
    latest(changes)
}

/// Changes from step to step.
pub(crate) fn changes_between(buckets: &[Bucket]) -> Vec<Change> {
    let (mut models, mut prompts) = (Follow::of("model"), Follow::of("version"));
    let mut changes = Vec::new();
    for bucket in buckets {
        if let Some(words) = &bucket.models {
            models.see_any(bucket.start, words, &mut changes);
        }
        if let Some(words) = &bucket.prompts {
            prompts.see_any(bucket.start, words, &mut changes);
        }
    }
    latest(changes)
}

fn latest(mut changes: Vec<Change>) -> Vec<Change> {
    changes.split_off(changes.len().saturating_sub(CHANGES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a model that stays, changes within a step, and changes back between two steps.
    /// Guarantees: each change once, from what was to what became.
    #[test]
    fn changes_are_seen_between_steps() {
        let bucket = |second: i64, low: &str, high: &str| Bucket {
            start: Timestamp::from_micros(second * 1_000_000),
            count: 1,
            latency_ms: None,
            tokens: None,
            tools: None,
            retries: None,
            failures: 0,
            models: Words::of(Some(low.to_owned()), Some(high.to_owned())),
            prompts: None,
        };
        let buckets = [
            bucket(0, "a", "a"),
            bucket(1, "a", "b"),
            bucket(2, "b", "b"),
            bucket(3, "a", "a"),
        ];
        let changes = changes_between(&buckets);
        let shown: Vec<_> = changes
            .iter()
            .map(|c| (c.at, c.from.as_str(), c.to.as_str()))
            .collect();
        assert_eq!(shown, [(1.0, "a", "b"), (3.0, "b", "a")]);
    }
}
