//! Wrong keys from one address, and how long it is shut out for them.

use super::config::Config;
use immune_domain::Timestamp;
use std::time::Duration;

/// Within what time guesses add up.
const WINDOW: Duration = Duration::from_secs(60);
/// After what time without a lock-out the next one is a first one.
const FORGIVEN: Duration = Duration::from_secs(3_600);
/// The most guesses that are kept of an address, and so the most that a setting can allow.
pub(super) const GUESSES_KEPT: usize = 100;

/// What one address has tried.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    /// Different wrong keys, hashed, and when each was tried last.
    tried: Vec<(u64, Timestamp)>,
    /// Lock-outs in a row.
    lockouts: u32,
    locked: Option<(Timestamp, Duration)>,
}

impl Guesses {
    /// How long it is still locked out. A clock that is set back ends a lock-out, rather than making it longer.
    pub fn locked(&self, now: Timestamp) -> Option<Duration> {
        let (until, length) = self.locked?;
        let left = until.since(now);
        (!left.is_zero() && left <= length).then_some(left)
    }

    /// One more wrong key; says for how long the address is locked out, if it is. A lock-out is not made longer by
    /// what is tried during it.
    pub fn add(&mut self, guess: u64, config: &Config, now: Timestamp) -> Option<Duration> {
        if let Some(left) = self.locked(now) {
            return Some(left);
        }
        self.tried
            .retain(|(known, at)| *known != guess && now.since(*at) < WINDOW);
        self.tried.push((guess, now));
        if self.tried.len() < config.guesses_max as usize {
            return None;
        }
        self.tried.clear();
        if self.locked.is_some_and(|(until, _)| now.since(until) >= FORGIVEN) {
            self.lockouts = 0;
        }
        let factor = 1_u64 << self.lockouts.min(20);
        let seconds = config
            .lockout_seconds
            .saturating_mul(factor)
            .min(config.lockout_seconds_max);
        self.lockouts = self.lockouts.saturating_add(1);
        let length = Duration::from_secs(seconds);
        self.locked = Some((now.plus(length), length));
        Some(length)
    }
}
