//! Lessons that wait: an execution of an agent that is judged already teaches only after a while, and not at all if
//! the agent turns out sick in between.
//!
//! The sentinel judges the average of a window, which the first executions of a fault do not move far enough. Learned
//! at once, they would widen the spread until the fault hides in its own baseline.

use crate::{AgentKey, Timestamp};
use std::collections::HashMap;
use std::time::Duration;

/// When a lesson began to wait, for [`Late::is_well`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    since: Timestamp,
    number: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    lessons: u32,
    /// Lessons with a lower number waited when the agent turned out sick.
    sick_below: u64,
}

/// The agents whose lessons wait. Holds the agents only; whoever holds the lessons keeps a [`Ticket`] with each.
#[derive(Debug)]
pub struct Late {
    agents: HashMap<AgentKey, Waiting>,
    next: u64,
    wait: Duration,
}

impl Late {
    /// Each lesson waits for this long.
    pub fn new(wait: Duration) -> Self {
        Late {
            agents: HashMap::new(),
            next: 0,
            wait,
        }
    }

    /// A lesson begins to wait.
    pub fn begin(&mut self, key: &AgentKey, now: Timestamp) -> Ticket {
        self.agents.entry(key.clone()).or_default().lessons += 1;
        self.next += 1;
        Ticket {
            since: now,
            number: self.next,
        }
    }

    /// The agent is sick: what waits now teaches nothing.
    pub fn sicken(&mut self, key: &AgentKey) {
        if let Some(waiting) = self.agents.get_mut(key) {
            waiting.sick_below = self.next + 1;
        }
    }

    /// Whether the agent has not turned out sick since the lesson began to wait.
    pub fn is_well(&self, key: &AgentKey, ticket: Ticket) -> bool {
        self.agents
            .get(key)
            .is_none_or(|waiting| ticket.number >= waiting.sick_below)
    }

    /// Whether a lesson has waited long enough.
    pub fn is_over(&self, ticket: Ticket, now: Timestamp) -> bool {
        now.since(ticket.since) >= self.wait
    }

    /// Whether a lesson waits no longer: it has waited long enough, or it cannot teach any more, or its agent is not
    /// judged yet, so that there is nothing to wait for.
    pub fn is_due(&self, key: &AgentKey, ticket: Ticket, is_judged: bool, now: Timestamp) -> bool {
        !self.is_well(key, ticket) || !is_judged || self.is_over(ticket, now)
    }

    /// A lesson waits no longer.
    pub fn end(&mut self, key: &AgentKey) {
        let Some(waiting) = self.agents.get_mut(key) else {
            return;
        };
        waiting.lessons = waiting.lessons.saturating_sub(1);
        if waiting.lessons == 0 {
            self.agents.remove(key);
        }
    }

    /// Whether no lesson waits.
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_secs(seconds))
    }

    /// Scenario: two agents execute; one turns out sick before its lessons are due, and executes again.
    /// Guarantees: nothing that the sick one did before teaches, what it does afterwards may; the other's lessons are
    /// due when they have waited, not earlier; what has ended leaves nothing behind.
    #[test]
    fn what_came_before_a_sickness_teaches_nothing() {
        let mut late = Late::new(Duration::from_secs(10));
        let (sick, well) = (AgentKey::new("r", "sick"), AgentKey::new("r", "well"));
        let before = late.begin(&sick, at(0));
        let other = late.begin(&well, at(0));
        late.sicken(&sick);
        let after = late.begin(&sick, at(1));
        assert!(!late.is_well(&sick, before));
        assert!(late.is_well(&sick, after) && late.is_well(&well, other));
        assert!(!late.is_over(other, at(9)) && late.is_over(other, at(10)));
        for key in [&sick, &well, &sick] {
            assert!(!late.is_empty());
            late.end(key);
        }
        assert!(late.is_empty());
    }
}
