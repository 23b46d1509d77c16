//! Vitals: the record of one execution.

use crate::{AgentKey, ExecutionId, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One execution's vitals. What telemetry does not say is `None`, never 0, and detectors skip it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vitals {
    /// Whose execution.
    pub key: AgentKey,
    /// Identity of the execution; a later record with the same id replaces an earlier one of lower `revision`.
    pub execution: ExecutionId,
    /// 0 for the first report of the execution; grows when late spans or the end of a running one correct it.
    pub revision: u32,
    /// When the execution began. Equal to `timestamp` when the source gives no start.
    pub started_at: Timestamp,
    /// When the execution ended, by the agent's own clock (for a running one: the end of the latest span seen,
    /// moved on by the time since it arrived).
    pub timestamp: Timestamp,
    /// When ingestion accepted it, by our clock. Detection's live window runs on `timestamp`; this one tells late
    /// telemetry apart.
    pub received_at: Timestamp,
    /// Wall time, milliseconds.
    pub latency_ms: f64,
    /// Tokens read by models, cached ones included.
    pub input_tokens: Option<u64>,
    /// Tokens written by models.
    pub output_tokens: Option<u64>,
    /// All tokens; input plus output where both are known.
    pub token_count: Option<u64>,
    /// Tool calls that were executed.
    pub tool_calls: Option<u32>,
    /// Attempts beyond the first, of models or tools.
    pub retries: Option<u32>,
    /// Whether the execution reached its end without failing.
    pub success: bool,
    /// How the record came to be.
    pub completeness: Completeness,
    /// How the record came in.
    pub source: Source,
    /// What else is known; boxed because most consumers look at the numbers only.
    pub context: Box<Context>,
}

/// How much of the execution the record has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// The execution span ended and arrived.
    Complete,
    /// The trace fell silent before the execution span or an ancestor arrived.
    Incomplete,
    /// The execution still runs and is already beyond its agent's normal range; replaced when it ends.
    Running,
}

/// The door through which vitals came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Read from OpenTelemetry spans; judged here.
    Otlp,
    /// Posted by a platform; judged here when the run's policy says so (`judge_posted_vitals`).
    Posted,
}

/// What surrounds the numbers of an execution. Prompts and outputs are never here; fingerprints may be.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// Kind of agent, as the platform calls it (`research`, `data`).
    pub agent_type: Option<String>,
    /// Human name of the agent.
    pub agent_name: Option<String>,
    /// Instrumentation scope that the execution was read from.
    pub framework: Option<String>,
    /// Model that answered (else the one asked for).
    pub model: Option<String>,
    /// Conversation or session id.
    pub conversation: Option<String>,
    /// Trace id, lower-case hex.
    pub trace_id: Option<String>,
    /// Name of the first tool, and of every other, in order of first use; at most 32.
    pub tools: Vec<String>,
    /// Names of nested agents, in order of first appearance; at most 32.
    pub parts: Vec<String>,
    /// MCP servers that the agent says it uses; at most 32.
    pub mcp_servers: Vec<String>,
    /// Error class of a failed execution (`InternalServerError`, `_OTHER`).
    pub error_type: Option<String>,
    /// Cost in US dollars where the platform says so.
    pub cost: Option<f64>,
    /// Hash of the system prompt, as given or computed; never the text.
    pub prompt_hash: Option<String>,
    /// Kind of work that the execution does, as the platform calls it (`refund`, `summary`); at most 128 bytes.
    pub task_type: Option<String>,
    /// Fingerprint of the names of the tools that the agent was offered; never their descriptions.
    pub tools_offered: Option<String>,
    /// The call that was made most often with the same arguments, where one was made more than once.
    pub repeated_call: Option<RepeatedCall>,
    /// Kubernetes namespace, workload and pod from resource attributes, as `k8s.*` keys without the prefix.
    pub workload: Vec<(String, String)>,
    /// The platform's own word that this agent is infected (`immune.infected = true`), with its reason.
    pub platform_infected: Option<String>,
}

/// Whether a text names a kind of work: at most 128 bytes, and no control characters. A longer one is rather the task
/// itself, and would make a kind of its own of every execution.
pub fn is_task_type(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && !text.contains(char::is_control)
}

/// One tool, called again and again with the same arguments. Of those only a hash was ever known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepeatedCall {
    /// Name of the tool.
    pub tool: String,
    /// Calls with these arguments, in one execution; at least 2.
    pub times: u32,
}

/// The three metrics that have a mean and a standard deviation in the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// `latency_ms`.
    Latency,
    /// `token_count`.
    Tokens,
    /// `tool_calls`.
    Tools,
}

impl Metric {
    /// All metrics, in the order in which arrays of them are kept.
    pub const ALL: [Metric; 3] = [Metric::Latency, Metric::Tokens, Metric::Tools];

    /// Position in arrays kept per metric.
    pub const fn index(self) -> usize {
        match self {
            Metric::Latency => 0,
            Metric::Tokens => 1,
            Metric::Tools => 2,
        }
    }

    /// The largest value that is believed of one execution: 30 days, a billion tokens, a million tool calls. What
    /// lies above is a broken exporter, and one such number would shift a mean for weeks.
    pub const fn credible_max(self) -> f64 {
        match self {
            Metric::Latency => 30.0 * 24.0 * 3_600_000.0,
            Metric::Tokens => 1e9,
            Metric::Tools => 1e6,
        }
    }

    /// Name on the wire, as existing clients key deviations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Metric::Latency => "latency",
            Metric::Tokens => "tokens",
            Metric::Tools => "tools",
        }
    }
}

impl Context {
    /// The Kubernetes namespace that the agent runs in, which policy may be resolved by.
    pub fn namespace(&self) -> Option<&str> {
        self.workload
            .iter()
            .find(|(name, _)| name == "namespace.name")
            .map(|(_, value)| value.as_str())
    }
}

impl Vitals {
    /// The latest time at which the execution can have begun, by the agent's clock or by ours, whichever is
    /// earlier: an agent whose clock is ahead must not have its old executions taken for new ones.
    pub fn began_at(&self) -> Timestamp {
        let millis = self.credible(Metric::Latency).unwrap_or(0.0);
        let by_our_clock = self
            .received_at
            .minus(Duration::from_micros((millis * 1e3) as u64));
        self.started_at.min(by_our_clock)
    }

    /// Whether nothing was done: no token was used and no tool called, and the execution failed where telemetry does
    /// not say of tokens. An agent whose network is cut goes on trying; that it tries is no breach of its containment.
    pub fn is_mere_attempt(&self) -> bool {
        let has_spent = match self.token_count {
            Some(tokens) => tokens > 0,
            None => self.success,
        };
        !has_spent && self.tool_calls.is_none_or(|calls| calls == 0)
    }

    /// The value of a metric if it can be believed: finite, not negative, at most [`Metric::credible_max`].
    /// Whatever is not is treated as not measured: it neither teaches nor judges.
    pub fn credible(&self, metric: Metric) -> Option<f64> {
        self.value(metric)
            .filter(|value| (0.0..=metric.credible_max()).contains(value))
    }

    /// The value of a metric in baseline units, `None` when telemetry does not say.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Latency => Some(self.latency_ms),
            Metric::Tokens => self.token_count.map(|n| n as f64),
            Metric::Tools => self.tool_calls.map(f64::from),
        }
    }
}
