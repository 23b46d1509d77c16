//! Options of putting executions together.

use serde::{Deserialize, Serialize};

/// Limits and waits. All waits run on arrival time, never on the clocks of agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long an agent's finished span waits for a local parent that has not arrived, seconds, default 10. Then it
    /// counts as the outermost one; if an outer agent arrives later, the inner record is taken back.
    pub ancestor_wait_seconds: u64,
    /// Silence after which a trace whose execution span has not arrived is reported as incomplete, seconds,
    /// default 30.
    pub quiet_timeout_seconds: u64,
    /// How long the spans of a finished trace are kept after the last one, seconds, default 30, so that late
    /// children correct its record.
    pub linger_seconds: u64,
    /// How long the spans of an incomplete trace are kept after the last one, seconds, default 600: its agent may
    /// be waiting for a slow tool.
    pub incomplete_linger_seconds: u64,
    /// Spans kept per trace, default 20,000. Beyond it the tokens and tool calls of further spans are still added
    /// up, and agents' spans are still kept.
    pub trace_spans_max: usize,
    /// Traces open at once, default 100,000. Beyond it the one that was silent longest is finished early.
    pub traces_max: usize,
    /// Memory of all open traces, bytes, default 268,435,456 (256 MiB). Beyond it the trace that was silent longest
    /// is finished early.
    pub bytes_max: usize,
    /// Whether nested agents get vitals of their own beside those of the execution that they are part of, default
    /// false. Their tokens and calls then count in both.
    pub nested_agents_own_vitals: bool,
    /// Whether a model call with no agent, chain or application span around it is an execution of its service,
    /// default true.
    pub lone_model_calls: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            ancestor_wait_seconds: 10,
            quiet_timeout_seconds: 30,
            linger_seconds: 30,
            incomplete_linger_seconds: 600,
            trace_spans_max: 20_000,
            traces_max: 100_000,
            bytes_max: 256 * 1024 * 1024,
            nested_agents_own_vitals: false,
            lone_model_calls: true,
        }
    }
}

impl Config {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        let mut within = |name: &str, value: u64, low: u64, high: u64| {
            if !(low..=high).contains(&value) {
                mistakes.push(format!(
                    "{path}.{name} = {value}: must be between {low} and {high}"
                ));
            }
        };
        within("ancestor_wait_seconds", self.ancestor_wait_seconds, 0, 3_600);
        within("quiet_timeout_seconds", self.quiet_timeout_seconds, 1, 3_600);
        within("linger_seconds", self.linger_seconds, 0, 3_600);
        within(
            "incomplete_linger_seconds",
            self.incomplete_linger_seconds,
            1,
            24 * 3_600,
        );
        within("trace_spans_max", self.trace_spans_max as u64, 100, 1_000_000);
        within("traces_max", self.traces_max as u64, 1, 10_000_000);
        within("bytes_max", self.bytes_max as u64, 1024 * 1024, 1 << 40);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the defaults are valid, and every mistake is named with its path and value.
    #[test]
    fn mistakes_are_named() {
        let mut mistakes = Vec::new();
        Config::default().check("ingestion.spans", &mut mistakes);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let wrong = Config {
            quiet_timeout_seconds: 0,
            bytes_max: 1,
            ..Config::default()
        };
        wrong.check("ingestion.spans", &mut mistakes);
        assert_eq!(
            mistakes,
            [
                "ingestion.spans.quiet_timeout_seconds = 0: must be between 1 and 3600",
                "ingestion.spans.bytes_max = 1: must be between 1048576 and 1099511627776",
            ]
        );
    }
}
