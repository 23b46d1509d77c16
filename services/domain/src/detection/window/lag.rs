//! How far an agent's records run behind our clock.

/// The smallest lag of the records of the last one to two window lengths, microseconds.
///
/// The smallest, because a record that waited for its export is older by its own clock, not on a slower clock. Of
/// the recent ones only, so that a clock that was set back, or drifts, is followed within two window lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lag {
    current: i64,
    previous: i64,
    since: i64,
}

/// What a look at our own clock showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Observed {
    /// It moves forward, or stands.
    Usual,
    /// It was set back by more than the window: what the window holds lies in the future now.
    OurClockWentBack,
}

impl Default for Lag {
    fn default() -> Self {
        Lag {
            current: i64::MAX,
            previous: i64::MAX,
            since: i64::MIN,
        }
    }
}

impl Lag {
    /// Notes a record that ended at `timestamp` and is looked at `now`.
    pub(super) fn observe(&mut self, now: i64, timestamp: i64, period: i64) -> Observed {
        let mut observed = Observed::Usual;
        if self.since != i64::MIN && now < self.since.saturating_sub(period) {
            *self = Lag::default();
            observed = Observed::OurClockWentBack;
        }
        let age = now.saturating_sub(self.since);
        if age >= period {
            self.previous = if age < period.saturating_mul(2) {
                self.current
            } else {
                i64::MAX
            };
            self.current = i64::MAX;
            self.since = now;
        }
        self.current = self.current.min(now.saturating_sub(timestamp));
        observed
    }

    /// The lag, 0 while nothing was seen.
    pub(super) fn micros(&self) -> i64 {
        match self.current.min(self.previous) {
            i64::MAX => 0,
            lag => lag,
        }
    }
}
