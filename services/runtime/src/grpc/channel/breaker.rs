//! When a replica that fails is left alone, and for how long. A state machine of times; no clock of its own.

use std::time::Duration;
use tokio::time::Instant;

/// How failures are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Failures in a row that open the breaker.
    pub(super) after: u32,
    /// How long the first time; twice as long each further time.
    pub(super) first: Duration,
    /// How long at most.
    pub(super) max: Duration,
}

/// One replica's breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    rules: Rules,
    state: State,
    /// How often it opened since it was last well.
    opened: u32,
}

#[derive(Debug)]
enum State {
    /// Calls go through; so many have failed in a row.
    Closed { failures: u32 },
    /// No calls before this time; then one is let through to see.
    Open { until: Instant },
    /// One call is under way to see.
    Probing,
}

impl Breaker {
    pub(super) fn new(rules: Rules) -> Self {
        Breaker {
            rules,
            state: State::Closed { failures: 0 },
            opened: 0,
        }
    }

    /// Whether a call may go to the replica now.
    pub(super) fn admits(&self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until } => now >= until,
            State::Probing => false,
        }
    }

    /// A call goes to the replica.
    pub(super) fn begin(&mut self, now: Instant) {
        if let State::Open { until } = self.state
            && now >= until
        {
            self.state = State::Probing;
        }
    }

    /// A call ended well, or with an answer that is none of the replica's fault.
    pub(super) fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
        self.opened = 0;
    }

    /// A call failed. Returns whether that opened the breaker. `chance` in 0..1 spreads the callers.
    pub(super) fn failed(&mut self, now: Instant, chance: f64) -> bool {
        match &mut self.state {
            State::Closed { failures } => {
                *failures += 1;
                if *failures < self.rules.after {
                    return false;
                }
            }
            // A call from before it opened; it is known already.
            State::Open { .. } => return false,
            State::Probing => {}
        }
        let factor = 2f64.powi(i32::try_from(self.opened.min(30)).unwrap_or(30));
        let wait = self.rules.first.as_secs_f64() * factor;
        let wait = wait.min(self.rules.max.as_secs_f64()) * (0.8 + 0.2 * chance);
        self.opened = self.opened.saturating_add(1);
        self.state = State::Open {
            until: now + Duration::from_secs_f64(wait),
        };
        true
    }

    /// A call ended without a word about the replica: its caller gave up. Another one may be the probe.
    pub(super) fn abandoned(&mut self, now: Instant) {
        if let State::Probing = self.state {
            self.state = State::Open { until: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(Rules {
            after: 3,
            first: Duration::from_secs(1),
            max: Duration::from_secs(5),
        })
    }

    /// Scenario: failures in a row, with one success between.
    /// Guarantees: only failures without a success between them open.
    #[tokio::test]
    async fn failures_in_a_row_open() {
        let now = Instant::now();
        let mut breaker = breaker();
        assert!(!breaker.failed(now, 1.0) && !breaker.failed(now, 1.0));
        breaker.succeeded();
        assert!(!breaker.failed(now, 1.0) && !breaker.failed(now, 1.0));
        assert!(breaker.admits(now));
        assert!(breaker.failed(now, 1.0));
        assert!(!breaker.admits(now));
        assert!(breaker.admits(now + Duration::from_secs(1)));
    }

    /// Scenario: the probe fails again and again, then one succeeds.
    /// Guarantees: one probe at a time, waits of 1, 2, 4, 5, 5 s, and a full return after one success.
    #[tokio::test]
    async fn waits_grow_and_a_probe_ends_them() {
        let mut now = Instant::now();
        let mut breaker = breaker();
        for _ in 0..3 {
            breaker.failed(now, 1.0);
        }
        for wait in [1, 2, 4, 5, 5] {
            assert!(!breaker.admits(now + Duration::from_millis(wait * 1_000 - 1)));
            now += Duration::from_secs(wait);
            assert!(breaker.admits(now));
            breaker.begin(now);
            assert!(!breaker.admits(now), "a second probe");
            assert!(breaker.failed(now, 1.0));
        }
        now += Duration::from_secs(5);
        breaker.begin(now);
        breaker.succeeded();
        assert!(breaker.admits(now));
        assert!(!breaker.failed(now, 1.0), "counting begins anew");
    }

    /// Scenario: the probe's caller gives up.
    /// Guarantees: the next call is the probe.
    #[tokio::test]
    async fn an_abandoned_probe_is_followed_by_another() {
        let now = Instant::now();
        let mut breaker = breaker();
        for _ in 0..3 {
            breaker.failed(now, 0.0);
        }
        let later = now + Duration::from_secs(1);
        breaker.begin(later);
        breaker.abandoned(later);
        assert!(breaker.admits(later));
    }
}
