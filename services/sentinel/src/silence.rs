//! Whether telemetry of an agent still comes: how often it usually does, and from when on its silence means something.
//!
//! Silence is counted while others are heard: when nothing comes at all, no agent falls silent. Then the guard is
//! blind, which is one fact and not thousands, and the dashboard says so. Every agent begins anew when something is
//! heard again, and when a partition is gained. So a replica that hears none of its agents, and only of them, says
//! nothing of them: it cannot tell that from being cut off itself.
//!
//! An agent in containment says nothing because it was stopped. One without a baseline may never have been active.

use crate::agent::Agent;
use immune_domain::policy::Silence;
use immune_domain::{Timestamp, vitals::Vitals};
use std::time::Duration;

/// How much of the past says what is usual, seconds: an hour of a new rhythm counts twice as much as all before it.
const MEMORY_SECONDS: f32 = 3_600.0;

/// A pause of everybody that is shorter than this, and than the usual gap so many times, is none.
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_FACTOR: f64 = 10.0;
/// The longest gap of everybody that is learned.
const GAP_MAX: Duration = Duration::from_secs(60);

/// How an agent's telemetry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Telemetry {
    /// It comes, or nobody could tell yet that it does not.
    #[default]
    Live,
    /// An active agent is not heard any more.
    Silent,
    /// It has been silent for so long that it is expected no longer.
    Gone,
}

/// The usual gap between two records of one source: the mean gap at any moment, so that an agent that works in
/// bursts is known by its pauses, which the plain mean of its gaps would hide.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Rhythm {
    usual_seconds: f32,
    /// How much time has said so, at most [`MEMORY_SECONDS`].
    known_seconds: f32,
}

impl Rhythm {
    /// A record came after a gap. One that was too long to be believed counts as the longest that is.
    pub(crate) fn heard(&mut self, gap: Duration, longest: Duration) {
        let weight = gap.as_secs_f32();
        if weight <= 0.0 {
            return;
        }
        let known = self.known_seconds + weight;
        self.usual_seconds += (gap.min(longest).as_secs_f32() - self.usual_seconds) * weight / known;
        self.known_seconds = known.min(MEMORY_SECONDS);
    }

    /// The usual gap; zero before the second record.
    pub(crate) fn usual(&self) -> Duration {
        Duration::try_from_secs_f32(self.usual_seconds).unwrap_or_default()
    }
}

/// What a replica hears of all its agents.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Hearing {
    /// Since when there was no pause.
    since: Timestamp,
    /// When ingestion received what was heard last.
    until: Timestamp,
    rhythm: Rhythm,
}

impl Hearing {
    /// Begins to hear others than before: agents have come with a partition.
    pub(crate) fn begin(&mut self, now: Timestamp) {
        self.since = self.since.max(now);
    }

    /// Something was heard, which ingestion received at this time.
    pub(crate) fn heard(&mut self, received_at: Timestamp) {
        if self.until == Timestamp::EPOCH {
            (self.since, self.until) = (self.since.max(received_at), received_at);
        }
        let gap = received_at.since(self.until);
        if gap > PAUSE_MIN.max(self.rhythm.usual().mul_f64(PAUSE_FACTOR)) {
            self.since = self.since.max(received_at);
        }
        // A few long gaps of a fleet that is always slow make them usual; one night of a quick fleet does not.
        self.rhythm.heard(gap.min(GAP_MAX), GAP_MAX);
        self.until = self.until.max(received_at);
    }
}

/// What is kept of an agent: its rhythm, and how its telemetry was when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Presence {
    rhythm: Rhythm,
    telemetry: Telemetry,
}

impl Presence {
    /// What an agent begins with of which no more is known than how many records it had in which time.
    pub(crate) fn about(executions: u64, within: Duration) -> Self {
        let mut presence = Presence::default();
        let gap = within.div_f64(executions.saturating_sub(1).max(1) as f64);
        presence.rhythm.heard(gap, gap);
        presence
    }

    /// What an agent begins with of which these records are known, by when they were received, oldest first. A gap that
    /// policy would not have waited for is no habit here either.
    pub(crate) fn of(received: impl Iterator<Item = Timestamp>, policy: &Silence) -> Self {
        let mut presence = Presence::default();
        let mut last = None;
        for at in received {
            let gap = last.map_or(Duration::ZERO, |last| at.since(last));
            let longest = policy.patience(presence.rhythm.usual());
            presence.rhythm.heard(gap, longest);
            last = Some(at);
        }
        presence
    }
}

impl Agent {
    /// How its telemetry was when it was looked at.
    pub fn telemetry(&self) -> Telemetry {
        self.presence.telemetry
    }

    /// Telemetry came, before it is taken. The gap is learned if the agent was free to speak and we to hear it.
    pub(crate) fn hear_from(&mut self, vitals: &Vitals, hearing: &Hearing, now: Timestamp) {
        let at = vitals.received_at.min(now);
        let heard_before = self.last_seen.max(self.fresh_after);
        if self.last_seen != Timestamp::EPOCH && self.last_seen >= hearing.since && !self.is_contained() {
            let longest = self.policy.silence.patience(self.presence.rhythm.usual());
            self.presence.rhythm.heard(at.since(heard_before), longest);
        }
        self.presence.telemetry = Telemetry::Live;
    }

    /// Looks whether telemetry still comes. `true` when that has changed.
    pub(crate) fn listen(&mut self, hearing: &Hearing, is_ready: impl FnOnce(&Agent) -> bool) -> bool {
        let before = self.presence.telemetry;
        let is_expected = self.last_seen != Timestamp::EPOCH && !self.is_contained();
        let (silence, usual): (&Silence, _) = (&self.policy.silence, self.presence.rhythm.usual());
        let patience = silence.patience(usual);
        let silent_for = hearing.until.since(self.last_seen);
        // Whoever was healed, or came here, a moment ago is given time to speak.
        let waited = hearing
            .until
            .since(self.last_seen.max(self.fresh_after).max(hearing.since));
        self.presence.telemetry = if !is_expected || silent_for <= patience {
            Telemetry::Live
        } else if silent_for > silence.farewell(usual) {
            Telemetry::Gone
        } else if before == Telemetry::Silent || (waited > patience && is_ready(self)) {
            Telemetry::Silent
        } else {
            Telemetry::Live
        };
        before != self.presence.telemetry
    }

    fn is_contained(&self) -> bool {
        self.case.as_ref().is_some_and(|case| case.is_contained)
    }
}

#[cfg(test)]
#[path = "silence_tests.rs"]
mod tests;
