//! Many executions in few numbers, for charts: what the store of vitals answers in sums instead of records.

use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// The latest latencies of an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Latencies {
    /// Whose.
    pub agent: AgentId,
    /// When each execution ended, and its latency in milliseconds; oldest first.
    pub points: Vec<(Timestamp, f64)>,
}

/// Executions summed up in steps of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Buckets {
    /// The steps that have executions, oldest first.
    pub buckets: Vec<Bucket>,
    /// The store cannot sum up by itself, and there were more records than it reads: the earliest are missing.
    pub is_truncated: bool,
}

/// The executions that ended within a step of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// When the step begins.
    pub start: Timestamp,
    /// Executions.
    pub count: u64,
    /// Mean latency, milliseconds, of those that have a number.
    pub latency_ms: Option<f64>,
    /// Mean tokens of those that are known.
    pub tokens: Option<f64>,
    /// Mean tool calls of those that are known.
    pub tools: Option<f64>,
    /// Sum of the retries that are known; `None` when none is.
    pub retries: Option<u64>,
    /// Executions that failed.
    pub failures: u64,
    /// Models that answered.
    pub models: Option<Words>,
    /// Hashes of system prompts.
    pub prompts: Option<Words>,
}

/// The texts of a step, as far as one wants to know them: the first and the last in the order of their bytes. When
/// they are equal there is only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The first in the order of bytes.
    pub low: String,
    /// The last in the order of bytes.
    pub high: String,
}

impl Words {
    /// The two, if there are any.
    pub fn of(low: Option<String>, high: Option<String>) -> Option<Self> {
        Some(Words {
            low: low?,
            high: high?,
        })
    }

    /// The only text; `None` when there are several.
    pub fn only(&self) -> Option<&str> {
        (self.low == self.high).then_some(self.low.as_str())
    }
}

/// A mean and how many it is of.
#[derive(Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.sum += value;
            self.count += 1;
        }
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

#[derive(Default)]
struct Sums {
    count: u64,
    latency: Mean,
    tokens: Mean,
    tools: Mean,
    retries: Option<u64>,
    failures: u64,
    models: Option<Words>,
    prompts: Option<Words>,
}

/// Sums records up, for stores whose language cannot. `from` is where the first step begins; earlier records are
/// left out.
pub fn sum_up<'a>(
    records: impl IntoIterator<Item = &'a Vitals>,
    from: Timestamp,
    width: Duration,
) -> Vec<Bucket> {
    let width = i64::try_from(width.as_micros()).unwrap_or(i64::MAX).max(1);
    let mut steps: BTreeMap<i64, Sums> = BTreeMap::new();
    for vitals in records.into_iter().filter(|vitals| vitals.timestamp >= from) {
        let step = vitals.timestamp.as_micros().saturating_sub(from.as_micros()) / width;
        let sums = steps.entry(step).or_default();
        sums.count += 1;
        sums.latency.add(Some(vitals.latency_ms));
        // Above this the databases keep tokens as negative numbers, and no agent has used so many.
        let tokens = vitals.token_count.filter(|tokens| i64::try_from(*tokens).is_ok());
        sums.tokens.add(tokens.map(|tokens| tokens as f64));
        sums.tools.add(vitals.tool_calls.map(f64::from));
        if let Some(retries) = vitals.retries {
            *sums.retries.get_or_insert(0) += u64::from(retries);
        }
        sums.failures += u64::from(!vitals.success);
        widen(&mut sums.models, vitals.context.model.as_deref());
        widen(&mut sums.prompts, vitals.context.prompt_hash.as_deref());
    }
    steps
        .into_iter()
        .map(|(step, sums)| Bucket {
            start: Timestamp::from_micros(from.as_micros().saturating_add(step.saturating_mul(width))),
            count: sums.count,
            latency_ms: sums.latency.value(),
            tokens: sums.tokens.value(),
            tools: sums.tools.value(),
            retries: sums.retries,
            failures: sums.failures,
            models: sums.models,
            prompts: sums.prompts,
        })
        .collect()
}

fn widen(words: &mut Option<Words>, word: Option<&str>) {
    let Some(word) = word else { return };
    match words {
        None => *words = Words::of(Some(word.to_owned()), Some(word.to_owned())),
        Some(words) if word < words.low.as_str() => words.low = word.to_owned(),
        Some(words) if word > words.high.as_str() => words.high = word.to_owned(),
        Some(_) => {}
    }
}
