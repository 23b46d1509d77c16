//! When an agent has been at another level for so long that a person should say which is right: the agent or its
//! baseline.

use serde::{Deserialize, Serialize};

/// Executions over which a lasting change is looked for. With [`LASTING`] the same as in the guarded detector, which
/// makes the new level its provisional reference then.
const LASTING_OF: u32 = 33;
/// Sick executions among [`LASTING_OF`] that make a baseline suspect.
const LASTING: u32 = 25;
/// Healthy executions in a row that end it.
const FORGET: u32 = 8;

/// Counts the sick executions of one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Lasting {
    /// Bit per execution, the newest lowest: sick or not.
    history: u64,
    /// Healthy executions in a row.
    healthy: u32,
    is_suspect: bool,
}

impl Lasting {
    /// Takes an execution in that was judged healthy or sick; one about which nothing can be said is not asked.
    pub fn take(&mut self, is_sick: bool) {
        self.history = ((self.history << 1) | u64::from(is_sick)) & ((1 << LASTING_OF) - 1);
        self.healthy = if is_sick {
            0
        } else {
            self.healthy.saturating_add(1)
        };
        if self.healthy >= FORGET {
            *self = Lasting {
                healthy: self.healthy,
                ..Lasting::default()
            };
        } else if self.history.count_ones() >= LASTING {
            self.is_suspect = true;
        }
    }

    /// Whether the agent has been at another level for long.
    pub fn is_suspect(&self) -> bool {
        self.is_suspect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: an agent is sick three times in four for long, then seven times healthy, sick once, and healthy eight times.
    /// Guarantees: suspect at the 33rd, not before, and until the eighth healthy execution in a row.
    #[test]
    fn it_takes_long_to_come_and_a_row_to_go() {
        let mut lasting = Lasting::default();
        for i in 1..33 {
            lasting.take(i % 4 != 0);
            assert!(!lasting.is_suspect(), "{i}");
        }
        lasting.take(true);
        assert!(lasting.is_suspect());
        for is_sick in [false; 7].into_iter().chain([true]).chain([false; 7]) {
            lasting.take(is_sick);
            assert!(lasting.is_suspect());
        }
        lasting.take(false);
        assert!(!lasting.is_suspect());
        lasting.take(true);
        assert!(!lasting.is_suspect(), "what was before is forgotten");
    }
}
