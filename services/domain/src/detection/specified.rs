//! The specified rule: the deviation of the recent average from the baseline, in standard deviations.

use super::{Anomaly, Deviations, WindowSummary};
use crate::baseline::{Moments, Profile};
use crate::policy::Policy;
use crate::vitals::Metric;

/// The largest deviation that is told. A spread next to nothing would make it infinite, which no wire format and no
/// person can read.
pub const DEVIATION_MAX: f64 = 1e9;

/// The narrowest spread by which a severity is measured, as a share of the mean.
const SPREAD_SHARE_MIN: f64 = 0.05;

/// The largest severity.
pub const SEVERITY_MAX: f64 = 10.0;

/// The settings of the rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Deviation above which a metric is an anomaly; equal is not.
    pub threshold_stddev: f64,
    /// Samples before a baseline judges, of the profile and of each metric in it.
    pub baseline_samples_min: u32,
    /// Whether a high retry rate is an anomaly of its own.
    pub high_retry_rate: bool,
    /// Share of recent executions with a retry above which the rate is high; equal is not.
    pub high_retry_share: f64,
}

impl Rule {
    /// The rule of a policy.
    pub fn of(policy: &Policy) -> Self {
        Rule {
            threshold_stddev: policy.threshold_stddev,
            baseline_samples_min: policy.baseline_samples_min,
            high_retry_rate: policy.high_retry_rate,
            high_retry_share: policy.high_retry_share,
        }
    }
}

/// The recent executions in numbers: what the rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Recent {
    /// Executions.
    pub executions: u32,
    /// Average per metric over those that have it, indexed by [`Metric::index`].
    pub averages: [Option<f64>; 3],
    /// Share of executions with a retry; `None` when none says anything about retries.
    pub retry_share: Option<f64>,
    /// Share of executions that failed.
    pub failure_share: f64,
}

/// What the rule says about the recent executions. Plain numbers: nothing is allocated until a report is made.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Judgement {
    /// How far.
    pub deviations: Deviations,
    /// Which metrics are anomalous, indexed by [`Metric::index`].
    pub anomalous: [bool; 3],
    /// Whether the retry rate is.
    pub high_retry_rate: bool,
    /// The largest deviation where the spread is never taken for narrower than it can be: see [`floored`].
    pub size: f64,
}

/// Judges the recent executions by a profile. Without a ready profile, or without executions, nothing is said:
/// the retry rate too waits for the baseline.
pub fn judge(recent: &Recent, profile: &Profile, rule: &Rule) -> Judgement {
    let mut judgement = Judgement::default();
    if recent.executions == 0 || !profile.is_ready(rule.baseline_samples_min) {
        return judgement;
    }
    let of = |metric: Metric| deviation(recent.averages[metric.index()]?, profile, metric, rule);
    judgement.deviations = Deviations {
        latency: of(Metric::Latency),
        tokens: of(Metric::Tokens),
        tools: of(Metric::Tools),
        retry_rate: None,
    };
    for metric in Metric::ALL {
        judgement.anomalous[metric.index()] = judgement
            .deviations
            .of(metric)
            .is_some_and(|deviation| deviation > rule.threshold_stddev);
    }
    let sizes = Metric::ALL.map(|metric| floored(recent.averages[metric.index()]?, profile, metric, rule));
    judgement.size = sizes.into_iter().flatten().fold(0.0, f64::max);
    let share = recent.retry_share.unwrap_or(0.0);
    if rule.high_retry_rate && share > rule.high_retry_share {
        judgement.high_retry_rate = true;
        judgement.deviations.retry_rate = Some(10.0 * share);
        judgement.size = judgement.size.max(10.0 * share);
    }
    judgement
}

/// The deviation by a spread of at least 5 % of the mean, and one call for tool calls. A metric that never varied would
/// otherwise be infinitely far off, or nothing could be said of it; and a jitter of a thousandth would make every change
/// severe.
fn floored(average: f64, profile: &Profile, metric: Metric, rule: &Rule) -> Option<f64> {
    let moments = judgeable(average, profile, metric, rule)?;
    let least = match metric {
        Metric::Tools => 1.0,
        Metric::Latency | Metric::Tokens => f64::MIN_POSITIVE,
    };
    let spread = moments.stddev.max(SPREAD_SHARE_MIN * moments.mean).max(least);
    Some(((average - moments.mean).abs() / spread).min(DEVIATION_MAX))
}

