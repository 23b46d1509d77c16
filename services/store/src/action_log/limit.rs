//! Keeping strangers from filling the log.

use immune_domain::Timestamp;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Rows written per minute.
pub const ROWS_PER_MINUTE: u32 = 60;

/// Lets so many rows a minute through; the rest are counted, and the count goes into the next row.
#[derive(Debug, Default)]
pub struct RowLimit(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Timestamp,
    rows: u32,
    unwritten: u64,
}

impl RowLimit {
    /// How many rows went unwritten before this one; `None` when this one does, too.
    pub fn admit(&self, now: Timestamp) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(window.began) >= Duration::from_secs(60) {
            window.began = now;
            window.rows = 0;
        }
        if window.rows >= ROWS_PER_MINUTE {
            window.unwritten += 1;
            return None;
        }
        window.rows += 1;
        Some(std::mem::take(&mut window.unwritten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: more rows in a minute than may be written.
    /// Guarantees: the rest are counted, and the next minute's first row says how many they were.
    #[test]
    fn a_flood_is_counted_not_written() {
        let limit = RowLimit::default();
        let start = Timestamp::from_micros(1_000_000_000_000);
        for _ in 0..ROWS_PER_MINUTE {
            assert_eq!(limit.admit(start), Some(0));
        }
        assert_eq!(limit.admit(start), None);
        assert_eq!(limit.admit(start), None);
        assert_eq!(limit.admit(start.plus(Duration::from_secs(61))), Some(2));
    }
}
