//! Executions that a restart of this process may have torn.
//!
//! Spans of an execution that has not ended are in memory only. If the process dies, the rest of the execution
//! arrives at the next one, and adds up to too few tokens and calls: a healthy agent would look as if it did less.

use crate::assemble::Emitted;
use immune_domain::Timestamp;
use immune_domain::vitals::{Completeness, Source, Vitals};
use std::time::Duration;

/// How long before our start an execution may have ended and still be torn: senders keep a batch back for some
/// seconds, and repeat it for about a minute while nobody answers.
const BEFORE_START: Duration = Duration::from_secs(60);

/// Marks executions that began before this process did and ended around its start or later: counts that may lack
/// spans become unknown, and the record incomplete. What its own span says (duration, success) stays.
pub(crate) fn mark(emitted: &mut [Emitted], process_started_at: Timestamp) {
    for record in emitted {
        match record {
            Emitted::Vitals(vitals) if is_torn(vitals, process_started_at) => {
                vitals.input_tokens = None;
                vitals.output_tokens = None;
                vitals.token_count = None;
                vitals.tool_calls = None;
                vitals.retries = None;
                vitals.completeness = Completeness::Incomplete;
            }
            Emitted::Vitals(_) | Emitted::Retracted { .. } => {}
        }
    }
}

fn is_torn(vitals: &Vitals, process_started_at: Timestamp) -> bool {
    vitals.source == Source::Otlp
        && vitals.started_at < process_started_at
        && vitals.timestamp > process_started_at.minus(BEFORE_START)
}

#[cfg(test)]
mod tests {
    use super::*;
    use immune_domain::AgentKey;
    use immune_domain::vitals::Context;

    fn vitals(started_at: u64, timestamp: u64) -> Emitted {
        let at = |seconds| Timestamp::EPOCH.plus(Duration::from_secs(seconds));
        Emitted::Vitals(Vitals {
            key: AgentKey::new("default", "a"),
            execution: "e".into(),
            revision: 0,
            started_at: at(started_at),
            timestamp: at(timestamp),
            received_at: at(1_001),
            latency_ms: 5.0,
            input_tokens: Some(1),
            output_tokens: Some(1),
            token_count: Some(2),
            tool_calls: Some(3),
            retries: Some(0),
            success: true,
            completeness: Completeness::Complete,
            source: Source::Otlp,
            context: Box::new(Context::default()),
        })
    }

    fn tokens(started_at: u64, timestamp: u64) -> Option<u64> {
        let mut emitted = [vitals(started_at, timestamp)];
        mark(&mut emitted, Timestamp::EPOCH.plus(Duration::from_secs(1_000)));
        match &emitted[0] {
            Emitted::Vitals(vitals) => vitals.token_count,
            Emitted::Retracted { .. } => panic!("a record stays a record"),
        }
    }

    /// Scenario: the process starts at second 1,000; executions before, across, and after that.
    /// Guarantees: what may have lost spans says so instead of giving too small numbers; history that is sent later
    /// and everything that began since is whole.
    #[test]
    fn only_what_a_restart_may_have_torn_is_unknown() {
        assert_eq!(tokens(998, 1_002), None, "runs across the start");
        assert_eq!(
            tokens(990, 999),
            None,
            "ended just before, its last spans were sent again"
        );
        assert_eq!(tokens(1_000, 1_002), Some(2), "began since");
        assert_eq!(tokens(100, 900), Some(2), "history");
    }
}
