use super::*;
use crate::baseline::{Moments, State};
use crate::{AgentKey, Timestamp};
use proptest::prelude::*;

fn rule() -> Rule {
    Rule::of(&Policy::default())
}

/// Every metric: mean 100, standard deviation 10, fifteen samples.
fn profile() -> Profile {
    Profile {
        key: AgentKey::new("r", "a"),
        version: 1,
        state: State::Active,
        sample_count: 15,
        moments: [Moments {
            count: 15,
            mean: 100.0,
            stddev: 10.0,
        }; 3],
        updated_at: Timestamp::EPOCH,
        of: Default::default(),
        is_frozen: false,
        known: None,
    }
}

fn recent(latency: f64) -> Recent {
    Recent {
        executions: 4,
        averages: [Some(latency), Some(100.0), None],
        retry_share: Some(0.0),
        failure_share: 0.0,
    }
}

/// Guarantees: the worked examples. A deviation of 2.5 is no anomaly, 2.500001 is; below the mean counts alike.
#[test]
fn two_and_a_half_is_not_an_anomaly() {
    for (latency, deviation, is_anomaly) in [
        (125.0, 2.5, false),
        (125.00001, 2.500001, true),
        (75.0, 2.5, false),
        (74.0, 2.6, true),
        (100.0, 0.0, false),
    ] {
        let judgement = judge(&recent(latency), &profile(), &rule());
        assert!(
            (judgement.deviations.latency.unwrap() - deviation).abs() < 1e-12,
            "{latency}: {judgement:?}"
        );
        assert_eq!(judgement.is_anomalous(), is_anomaly, "{latency}");
        assert_eq!(
            judgement.severity().is_some(),
            is_anomaly,
            "no anomaly, no report: {latency}"
        );
        assert_eq!(
            judgement.deviations.tools, None,
            "what is not measured is not judged"
        );
    }
}

/// Guarantees: deviation 11.2 is severity 7.04, shown as 7.0; severity never exceeds 10.
#[test]
fn severity_follows_the_formula_up_to_ten() {
    let judgement = judge(&recent(212.0), &profile(), &rule());
    assert!((judgement.severity().unwrap() - 7.04).abs() < 1e-12);
    assert_eq!(rounded(7.04), 7.0);
    assert_eq!(severity(2.6), 2.0 + 0.45 * 2.6);
    for largest in [17.8, 1e9, f64::INFINITY] {
        assert_eq!(severity(largest), 10.0);
    }
    assert_eq!(judge(&recent(1e12), &profile(), &rule()).severity(), Some(10.0));
}

/// Guarantees: rounding is for the eye. 6.96 is shown as 7.0 and stays below the approval threshold.
#[test]
fn approval_is_decided_on_the_unrounded_severity() {
    let severity = severity((6.96 - 2.0) / 0.45);
    assert_eq!(rounded(severity), 7.0);
    assert!(severity < Policy::default().severity_requiring_approval);
}

/// Guarantees: more than 30 % of executions with a retry is an anomaly of its own, with ten times that share.
#[test]
fn a_high_retry_rate_is_an_anomaly_of_its_own() {
    let with = |share| Recent {
        retry_share: share,
        ..recent(100.0)
    };
    assert!(!judge(&with(Some(0.30)), &profile(), &rule()).is_anomalous());
    assert!(!judge(&with(None), &profile(), &rule()).is_anomalous());
    let judgement = judge(&with(Some(0.5)), &profile(), &rule());
    assert_eq!(judgement.anomalies(), [Anomaly::HighRetryRate]);
    assert_eq!(judgement.deviations.retry_rate, Some(5.0));
    assert_eq!(judgement.severity(), Some(2.0 + 0.45 * 5.0));
    let off = Rule {
        high_retry_rate: false,
        ..rule()
    };
    assert!(!judge(&with(Some(1.0)), &profile(), &off).is_anomalous());
}

/// Guarantees: zero spread skips the metric, unless nothing changed, which is a deviation of 0.
#[test]
fn zero_spread_skips_the_metric() {
    let mut constant = profile();
    constant.moments[0].stddev = 0.0;
    let judgement = judge(&recent(101.0), &constant, &rule());
    assert_eq!(
        (judgement.deviations.latency, judgement.is_anomalous()),
        (None, false)
    );
    assert_eq!(
        judge(&recent(100.0), &constant, &rule()).deviations.latency,
        Some(0.0)
    );
}

