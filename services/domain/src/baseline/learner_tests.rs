use super::*;
use proptest::prelude::*;

fn learned(latencies: &[f64]) -> Learner {
    let mut learner = Learner::default();
    for &x in latencies {
        learner.learn(&[Some(x), None, None]);
    }
    learner
}

fn two_pass(xs: &[f64]) -> (f64, f64) {
    let mean = xs.iter().sum::<f64>() / xs.len() as f64;
    let squares = xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (mean, (squares / (xs.len() - 1) as f64).sqrt())
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0)
}

/// Guarantees: mean and sample standard deviation (n - 1) of the textbook example.
#[test]
fn learns_mean_and_sample_deviation() {
    let moments = learned(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).moments()[0];
    assert_eq!((moments.count, moments.mean), (8, 5.0));
    assert!(
        close(moments.stddev, (32.0f64 / 7.0).sqrt(), 1e-12),
        "{}",
        moments.stddev
    );
}

/// Scenario: NaN, infinities, negative and absurd numbers among good ones.
/// Guarantees: each is skipped on its own; an execution with nothing credible is no sample.
#[test]
fn what_cannot_be_believed_never_enters() {
    let mut learner = Learner::default();
    assert!(learner.learn(&[Some(10.0), Some(100.0), Some(1.0)]));
    let before = learner;
    for bad in [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -1.0,
        -0.001,
        1e300,
        f64::MAX,
    ] {
        assert!(!learner.learn(&[Some(bad), Some(bad), Some(bad)]), "{bad}");
        assert_eq!(learner, before, "{bad}");
    }
    assert!(learner.learn(&[Some(f64::NAN), Some(300.0), None]));
    let moments = learner.moments();
    assert_eq!((moments[0].count, moments[1].count, moments[2].count), (1, 2, 1));
    assert_eq!((learner.samples(), moments[1].mean), (2, 200.0));
}

/// Guarantees: one sample has a mean and no spread; a constant has spread exactly 0.
#[test]
fn one_sample_and_constants_have_no_spread() {
    assert_eq!(
        learned(&[7.3]).moments()[0],
        Moments {
            count: 1,
            mean: 7.3,
            stddev: 0.0
        }
    );
    assert_eq!(
        learned(&[0.1; 500]).moments()[0],
        Moments {
            count: 500,
            mean: 0.1,
            stddev: 0.0
        }
    );
}

/// Scenario: 20,000 samples, the last 15,000 from another level.
/// Guarantees: the past weighs at most `WEIGHT_MAX` samples, so the mean and the spread arrive at the new level.
#[test]
fn the_past_has_bounded_weight() {
    let noise = |i: u32| f64::from(i * 7_919 % 101) - 50.0;
    let mut learner = Learner::default();
    (0..5_000).for_each(|i| assert!(learner.learn(&[Some(1_000.0 + noise(i)), None, None])));
    let old = learner.moments()[0];
    (0..15_000).for_each(|i| assert!(learner.learn(&[Some(5_000.0 + noise(i)), None, None])));
    let new = learner.moments()[0];
    assert!(
        close(old.mean, 1_000.0, 0.01) && close(old.stddev, 29.0, 0.1),
        "{old:?}"
    );
    assert!(
        close(new.mean, 5_000.0, 0.01) && close(new.stddev, 29.0, 0.1),
        "{new:?}"
    );
    assert_eq!(new.count, 20_000);
}

/// Guarantees: a profile is learning below the minimum, active from it on, stale after the given silence.
#[test]
fn a_profile_becomes_active_with_its_fifteenth_sample_and_stale_with_silence() {
    let profile = |samples: usize, seconds: u64| {
        let now = Timestamp::EPOCH.plus(Duration::from_secs(seconds));
        let learner = learned(&vec![5.0; samples]);
        learner
            .profile(
                AgentKey::new("r", "a"),
                1,
                15,
                Timestamp::EPOCH,
                now,
                Duration::from_secs(60),
            )
            .state
    };
    assert_eq!(profile(14, 0), State::Learning);
    assert_eq!(profile(15, 0), State::Active);
    assert_eq!(profile(15, 60), State::Active);
    assert_eq!(profile(15, 61), State::Stale);
    assert_eq!(profile(14, 61), State::Learning);
}

proptest! {
    /// Guarantees: one-pass learning equals the two-pass formula while nothing is capped.
    #[test]
    fn equals_two_passes(xs in prop::collection::vec(0.0..1e7f64, 2..600)) {
        let moments = learned(&xs).moments()[0];
        let (mean, stddev) = two_pass(&xs);
        prop_assert!(close(moments.mean, mean, 1e-9) && close(moments.stddev, stddev, 1e-8), "{moments:?} {mean} {stddev}");
    }

    /// Guarantees: what is taken back leaves no trace, whichever sample it was.
    #[test]
    fn forgetting_undoes_learning(xs in prop::collection::vec(0.0..1e6f64, 3..200), pick in any::<prop::sample::Index>()) {
        let mut learner = learned(&xs);
        let gone = pick.index(xs.len());
        learner.forget(&[Some(xs[gone]), None, None]);
        let rest: Vec<f64> = xs.iter().enumerate().filter(|(i, _)| *i != gone).map(|(_, x)| *x).collect();
        let (got, want) = (learner.moments()[0], learned(&rest).moments()[0]);
        prop_assert_eq!(got.count, want.count);
        prop_assert!(close(got.mean, want.mean, 1e-9) && close(got.stddev, want.stddev, 1e-5), "{:?} {:?}", got, want);
    }

    /// Guarantees: state survives being written and read (to the last bit or so: JSON readers round), and any input
    /// leaves finite numbers.
    #[test]
    fn survives_serialisation_and_any_input(xs in prop::collection::vec(any::<f64>(), 0..50)) {
        let learner = learned(&xs);
        let text = serde_json::to_string(&learner).unwrap();
        let read = serde_json::from_str::<Learner>(&text).unwrap().moments()[0];
        let moments = learner.moments()[0];
        prop_assert!(read.count == moments.count && close(read.mean, moments.mean, 1e-14));
        prop_assert!(close(read.stddev, moments.stddev, 1e-14));
        prop_assert!(moments.mean.is_finite() && moments.stddev.is_finite());
    }

    /// Guarantees: a learner started from a profile's numbers shows the same numbers.
    #[test]
    fn continues_from_a_profile(xs in prop::collection::vec(0.0..1e6f64, 2..100)) {
        let learner = learned(&xs);
        let profile = learner.profile(
            AgentKey::new("r", "a"), 3, 15, Timestamp::EPOCH, Timestamp::EPOCH, Duration::from_secs(1));
        let (got, want) = (Learner::of(&profile).moments()[0], learner.moments()[0]);
        prop_assert!(got.count == want.count && close(got.stddev, want.stddev, 1e-9) && got.mean == want.mean);
    }
}
