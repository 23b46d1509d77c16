//! Baseline: what is normal for an agent.
//!
//! - [`Learner`] accumulates mean and spread of healthy executions, one at a time.
//! - [`Lineage`] tells when another version of the agent begins.
//! - [`Lasting`] tells when it has been at another level for long, so that its baseline is suspect.
//! - [`Learned`] is a baseline learned at once, from executions that a person names.
//! - [`Late`] says how long an execution waits before it teaches.
//! - [`Reason`] is the word on which an execution teaches or not.
//! - [`Profile`] is what others see of it: the numbers that judge.
//! - [`running_limits`] says from when on an execution that still runs is worth reporting.

mod lasting;
mod late;
mod learned;
mod learner;
mod limits;
mod lineage;
mod reason;

pub use lasting::Lasting;
pub use late::{Late, Ticket};
pub use learned::{Impossible, Learned, Origin};
pub use learner::{Learner, Sample, WEIGHT_MAX};
pub use limits::{Limits, running_limits};
pub use lineage::{Changed, Lineage, Make, Version};
pub use reason::Reason;

use crate::detection::guarded::Known;
use crate::vitals::Metric;
use crate::{AgentKey, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Mean and spread of one metric over the samples that taught it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Moments {
    /// Number of samples that had this metric.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (n - 1); 0 while there are fewer than two samples.
    pub stddev: f64,
}

/// What the sentinel compares with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Whose normal.
    pub key: AgentKey,
    /// Grows by one with every stored change.
    pub version: u64,
    /// Whether it may judge.
    pub state: State,
    /// Executions that taught it.
    pub sample_count: u64,
    /// Per metric, indexed by [`Metric::index`].
    pub moments: [Moments; 3],
    /// When it last learned or was set.
    pub updated_at: Timestamp,
    /// Of which version of the agent.
    #[serde(default)]
    pub of: Version,
    /// Whether a person has stopped it from learning.
    #[serde(default)]
    pub is_frozen: bool,
    /// What the guarded detector begins from when it meets the agent anew; `None` where nothing is known.
    #[serde(default)]
    pub known: Option<Arc<Known>>,
}

/// Whether a profile may judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Too few samples to judge.
    Learning,
    /// Judges.
    Active,
    /// Has not learned for longer than the setting; still judges, and says so.
    Stale,
    /// The agent has been at another level for long ([`Lasting`]). It still judges by what it knows, and learns nothing of
    /// that level; a person says which is right, the agent (accept) or the baseline (heal).
    Suspect,
}

impl State {
    /// The state of a profile with so many samples that last learned at `updated_at`.
    pub fn of(
        sample_count: u64,
        samples_min: u32,
        updated_at: Timestamp,
        now: Timestamp,
        stale_after: Duration,
    ) -> State {
        if sample_count < u64::from(samples_min) {
            State::Learning
        } else if now.since(updated_at) > stale_after {
            State::Stale
        } else {
            State::Active
        }
    }

    /// The state where the agent has been at another level for long, which is no question while nothing judges.
    #[must_use]
    pub const fn or_suspect(self, is_suspect: bool) -> State {
        match self {
            State::Active | State::Stale | State::Suspect if is_suspect => State::Suspect,
            State::Active | State::Stale | State::Suspect | State::Learning => self,
        }
    }

    /// Whether a profile in this state judges.
    pub const fn is_ready(self) -> bool {
        match self {
            State::Active | State::Stale | State::Suspect => true,
            State::Learning => false,
        }
    }

    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Learning => "learning",
            State::Active => "active",
            State::Stale => "stale",
            State::Suspect => "suspect",
        }
    }
}

impl Profile {
    /// The moments of one metric.
    pub fn moments(&self, metric: Metric) -> Moments {
        self.moments[metric.index()]
    }

    /// Whether it judges: it has the samples, and nobody has set it back to learning.
    pub fn is_ready(&self, samples_min: u32) -> bool {
        self.state.is_ready() && self.sample_count >= u64::from(samples_min)
    }
}
