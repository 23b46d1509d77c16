//! The fleet check: when many agents depart at once in the same way, the cause is what they share (a provider, a model,
//! a tool), and quarantining them one by one would only add to the outage.
//!
//! Pure: each look counts the active agents ([`Look`]), and [`Incidents`] opens and closes incidents by the counts.
//! Replicas of the sentinel look at their own agents only. Partitions are a hash of the agent's name, so what a replica
//! sees is a random sample of the run: the same share shows in each, as soon as it holds enough agents.
//!
//! - [`look`]: who departs, of how many, by run, model and tool. [`incident`]: what follows.

pub mod incident;
pub mod look;
#[cfg(test)]
mod tests;

pub use incident::{Change, Incident, Incidents, Settings, Shared};
pub use look::{Look, Member};

use crate::baseline::Profile;
use crate::detection::guarded::{ALARM, Evidence};
use crate::detection::{Judgement, Recent};
use crate::vitals::Metric;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Certainty from which on a metric departs. Below [`ALARM`], so that a departure shows in many agents before each of
/// them is sure to be sick; and every agent in alarm by its metrics has one: two metrics alarm together from 2.91 on.
pub const DEPARTS_FROM: f32 = 2.9;
/// Share of the last five executions that failed, or had a retry, from which on that is what departs.
const COUNTED_SHARE_MIN: f32 = 0.4;

/// A way to depart: a metric and its direction, or failures, or retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// Executions take longer.
    LatencyUp,
    /// Executions take less time.
    LatencyDown,
    /// More tokens.
    TokensUp,
    /// Fewer tokens.
    TokensDown,
    /// More tool calls.
    ToolsUp,
    /// Fewer tool calls.
    ToolsDown,
    /// Executions fail.
    Failures,
    /// Executions try again.
    Retries,
}

impl Sign {
    /// All, in the order in which arrays of them are kept.
    pub const ALL: [Sign; 8] = [
        Sign::LatencyUp,
        Sign::LatencyDown,
        Sign::TokensUp,
        Sign::TokensDown,
        Sign::ToolsUp,
        Sign::ToolsDown,
        Sign::Failures,
        Sign::Retries,
    ];

    /// Position in arrays kept per sign.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// A metric that departs upwards or downwards.
    pub const fn of(metric: Metric, is_up: bool) -> Self {
        match (metric, is_up) {
            (Metric::Latency, true) => Sign::LatencyUp,
            (Metric::Latency, false) => Sign::LatencyDown,
            (Metric::Tokens, true) => Sign::TokensUp,
            (Metric::Tokens, false) => Sign::TokensDown,
            (Metric::Tools, true) => Sign::ToolsUp,
            (Metric::Tools, false) => Sign::ToolsDown,
        }
    }

    /// Words for people.
    pub const fn told(self) -> &'static str {
        match self {
            Sign::LatencyUp => "latency (up)",
            Sign::LatencyDown => "latency (down)",
            Sign::TokensUp => "tokens (up)",
            Sign::TokensDown => "tokens (down)",
            Sign::ToolsUp => "tool calls (up)",
            Sign::ToolsDown => "tool calls (down)",
            Sign::Failures => "failures",
            Sign::Retries => "retries",
        }
    }
}

/// A set of signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Signs(u8);

impl Signs {
    /// Nothing departs.
    pub const NONE: Signs = Signs(0);

    /// Whether none is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a sign is in it.
    pub const fn has(self, sign: Sign) -> bool {
        self.0 & (1 << sign.index()) != 0
    }

    /// Adds a sign.
    pub const fn add(&mut self, sign: Sign) {
        self.0 |= 1 << sign.index();
    }

    /// Takes a sign out.
    pub const fn remove(&mut self, sign: Sign) {
        self.0 &= !(1 << sign.index());
    }

    /// The same metrics in either direction.
    #[must_use]
    pub fn both_ways(self) -> Signs {
        const PAIRS: [(Sign, Sign); 3] = [
            (Sign::LatencyUp, Sign::LatencyDown),
            (Sign::TokensUp, Sign::TokensDown),
            (Sign::ToolsUp, Sign::ToolsDown),
        ];
        PAIRS.into_iter().fold(self, |mut signs, (up, down)| {
            if self.has(up) || self.has(down) {
                signs.add(up);
                signs.add(down);
            }
            signs
        })
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Signs) -> Signs {
        Signs(self.0 & other.0)
    }

    /// What is in either.
    #[must_use]
    pub const fn or(self, other: Signs) -> Signs {
        Signs(self.0 | other.0)
    }

    /// What is in this and not in the other.
    #[must_use]
    pub const fn without(self, other: Signs) -> Signs {
        Signs(self.0 & !other.0)
    }

    /// Those in it, in the order of [`Sign::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Sign> {
        Sign::ALL.into_iter().filter(move |sign| self.has(*sign))
    }
}

impl FromIterator<Sign> for Signs {
    fn from_iter<T: IntoIterator<Item = Sign>>(signs: T) -> Self {
        signs.into_iter().fold(Signs::NONE, |mut all, sign| {
            all.add(sign);
            all
        })
    }
}

impl fmt::Display for Signs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, sign) in self.iter().enumerate() {
            let between = if i == 0 { "" } else { ", " };
            write!(f, "{between}{}", sign.told())?;
        }
        Ok(())
    }
}

/// How an agent departs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Departures {
    /// In which ways.
    pub signs: Signs,
    /// Which of them would call the agent infected by themselves: an incident about others does not explain them.
    pub alone: Signs,
}

impl Departures {
    /// By the guarded detector's evidence.
    pub fn of_evidence(evidence: &Evidence) -> Self {
        let mut departures = Departures::default();
        for metric in Metric::ALL {
            let z = evidence.peaks[metric.index()].z;
            departures.note(Sign::of(metric, z > 0.0), z.abs());
        }
        // The score counts both together; their shares say which it was.
        for (sign, share) in [Sign::Failures, Sign::Retries].into_iter().zip(evidence.shares) {
            if share >= COUNTED_SHARE_MIN {
                departures.note(sign, evidence.counted);
            }
        }
        departures
    }

    /// By the specified rule, which has no degrees: what is an anomaly departs, and would be reported alone.
    pub fn of_judgement(judgement: &Judgement, recent: &Recent, profile: &Profile) -> Self {
        let departs = |metric: &Metric| judgement.anomalous[metric.index()];
        let mut signs: Signs = Metric::ALL
            .into_iter()
            .filter(departs)
            .map(|metric| {
                let average = recent.averages[metric.index()];
                Sign::of(
                    metric,
                    average.is_some_and(|average| average > profile.moments(metric).mean),
                )
            })
            .collect();
        if judgement.high_retry_rate {
            signs.add(Sign::Retries);
        }
        Departures { signs, alone: signs }
    }

    /// Whether incidents about these signs explain the agent's state.
    pub fn is_explained_by(self, covered: Signs) -> bool {
        !self.signs.and(covered).is_empty() && self.alone.without(covered).is_empty()
    }

    fn note(&mut self, sign: Sign, certainty: f32) {
        if certainty >= DEPARTS_FROM {
            self.signs.add(sign);
        }
        if certainty > ALARM {
            self.alone.add(sign);
        }
    }
}
