//! Points in time, always passed in.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Microseconds since the Unix epoch, UTC. Wide enough for any telemetry that can be believed, exact in
/// SQLite's and PostgreSQL's integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch; also what "no time given" decodes to on the wire.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// From nanoseconds since the epoch, as OTLP writes it; rounds down to the microsecond.
    pub const fn from_unix_nanos(nanos: u64) -> Self {
        Timestamp((nanos / 1_000) as i64)
    }

    /// From seconds since the epoch, as the REST API writes it. `None` when not finite or beyond year 9999.
    pub fn from_epoch_seconds(seconds: f64) -> Option<Self> {
        const YEAR_10000: f64 = 253_402_300_800.0;
        (seconds.is_finite() && (0.0..YEAR_10000).contains(&seconds))
            .then(|| Timestamp((seconds * 1e6).round() as i64))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch.
    pub fn as_epoch_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The time since `earlier`, zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// This time moved into the future.
    pub fn plus(self, by: Duration) -> Self {
        Timestamp(
            self.0
                .saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// This time moved into the past.
    pub fn minus(self, by: Duration) -> Self {
        Timestamp(
            self.0
                .saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)),
        )
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.div_euclid(86_400_000_000);
        let micros = self.0.rem_euclid(86_400_000_000);
        // Civil date from days since the epoch: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        let (s, ms) = (micros / 1_000_000, micros / 1_000 % 1_000);
        let (h, m, s) = (s / 3_600, s / 60 % 60, s % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: dates print as RFC 3339, leap days and times before the epoch included.
    #[test]
    fn prints_rfc_3339() {
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            Timestamp::from_micros(951_782_400_500_000).to_string(),
            "2000-02-29T00:00:00.500Z"
        );
        assert_eq!(Timestamp::from_micros(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    /// Guarantees: what is not a time is refused rather than turned into one.
    #[test]
    fn refuses_what_is_not_a_time() {
        for bad in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert_eq!(Timestamp::from_epoch_seconds(bad), None, "{bad}");
        }
        assert_eq!(
            Timestamp::from_epoch_seconds(1.5),
            Some(Timestamp::from_micros(1_500_000))
        );
    }
}
