//! A baseline learned at once, from executions that a person names: a range of time that was good, or the level at which
//! the agent is now.

use super::{Learner, Moments};
use crate::detection::guarded::{Known, Told};
use crate::vitals::{Completeness, Metric, Vitals};
use serde::{Deserialize, Serialize};

/// What a baseline knows: the specified rule's numbers and the guarded detector's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Learned {
    /// Mean and spread.
    pub learner: Learner,
    /// What the guarded detector begins from.
    pub known: Known,
}

impl Learned {
    /// Learns executions in the order in which they ended. Only whole ones count; a failed one says how often the
    /// agent fails, and nothing of how much it takes.
    pub fn of<'a>(executions: impl IntoIterator<Item = &'a Vitals>) -> Self {
        let mut learned = Learned::default();
        for vitals in executions {
            match vitals.completeness {
                Completeness::Complete => learned.take(vitals),
                Completeness::Running | Completeness::Incomplete => {}
            }
        }
        learned
    }

    fn take(&mut self, vitals: &Vitals) {
        self.known.learn(&Told::of(vitals));
        if vitals.success {
            self.learner.learn(&Learner::sample(vitals));
        }
    }

    /// What a file or a message has of it. The reference may be missing: then the guarded detector learns anew, or has
    /// what is on record.
    ///
    /// # Errors
    /// Which number no baseline can have.
    pub fn from_numbers(
        sample_count: u64,
        moments: [Moments; 3],
        known: Option<Known>,
    ) -> Result<Self, Impossible> {
        for metric in Metric::ALL {
            let Moments { count, mean, stddev } = moments[metric.index()];
            let is_credible = (0.0..=metric.credible_max()).contains(&mean)
                && (0.0..=metric.credible_max()).contains(&stddev)
                && count <= sample_count;
            if !is_credible {
                return Err(Impossible {
                    metric,
                    count,
                    mean,
                    stddev,
                });
            }
        }
        Ok(Learned {
            learner: Learner::of_numbers(sample_count, moments),
            known: known.unwrap_or_default(),
        })
    }
}

/// Numbers that no baseline can have.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{}: count {count}, mean {mean}, stddev {stddev}: not what a baseline can have learned", .metric.as_str())]
pub struct Impossible {
    /// Of which metric.
    pub metric: Metric,
    /// Samples.
    pub count: u64,
    /// Mean, in the metric's unit.
    pub mean: f64,
    /// Standard deviation, in the metric's unit.
    pub stddev: f64,
}

/// Where a baseline of an agent comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The agent was seen: for the first time, or in another version.
    #[default]
    Seen,
    /// A person had it learned anew.
    Reset,
    /// A person named a range of time that was good.
    Pinned,
    /// A person gave the numbers.
    Imported,
    /// A person took the present level for normal.
    Accepted,
}

impl Origin {
    /// Every origin.
    pub const ALL: [Origin; 5] = [
        Origin::Seen,
        Origin::Reset,
        Origin::Pinned,
        Origin::Imported,
        Origin::Accepted,
    ];

    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Origin::Seen => "seen",
            Origin::Reset => "reset",
            Origin::Pinned => "pinned",
            Origin::Imported => "imported",
            Origin::Accepted => "accepted",
        }
    }

    /// Whether a person has set it: then what came in before says nothing about the agent.
    pub const fn is_set(self) -> bool {
        match self {
            Origin::Seen => false,
            Origin::Reset | Origin::Pinned | Origin::Imported | Origin::Accepted => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detection::guarded::execution;

    /// Scenario: thirty executions of which every third failed, one still runs, one lost its own span; the numbers leave as
    /// a file would have them and come back, then with a mean below nothing and with more of a metric than executions.
    /// Guarantees: whole and successful ones give mean and spread, failures the rate alone; numbers come back as they were,
    /// and impossible ones are refused with their metric.
    #[test]
    fn whole_executions_alone_teach() {
        let each = |i: u32| execution(100.0 + f64::from(i), Some(500), Some(3), !i.is_multiple_of(3));
        let mut executions: Vec<Vitals> = (0..30).map(each).collect();
        executions[1].completeness = Completeness::Running;
        executions[2].completeness = Completeness::Incomplete;
        let learned = Learned::of(&executions);
        assert_eq!((learned.learner.samples(), learned.known.weight()), (18, 28));
        let moments = learned.learner.moments();
        let again = Learned::from_numbers(18, moments, Some(learned.known.clone())).expect("our own numbers");
        assert_eq!((again.learner.samples(), &again.known), (18, &learned.known));
        for (one, other) in again.learner.moments().iter().zip(moments) {
            assert!((one.stddev - other.stddev).abs() < 1e-9, "{one:?} {other:?}");
        }
        let mut wrong = moments;
        wrong[Metric::Latency.index()].mean = -1.0;
        let refused = Learned::from_numbers(18, wrong, None).expect_err("below nothing");
        assert!(
            refused.to_string().starts_with("latency: count 18, mean -1"),
            "{refused}"
        );
        assert!(Learned::from_numbers(17, moments, None).is_err());
    }
}