/// Guarantees: nothing is judged by a profile that learns, by a metric with one sample, or without executions.
#[test]
fn too_little_knowledge_judges_nothing() {
    let spike = Recent {
        retry_share: Some(1.0),
        ..recent(1e6)
    };
    for state_and_samples in [(State::Learning, 15), (State::Active, 14), (State::Learning, 0)] {
        let (state, sample_count) = state_and_samples;
        let young = Profile {
            state,
            sample_count,
            ..profile()
        };
        assert_eq!(
            judge(&spike, &young, &rule()),
            Judgement::default(),
            "{state_and_samples:?}"
        );
    }
    let mut once = profile();
    once.moments[0] = Moments {
        count: 1,
        mean: 100.0,
        stddev: 0.0,
    };
    assert_eq!(judge(&recent(1e6), &once, &rule()).deviations.latency, None);
    assert_eq!(
        judge(&Recent::default(), &profile(), &rule()),
        Judgement::default()
    );
    let stale = Profile {
        state: State::Stale,
        ..profile()
    };
    assert!(
        judge(&recent(1e6), &stale, &rule()).is_anomalous(),
        "a stale profile still judges"
    );
}

/// Guarantees: the platform's word yields a severity without an anomaly, and the formula's where there is one.
#[test]
fn the_platforms_word_always_has_a_severity() {
    let policy = Policy::default();
    assert_eq!(
        judge(&recent(100.0), &profile(), &rule()).severity_on_platform_report(&policy),
        7.0
    );
    assert_eq!(Judgement::default().severity_on_platform_report(&policy), 7.0);
    let spike = judge(&recent(140.0), &profile(), &rule()).severity_on_platform_report(&policy);
    assert!((spike - 3.8).abs() < 1e-12, "{spike}");
}

proptest! {
    /// Scenario: any averages and any profile, NaN, infinities and subnormal spreads included.
    /// Guarantees: deviations are absent or finite and not negative; severity is absent or within 2 to 10.
    #[test]
    fn any_input_yields_usable_numbers(
        averages in prop::array::uniform3(prop::option::of(any::<f64>())),
        mean in any::<f64>(), stddev in any::<f64>(), share in prop::option::of(any::<f64>()),
    ) {
        let mut profile = profile();
        profile.moments = [Moments { count: 15, mean, stddev }; 3];
        let recent = Recent { executions: 3, averages, retry_share: share.filter(|s| (0.0..=1.0).contains(s)), failure_share: 0.0 };
        let judgement = judge(&recent, &profile, &rule());
        for metric in Metric::ALL {
            prop_assert!(judgement.deviations.of(metric).is_none_or(|d| (0.0..=DEVIATION_MAX).contains(&d)));
        }
        prop_assert!(judgement.severity().is_none_or(|s| (2.0..=10.0).contains(&s)));
        prop_assert_eq!(judgement.severity().is_some(), !judgement.anomalies().is_empty());
    }

    /// Guarantees: moving further from the mean never lowers the severity.
    #[test]
    fn severity_grows_with_the_distance(near in 0.0..1e4f64, further in 0.0..1e4f64) {
        let at = |distance: f64| judge(&recent(100.0 + distance), &profile(), &rule()).severity().unwrap_or(0.0);
        prop_assert!(at(near + further) >= at(near));
    }
}

/// Scenario: a metric that never varied, one that varies by a thousandth, and one that varies by a tenth, each doubled;
/// two tool calls where it was always one.
/// Guarantees: a severity on evidence is finite and measured by a spread of at least 5 %, or one call; the deviation of the
/// rule is not touched.
#[test]
fn severity_on_evidence_is_measured_by_a_credible_spread() {
    let size = |stddev: f64, metric: Metric, mean: f64, average: f64| {
        let mut profile = profile();
        profile.moments[metric.index()] = Moments {
            count: 15,
            mean,
            stddev,
        };
        let mut recent = recent(100.0);
        recent.averages[metric.index()] = Some(average);
        judge(&recent, &profile, &rule())
    };
    for (stddev, expected) in [(0.0, 20.0), (0.1, 20.0), (10.0, 10.0)] {
        let judged = size(stddev, Metric::Latency, 100.0, 200.0);
        assert!((judged.size - expected).abs() < 1e-9, "{judged:?}");
        assert_eq!(judged.deviations.latency, (stddev > 0.0).then(|| 100.0 / stddev));
    }
    let calls = size(0.0, Metric::Tools, 1.0, 2.0);
    assert!((calls.size - 1.0).abs() < 1e-9, "{calls:?}");
    assert!((calls.severity_on_evidence() - 2.45).abs() < 1e-9);
}
