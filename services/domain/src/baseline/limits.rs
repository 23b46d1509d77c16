//! From when on an execution that still runs is beyond its agent's normal range.

use super::Profile;
use crate::vitals::Metric;

/// Per metric the value that a running execution has to pass to be reported before it ends; `None` where the
/// baseline cannot say.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Milliseconds.
    pub latency_ms: Option<f64>,
    /// Tokens.
    pub tokens: Option<f64>,
    /// Tool calls.
    pub tool_calls: Option<f64>,
}

/// Limits of a ready profile: `mean + max(6 stddev, 3 mean)`, and at least 5 s, 1,000 tokens, 10 tool calls.
///
/// Four times the usual, or six standard deviations where an agent varies a lot: provisional vitals exist for the
/// loop that never ends, not for the slow execution, which is judged when it ends. The floors keep agents that do
/// next to nothing from being reported for doing something. A metric with fewer than two samples has no limit, and
/// a profile that does not judge has none at all.
pub fn running_limits(profile: &Profile) -> Limits {
    if !profile.state.is_ready() {
        return Limits::default();
    }
    let limit = |metric: Metric, floor: f64| {
        let moments = profile.moments(metric);
        let limit = moments.mean + (6.0 * moments.stddev).max(3.0 * moments.mean);
        (moments.count >= 2 && limit.is_finite()).then(|| limit.max(floor))
    };
    Limits {
        latency_ms: limit(Metric::Latency, 5_000.0),
        tokens: limit(Metric::Tokens, 1_000.0),
        tool_calls: limit(Metric::Tools, 10.0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Moments, State};
    use super::*;
    use crate::{AgentKey, Timestamp};

    fn profile(state: State, moments: [Moments; 3]) -> Profile {
        let key = AgentKey::new("r", "a");
        Profile {
            key,
            version: 1,
            state,
            sample_count: 20,
            moments,
            updated_at: Timestamp::EPOCH,
            of: Default::default(),
            is_frozen: false,
            known: None,
        }
    }

    fn moments(mean: f64, stddev: f64) -> Moments {
        Moments {
            count: 20,
            mean,
            stddev,
        }
    }

    /// Guarantees: the larger of six deviations and three means above the mean, never below the floor.
    #[test]
    fn limits_are_far_above_normal() {
        let usual = [
            moments(10_000.0, 1_000.0),
            moments(5_000.0, 4_000.0),
            moments(0.0, 0.0),
        ];
        let limits = running_limits(&profile(State::Active, usual));
        assert_eq!(limits.latency_ms, Some(40_000.0));
        assert_eq!(limits.tokens, Some(29_000.0));
        assert_eq!(limits.tool_calls, Some(10.0));
    }

    /// Guarantees: a profile that does not judge limits nothing, nor does a metric that was hardly ever seen.
    #[test]
    fn no_limits_without_a_baseline() {
        let usual = [moments(10_000.0, 1_000.0); 3];
        assert_eq!(
            running_limits(&profile(State::Learning, usual)),
            Limits::default()
        );
        let seen_once = Moments {
            count: 1,
            mean: 100.0,
            stddev: 0.0,
        };
        assert_eq!(
            running_limits(&profile(State::Stale, [seen_once; 3])),
            Limits::default()
        );
    }
}
