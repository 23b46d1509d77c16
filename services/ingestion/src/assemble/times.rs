//! Times that agents write, made usable.
//!
//! Agents' clocks are wrong now and then, and a wrong time must not spoil a mean or lose a run's tokens:
//! - no start or no end: the one that is there stands for both; neither: the span is refused;
//! - an end before the start: the span has no duration of its own, and counts as a moment at its start;
//! - more than five minutes ahead of our clock: start and end are moved back together so that the end is now; the
//!   duration stays;
//! - beyond the year 2262, where nanoseconds leave 63 bits: as ahead of our clock.

use immune_domain::Timestamp;
use std::time::Duration;

/// How far an agent's clock may be ahead of ours.
pub const AHEAD_MAX: Duration = Duration::from_secs(5 * 60);

/// Start and end of a span, nanoseconds since the epoch, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Start.
    pub start: u64,
    /// End, never before `start`.
    pub end: u64,
    /// The end was before the start.
    pub has_no_duration: bool,
    /// Both were moved back from the future.
    pub was_ahead: bool,
}

/// Makes the times of a span usable; `None` when it has none.
pub fn read(start: u64, end: u64, now: Timestamp) -> Option<Times> {
    let (start, end) = match (start, end) {
        (0, 0) => return None,
        (0, end) => (end, end),
        (start, 0) => (start, start),
        both => both,
    };
    let has_no_duration = end < start;
    let end = end.max(start);
    let now = u64::try_from(now.as_micros()).unwrap_or(0).saturating_mul(1_000);
    let limit = now.saturating_add(AHEAD_MAX.as_nanos() as u64);
    let was_ahead = end > limit;
    let back = if was_ahead { end - now } else { 0 };
    Some(Times {
        start: start.saturating_sub(back),
        end: end - back,
        has_no_duration,
        was_ahead,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_nanos(seconds * SECOND)
    }

    fn plain(start: u64, end: u64) -> Option<Times> {
        Some(Times {
            start,
            end,
            has_no_duration: false,
            was_ahead: false,
        })
    }

    /// Guarantees: ordinary times are taken as they are, however old.
    #[test]
    fn ordinary_and_old_times_stay() {
        assert_eq!(
            read(5 * SECOND, 9 * SECOND, at(10)),
            plain(5 * SECOND, 9 * SECOND)
        );
        assert_eq!(read(1, 2, at(2_000_000_000)), plain(1, 2));
        assert_eq!(
            read(5 * SECOND, 309 * SECOND, at(10)),
            plain(5 * SECOND, 309 * SECOND)
        );
    }

    /// Guarantees: one missing time is stood in for by the other, two are refused.
    #[test]
    fn missing_times() {
        assert_eq!(read(0, 7, at(10)), plain(7, 7));
        assert_eq!(read(7, 0, at(10)), plain(7, 7));
        assert_eq!(read(0, 0, at(10)), None);
    }

    /// Guarantees: an end before the start gives a moment that is marked, not a huge or negative duration.
    #[test]
    fn an_end_before_the_start() {
        let times = read(9 * SECOND, 5 * SECOND, at(10)).expect("has times");
        assert_eq!(
            (times.start, times.end, times.has_no_duration),
            (9 * SECOND, 9 * SECOND, true)
        );
    }

    /// Guarantees: what is over five minutes ahead is moved to now with its duration, the largest numbers included.
    #[test]
    fn far_future_times_are_moved_back() {
        let times = read(400 * SECOND, 402 * SECOND, at(10)).expect("has times");
        assert_eq!(
            (times.start, times.end, times.was_ahead),
            (8 * SECOND, 10 * SECOND, true)
        );
        let times = read(u64::MAX - SECOND, u64::MAX, at(10)).expect("has times");
        assert_eq!((times.start, times.end), (9 * SECOND, 10 * SECOND));
        let times = read(1, u64::MAX, at(10)).expect("has times");
        assert_eq!((times.start, times.end), (0, 10 * SECOND));
    }
}
