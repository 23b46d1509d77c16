//! Learning: mean and spread, one execution at a time.

use super::{Moments, Profile, State, Version};
use crate::vitals::{Metric, Vitals};
use crate::{AgentKey, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most weight that the past has. The first `WEIGHT_MAX` samples count alike (exact mean and sample standard
/// deviation); from then on each new one counts 1/1,000, so that an agent that changes over months is followed and
/// the state never grows.
pub const WEIGHT_MAX: u64 = 1_000;

/// What one execution teaches, indexed by [`Metric::index`]; `None` where nothing credible was measured.
pub type Sample = [Option<f64>; 3];

/// The learner's state for one agent. Serialised with its profile, so that a restart goes on where it stopped.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Learner {
    samples: u64,
    metrics: [Accumulator; 3],
}

/// Welford's recurrence for one metric (Welford 1962, Technometrics 4:3), with the weight of the past capped.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Accumulator {
    count: u64,
    mean: f64,
    /// Sum of squared distances from the mean, over at most [`WEIGHT_MAX`] samples' worth of weight.
    squares: f64,
}

impl Accumulator {
    fn add(&mut self, x: f64) {
        self.count = self.count.saturating_add(1);
        let delta = x - self.mean;
        if self.count <= WEIGHT_MAX {
            self.mean += delta / self.count as f64;
            self.squares += delta * (x - self.mean);
        } else {
            let weight = WEIGHT_MAX as f64;
            self.mean += delta / weight;
            // One sample's worth of old spread leaves as the new one comes.
            self.squares = self.squares * (weight - 1.0) / weight + delta * (x - self.mean);
        }
    }

    /// Takes a sample back. Exact while the weight is not capped; beyond, it takes out what the sample has left.
    fn subtract(&mut self, x: f64) {
        if self.count <= 1 {
            *self = Accumulator::default();
            return;
        }
        let weight = self.count.min(WEIGHT_MAX) as f64;
        let mean = (weight * self.mean - x) / (weight - 1.0);
        self.squares = (self.squares - (x - self.mean) * (x - mean)).max(0.0);
        self.mean = mean.max(0.0);
        self.count -= 1;
    }

    fn moments(&self) -> Moments {
        let weight = self.count.min(WEIGHT_MAX);
        let stddev = if weight < 2 {
            0.0
        } else {
            (self.squares / (weight - 1) as f64).max(0.0).sqrt()
        };
        Moments {
            count: self.count,
            mean: self.mean,
            stddev,
        }
    }

    fn of(moments: Moments) -> Self {
        let weight = moments.count.min(WEIGHT_MAX).saturating_sub(1) as f64;
        Accumulator {
            count: moments.count,
            mean: moments.mean,
            squares: moments.stddev * moments.stddev * weight,
        }
    }
}

impl Learner {
    /// What an execution would teach: its credible metrics.
    pub fn sample(vitals: &Vitals) -> Sample {
        Metric::ALL.map(|metric| vitals.credible(metric))
    }

    /// Learns one execution; `false`, and nothing changed, when no metric of it is credible.
    pub fn learn(&mut self, sample: &Sample) -> bool {
        let mut learned = false;
        for metric in Metric::ALL {
            // Checked again here: this is the only way into the state that judges everything later.
            let credible = |x: &f64| (0.0..=metric.credible_max()).contains(x);
            if let Some(x) = sample[metric.index()].filter(credible) {
                self.metrics[metric.index()].add(x);
                learned = true;
            }
        }
        self.samples = self.samples.saturating_add(u64::from(learned));
        learned
    }

    /// Takes back an execution that was learned and has since been corrected or withdrawn.
    pub fn forget(&mut self, sample: &Sample) {
        let mut forgot = false;
        for metric in Metric::ALL {
            let credible = |x: &f64| (0.0..=metric.credible_max()).contains(x);
            if let Some(x) = sample[metric.index()].filter(credible) {
                self.metrics[metric.index()].subtract(x);
                forgot = true;
            }
        }
        self.samples = self.samples.saturating_sub(u64::from(forgot));
    }

    /// Executions learned.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Whether it has learned enough to judge by. `samples_min` of 0: nobody has said how much that is.
    pub fn is_judging(&self, samples_min: u32) -> bool {
        samples_min > 0 && self.samples >= u64::from(samples_min)
    }

    /// Starts from numbers that someone else measured.
    pub fn of(profile: &Profile) -> Self {
        Learner::of_numbers(profile.sample_count, profile.moments)
    }

    /// The same, from the numbers alone.
    pub(super) fn of_numbers(samples: u64, moments: [Moments; 3]) -> Self {
        Learner {
            samples,
            metrics: moments.map(Accumulator::of),
        }
    }

    /// What others see of it.
    pub fn profile(
        &self,
        key: AgentKey,
        version: u64,
        samples_min: u32,
        updated_at: Timestamp,
        now: Timestamp,
        stale_after: Duration,
    ) -> Profile {
        Profile {
            key,
            version,
            state: State::of(self.samples, samples_min, updated_at, now, stale_after),
            sample_count: self.samples,
            moments: self.metrics.map(|metric| metric.moments()),
            updated_at,
            of: Version::default(),
            is_frozen: false,
            known: None,
        }
    }

    /// What a new version of the agent begins with: the old one's mean and spread, with the weight of at most so many
    /// samples. It is judged from its first execution on, and followed as quickly as an agent that was just learned.
    pub fn borrowed(&self, samples_max: u32) -> Learner {
        let max = u64::from(samples_max);
        let lent = |metric: Accumulator| {
            let moments = metric.moments();
            Accumulator::of(Moments {
                count: moments.count.min(max),
                ..moments
            })
        };
        Learner {
            samples: self.samples.min(max),
            metrics: self.metrics.map(lent),
        }
    }

    /// The moments learned so far, indexed by [`Metric::index`].
    pub fn moments(&self) -> [Moments; 3] {
        self.metrics.map(|metric| metric.moments())
    }
}

#[cfg(test)]
#[path = "learner_tests.rs"]
mod tests;