/// What a metric is compared with, if there is enough of it.
fn judgeable(average: f64, profile: &Profile, metric: Metric, rule: &Rule) -> Option<Moments> {
    let moments = profile.moments(metric);
    let is_judgeable = moments.count >= u64::from(rule.baseline_samples_min.max(2))
        && [average, moments.mean, moments.stddev]
            .iter()
            .all(|x| x.is_finite());
    is_judgeable.then_some(moments)
}

/// `|average - mean| / stddev`; `None` when the metric has too few samples, or no spread to measure with while
/// something did change.
fn deviation(average: f64, profile: &Profile, metric: Metric, rule: &Rule) -> Option<f64> {
    let moments = judgeable(average, profile, metric, rule)?;
    let distance = (average - moments.mean).abs();
    if moments.stddev <= 0.0 {
        return (distance == 0.0).then_some(0.0);
    }
    Some((distance / moments.stddev).min(DEVIATION_MAX))
}

/// `min(10, 2 + 0.45 x largest deviation)`. Decisions use it as it is; people see it [`rounded`].
pub fn severity(largest_deviation: f64) -> f64 {
    (2.0 + 0.45 * largest_deviation.max(0.0)).min(SEVERITY_MAX)
}

/// A severity as people see it: one decimal. Whether a person must approve is decided on the unrounded number, so
/// that 6.96 is shown as 7.0 and still heals by itself.
pub fn rounded(severity: f64) -> f64 {
    (severity * 10.0).round() / 10.0
}

impl Deviations {
    /// Of one metric.
    pub fn of(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Latency => self.latency,
            Metric::Tokens => self.tokens,
            Metric::Tools => self.tools,
        }
    }

    /// The largest of all, the retry rate included; `None` when nothing can be said.
    pub fn largest(&self) -> Option<f64> {
        [self.latency, self.tokens, self.tools, self.retry_rate]
            .into_iter()
            .flatten()
            .reduce(f64::max)
    }
}

impl Judgement {
    /// Whether anything is anomalous.
    pub fn is_anomalous(&self) -> bool {
        self.high_retry_rate || self.anomalous.contains(&true)
    }

    /// The severity, `None` without an anomaly: no anomaly, no report.
    pub fn severity(&self) -> Option<f64> {
        self.is_anomalous()
            .then(|| severity(self.deviations.largest().unwrap_or(0.0)))
    }

    /// The severity of a report that rests on evidence: the formula's over [`Judgement::size`], over the threshold or
    /// not; 2.0 where nothing can be said.
    pub fn severity_on_evidence(&self) -> f64 {
        severity(self.size)
    }

    /// The severity of a report that rests on the platform's word: the formula's where vitals show an anomaly. Where
    /// they show none they cannot size it, and a person should look: then it is the policy's approval threshold.
    pub fn severity_on_platform_report(&self, policy: &Policy) -> f64 {
        self.severity()
            .unwrap_or(policy.severity_requiring_approval.clamp(0.0, SEVERITY_MAX))
    }

    /// What is anomalous, by the names that clients know.
    pub fn anomalies(&self) -> Vec<Anomaly> {
        let metrics = Metric::ALL
            .into_iter()
            .filter(|metric| self.anomalous[metric.index()]);
        let retries = self.high_retry_rate.then_some(Anomaly::HighRetryRate);
        metrics.map(Anomaly::of).chain(retries).collect()
    }
}

impl Anomaly {
    /// The anomaly of a metric.
    pub const fn of(metric: Metric) -> Self {
        match metric {
            Metric::Latency => Anomaly::LatencySpike,
            Metric::Tokens => Anomaly::TokenSpike,
            Metric::Tools => Anomaly::ToolExplosion,
        }
    }

    /// Name on the wire, as existing clients know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Anomaly::LatencySpike => "latency_spike",
            Anomaly::TokenSpike => "token_spike",
            Anomaly::ToolExplosion => "tool_explosion",
            Anomaly::HighRetryRate => "high_retry_rate",
            Anomaly::PlatformReport => "platform_report",
        }
    }
}

impl Recent {
    /// The numbers of a report: the recent executions beside what is normal.
    pub fn summary(&self, profile: Option<&Profile>, window_seconds: f64) -> WindowSummary {
        let moments = |metric: Metric| profile.map(|p| p.moments(metric)).filter(|m| m.count > 0);
        WindowSummary {
            executions: self.executions,
            window_seconds,
            averages: self.averages,
            means: Metric::ALL.map(|metric| moments(metric).map(|m| m.mean)),
            stddevs: Metric::ALL.map(|metric| moments(metric).map(|m| m.stddev)),
            retry_share: self.retry_share.unwrap_or(0.0),
            failure_share: self.failure_share,
        }
    }
}

#[cfg(test)]
#[path = "specified_tests.rs"]
mod tests;
