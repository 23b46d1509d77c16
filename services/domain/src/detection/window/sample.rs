//! What the window keeps of an execution, and the sums over it.

use crate::baseline::Profile;
use crate::detection::Recent;
use crate::vitals::{Completeness, Metric, Vitals};
use crate::{ExecutionId, Timestamp};
use std::hash::{DefaultHasher, Hash, Hasher};

const NANOS_PER_MILLI: f64 = 1e6;
const UNKNOWN: u32 = u32::MAX;

/// 64 bits for an execution id. Two executions of one window with the same 64 bits would be taken for one: once in
/// 10^12 full windows.
pub fn fingerprint(execution: &ExecutionId) -> u64 {
    // `DefaultHasher::new` is keyed with constants, so that every process and every restart agrees.
    let mut hasher = DefaultHasher::new();
    execution.as_str().hash(&mut hasher);
    hasher.finish()
}

/// The numbers of one execution as the window takes them. What is not credible is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// [`fingerprint`] of the execution's id.
    pub execution: u64,
    /// Revision of the record.
    pub revision: u32,
    /// When the execution ended, by the agent's clock.
    pub timestamp: Timestamp,
    /// When ingestion had it, by ours.
    pub received_at: Timestamp,
    /// Wall time, nanoseconds.
    pub latency_nanos: Option<u64>,
    /// Tokens.
    pub tokens: Option<u32>,
    /// Tool calls.
    pub tools: Option<u32>,
    /// Whether there was a retry.
    pub retried: Option<bool>,
    /// Whether it failed.
    pub failed: bool,
}

impl Sample {
    /// The numbers of a record. Those of an execution that still runs are lower bounds: below the agent's mean they
    /// say nothing yet, and count as not measured, as long as there is a profile to compare with.
    pub fn of(vitals: &Vitals, profile: Option<&Profile>) -> Self {
        let is_running = match vitals.completeness {
            Completeness::Running => true,
            Completeness::Complete | Completeness::Incomplete => false,
        };
        let value = |metric: Metric| {
            let says_something = |x: &f64| !is_running || profile.is_none_or(|p| *x > p.moments(metric).mean);
            vitals.credible(metric).filter(says_something)
        };
        Sample {
            execution: fingerprint(&vitals.execution),
            revision: vitals.revision,
            timestamp: vitals.timestamp,
            received_at: vitals.received_at,
            latency_nanos: value(Metric::Latency).map(|ms| (ms * NANOS_PER_MILLI).round() as u64),
            tokens: value(Metric::Tokens).map(|n| n as u32),
            tools: value(Metric::Tools).map(|n| n as u32),
            retried: vitals.retries.map(|n| n > 0),
            failed: !vitals.success && !is_running,
        }
    }
}

/// A sample in 40 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) execution: u64,
    pub(super) timestamp: i64,
    latency_nanos: u64,
    tokens: u32,
    tools: u32,
    pub(super) revision: u32,
    retried: Option<bool>,
    failed: bool,
}

const _: () = assert!(size_of::<Entry>() == 40);

impl Entry {
    pub(super) fn of(sample: &Sample, timestamp: i64) -> Self {
        Entry {
            execution: sample.execution,
            timestamp,
            latency_nanos: sample.latency_nanos.unwrap_or(u64::MAX),
            tokens: sample.tokens.unwrap_or(UNKNOWN),
            tools: sample.tools.unwrap_or(UNKNOWN),
            revision: sample.revision,
            retried: sample.retried,
            failed: sample.failed,
        }
    }
}

/// Exact sums over the entries. 4,096 x 30 days in nanoseconds fit into 64 bits, which
/// [`crate::vitals::Vitals::credible`] guarantees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sums {
    latency_nanos: u64,
    tokens: u64,
    tools: u64,
    with_latency: u32,
    with_tokens: u32,
    with_tools: u32,
    with_retries: u32,
    retried: u32,
    failed: u32,
}

impl Sums {
    pub(super) fn add(&mut self, entry: &Entry) {
        if entry.latency_nanos != u64::MAX {
            self.latency_nanos += entry.latency_nanos;
            self.with_latency += 1;
        }
        if entry.tokens != UNKNOWN {
            self.tokens += u64::from(entry.tokens);
            self.with_tokens += 1;
        }
        if entry.tools != UNKNOWN {
            self.tools += u64::from(entry.tools);
            self.with_tools += 1;
        }
        self.with_retries += u32::from(entry.retried.is_some());
        self.retried += u32::from(entry.retried == Some(true));
        self.failed += u32::from(entry.failed);
    }

    pub(super) fn subtract(&mut self, entry: &Entry) {
        if entry.latency_nanos != u64::MAX {
            self.latency_nanos -= entry.latency_nanos;
            self.with_latency -= 1;
        }
        if entry.tokens != UNKNOWN {
            self.tokens -= u64::from(entry.tokens);
            self.with_tokens -= 1;
        }
        if entry.tools != UNKNOWN {
            self.tools -= u64::from(entry.tools);
            self.with_tools -= 1;
        }
        self.with_retries -= u32::from(entry.retried.is_some());
        self.retried -= u32::from(entry.retried == Some(true));
        self.failed -= u32::from(entry.failed);
    }

    pub(super) fn recent(&self, executions: u32) -> Recent {
        let average = |sum: f64, count: u32| (count > 0).then(|| sum / f64::from(count));
        Recent {
            executions,
            averages: [
                average(self.latency_nanos as f64 / NANOS_PER_MILLI, self.with_latency),
                average(self.tokens as f64, self.with_tokens),
                average(self.tools as f64, self.with_tools),
            ],
            // Of all executions, not only of those that say: telemetry often shows a retry only where there was one.
            retry_share: average(f64::from(self.retried), executions).filter(|_| self.with_retries > 0),
            failure_share: average(f64::from(self.failed), executions).unwrap_or(0.0),
        }
    }
}

/// The numbers of some executions that are not a window.
pub fn recent_of(samples: &[Sample]) -> Recent {
    let mut sums = Sums::default();
    // As many as the exact sums have room for; callers have a few.
    for sample in samples.iter().take(super::EXECUTIONS_MAX) {
        sums.add(&Entry::of(sample, sample.timestamp.as_micros()));
    }
    sums.recent(samples.len().min(super::EXECUTIONS_MAX) as u32)
}
