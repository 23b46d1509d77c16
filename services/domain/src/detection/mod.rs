//! Detection: the only place where deviation and severity are computed.

pub mod guarded;
pub mod probation;
pub mod specified;
pub mod window;

pub use specified::{Judgement, Recent, Rule, judge, rounded, severity};
pub use window::{Entered, Sample, Window};

use crate::diagnosis::{Hypothesis, RuledOut};
use crate::vitals::Vitals;
use crate::{AgentKey, ExecutionId, InfectionId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A metric that departed, as existing clients name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anomaly {
    /// Latency deviates.
    LatencySpike,
    /// Tokens deviate.
    TokenSpike,
    /// Tool calls deviate.
    ToolExplosion,
    /// Too many recent executions had a retry.
    HighRetryRate,
    /// The platform said so itself; no metric need deviate.
    PlatformReport,
}

/// How far the recent average is from the baseline, in standard deviations; `None` where nothing can be said
/// (metric not measured, no spread to measure with).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Deviations {
    /// Of `latency_ms`.
    pub latency: Option<f64>,
    /// Of `token_count`.
    pub tokens: Option<f64>,
    /// Of `tool_calls`.
    pub tools: Option<f64>,
    /// 10 x the share of recent executions with a retry, where that share is over the limit.
    pub retry_rate: Option<f64>,
}

/// A report of the sentinel: what moved, how far, why it has this name, and which executions show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Infection {
    /// Identity of the report; reporting it twice opens one case.
    pub id: InfectionId,
    /// Who departed.
    pub key: AgentKey,
    /// When the sentinel saw it.
    pub detected_at: Timestamp,
    /// 0 to 10.
    pub severity: f64,
    /// What departed.
    pub anomalies: Vec<Anomaly>,
    /// How far.
    pub deviations: Deviations,
    /// Diagnoses, the most confident first; never empty.
    pub hypotheses: Vec<Hypothesis>,
    /// What it was not, and why.
    #[serde(default)]
    pub ruled_out: Vec<RuledOut>,
    /// What the window looked like.
    pub window: WindowSummary,
    /// The executions that show it, the latest last; at most [`EVIDENCE_MAX`].
    pub evidence: Vec<Evidence>,
    /// Version of the profile that judged; 0 when the report is the platform's word alone.
    pub baseline_version: u64,
    /// How sure the guarded detector was, in about standard deviations of a normal variable; `None` where it was not
    /// asked or could not yet say.
    #[serde(default)]
    pub evidence_score: Option<f64>,
    /// What telemetry says of the agent's place in Kubernetes: `k8s.*` resource attributes of its latest execution,
    /// without the prefix; at most [`WORKLOAD_MAX`]. A hint and no proof: the agent itself may have written it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub workload: BTreeMap<String, String>,
}

/// The most executions that a report names.
pub const EVIDENCE_MAX: usize = 10;

/// The most attributes of the workload that a report carries.
pub const WORKLOAD_MAX: usize = 32;

/// The recent window in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowSummary {
    /// Executions in the window.
    pub executions: u32,
    /// Length of the window, seconds.
    pub window_seconds: f64,
    /// Average per metric, indexed by [`crate::vitals::Metric::index`].
    pub averages: [Option<f64>; 3],
    /// Baseline mean per metric.
    pub means: [Option<f64>; 3],
    /// Baseline standard deviation per metric.
    pub stddevs: [Option<f64>; 3],
    /// Share of executions with a retry.
    pub retry_share: f64,
    /// Share of executions that failed.
    pub failure_share: f64,
}

/// One execution that shows an infection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Which execution.
    pub execution: ExecutionId,
    /// Its trace, hex.
    pub trace_id: Option<String>,
    /// When it ended.
    pub timestamp: Timestamp,
    /// Its numbers.
    pub latency_ms: f64,
    /// Its tokens.
    pub token_count: Option<u64>,
    /// Its tool calls.
    pub tool_calls: Option<u32>,
    /// Its retries.
    pub retries: Option<u32>,
    /// Whether it succeeded.
    pub success: bool,
}

impl Evidence {
    /// What a report keeps of an execution.
    pub fn of(vitals: &Vitals) -> Self {
        Evidence {
            execution: vitals.execution.clone(),
            trace_id: vitals.context.trace_id.clone(),
            timestamp: vitals.timestamp,
            latency_ms: vitals.latency_ms,
            token_count: vitals.token_count,
            tool_calls: vitals.tool_calls,
            retries: vitals.retries,
            success: vitals.success,
        }
    }
}
