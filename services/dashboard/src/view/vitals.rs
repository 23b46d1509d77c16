//! One execution, as the store API shows it.

use immune_domain::Timestamp;
use immune_domain::vitals::Vitals;
use serde::Serialize;
use utoipa::ToSchema;

/// One execution. The original's clients calculate with these fields, so that an unknown number is 0 here and its
/// name stands in `unknown`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct VitalsView {
    /// Whose.
    pub agent_id: String,
    /// Kind of agent, `unknown` where nobody said.
    pub agent_type: String,
    /// When the execution ended, epoch seconds.
    pub timestamp: f64,
    /// Wall time, milliseconds, rounded.
    pub latency_ms: u64,
    /// All tokens.
    pub token_count: u64,
    /// Tool calls.
    pub tool_calls: u32,
    /// Attempts beyond the first.
    pub retries: u32,
    /// Whether it reached its end without failing.
    pub success: bool,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// US dollars.
    pub cost: f64,
    /// Model; empty means none was named.
    pub model: String,
    /// Error class; empty means none.
    pub error_type: String,
    /// Hash of the prompt; empty means none.
    pub prompt_hash: String,
    /// Which execution.
    pub execution_id: String,
    /// `complete`, `incomplete`, `running`.
    pub completeness: String,
    /// `otlp`, `posted`.
    pub source: String,
    /// Trace id in hex, if it came with telemetry.
    pub trace_id: Option<String>,
    /// Names of the numbers above that nobody told us.
    pub unknown: Vec<&'static str>,
}

/// A time as epoch seconds.
pub(crate) fn seconds(at: Timestamp) -> f64 {
    at.as_epoch_seconds()
}

impl From<Vitals> for VitalsView {
    fn from(v: Vitals) -> Self {
        let said = [
            ("token_count", v.token_count.is_some()),
            ("tool_calls", v.tool_calls.is_some()),
            ("retries", v.retries.is_some()),
            ("input_tokens", v.input_tokens.is_some()),
            ("output_tokens", v.output_tokens.is_some()),
            ("cost", v.context.cost.is_some()),
        ];
        let unknown = said
            .into_iter()
            .filter(|(_, is_said)| !is_said)
            .map(|(name, _)| name)
            .collect();
        VitalsView {
            agent_id: v.key.agent.to_string(),
            agent_type: v.context.agent_type.unwrap_or_else(|| "unknown".to_owned()),
            timestamp: seconds(v.timestamp),
            // Casting a float rounds nothing and saturates; what is negative or no number is 0.
            latency_ms: v.latency_ms.round() as u64,
            token_count: v.token_count.unwrap_or_default(),
            tool_calls: v.tool_calls.unwrap_or_default(),
            retries: v.retries.unwrap_or_default(),
            success: v.success,
            input_tokens: v.input_tokens.unwrap_or_default(),
            output_tokens: v.output_tokens.unwrap_or_default(),
            cost: v.context.cost.unwrap_or_default(),
            model: v.context.model.unwrap_or_default(),
            error_type: v.context.error_type.unwrap_or_default(),
            prompt_hash: v.context.prompt_hash.unwrap_or_default(),
            execution_id: v.execution.to_string(),
            completeness: v.completeness.as_str().to_owned(),
            source: v.source.as_str().to_owned(),
            trace_id: v.context.trace_id,
            unknown,
        }
    }
}
