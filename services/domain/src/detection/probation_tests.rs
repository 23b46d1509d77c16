use super::*;
use crate::baseline::{Moments, State};
use crate::policy::Policy;
use crate::{AgentKey, Timestamp};

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

fn ran(latency_ms: u64) -> Proof {
    let sample = Sample {
        execution: 0,
        revision: 0,
        timestamp: Timestamp::EPOCH,
        received_at: Timestamp::EPOCH,
        latency_nanos: Some(latency_ms * 1_000_000),
        tokens: Some(100),
        tools: None,
        retried: Some(false),
        failed: false,
    };
    Proof {
        sample,
        is_running: false,
        platform_infected: false,
    }
}

fn retried() -> Proof {
    let mut proof = ran(100);
    proof.sample.retried = Some(true);
    proof
}

fn failed() -> Proof {
    let mut proof = ran(100);
    proof.sample.failed = true;
    proof
}

fn verdict(proofs: &[Proof], wanted: u32) -> Verdict {
    verify(proofs, wanted, Some(&profile()), &Rule::of(&Policy::default())).verdict
}

/// Guarantees: as many well executions as wanted prove the healing, fewer prove nothing.
#[test]
fn enough_well_executions_prove_the_healing() {
    assert_eq!(verdict(&[], 5), Verdict::Pending);
    assert_eq!(verdict(&[ran(100); 4], 5), Verdict::Pending);
    assert_eq!(verdict(&[ran(110); 5], 5), Verdict::Within);
    assert_eq!(
        verdict(&[ran(100)], 0),
        Verdict::Within,
        "nothing wanted still needs one"
    );
}

/// Guarantees: two executions beyond the baseline fail at once; a single one does not, unless it is all we want.
#[test]
fn sick_executions_fail_at_once() {
    assert_eq!(verdict(&[ran(500)], 5), Verdict::Pending);
    assert_eq!(verdict(&[ran(500), ran(480)], 5), Verdict::Beyond);
    assert_eq!(verdict(&[ran(500)], 1), Verdict::Beyond);
    let finding = verify(&[ran(500); 2], 5, Some(&profile()), &Rule::of(&Policy::default()));
    assert!(
        finding.because.contains("40.0 standard deviations"),
        "{}",
        finding.because
    );
}

/// Scenario: the average of the first two executions is a little beyond the threshold, that of five is not, or is.
/// Guarantees: the probation waits for the rest instead of failing a well agent; in the end the threshold decides.
#[test]
fn a_little_beyond_waits_for_the_rest() {
    let (slow, usual) = (135, 100);
    assert_eq!(verdict(&[ran(slow), ran(slow)], 5), Verdict::Pending);
    let mut mended = vec![ran(slow), ran(slow)];
    mended.extend([ran(usual); 3]);
    assert_eq!(verdict(&mended, 5), Verdict::Within);
    assert_eq!(verdict(&[ran(slow); 5], 5), Verdict::Beyond);
}

/// Guarantees: a majority of failures or too many retries fail the probation, a lone one does not.
#[test]
fn failures_and_retries_count() {
    assert_eq!(verdict(&[failed(), failed(), ran(100)], 5), Verdict::Beyond);
    assert_eq!(
        verdict(&[failed(), ran(100), ran(100), ran(100), ran(100)], 5),
        Verdict::Within
    );
    assert_eq!(
        verdict(&[retried(), retried(), ran(100), ran(100), ran(100)], 5),
        Verdict::Beyond
    );
    assert_eq!(
        verdict(&[retried(), ran(100), ran(100), ran(100), ran(100)], 5),
        Verdict::Within
    );
    assert_eq!(verdict(&[retried()], 1), Verdict::Beyond);
}

/// Guarantees: the platform's word fails the probation whatever the vitals say.
#[test]
fn the_platforms_word_fails_the_probation() {
    let said = Proof {
        platform_infected: true,
        ..ran(100)
    };
    assert_eq!(
        verdict(&[ran(100), ran(100), said, ran(100), ran(100)], 5),
        Verdict::Beyond
    );
}

/// Guarantees: an execution that still runs is no proof of health.
#[test]
fn a_running_execution_proves_nothing_good() {
    let running = Proof {
        is_running: true,
        ..ran(100)
    };
    assert_eq!(verdict(&[running; 5], 5), Verdict::Pending);
    let stuck = Proof {
        is_running: true,
        ..ran(5_000)
    };
    assert_eq!(verdict(&[ran(100), stuck], 5), Verdict::Beyond);
    assert_eq!(verdict(&[stuck], 5), Verdict::Beyond);
}

/// Guarantees: without a baseline, failures still decide and vitals do not.
#[test]
fn without_a_baseline_only_outcomes_decide() {
    let rule = Rule::of(&Policy::default());
    assert_eq!(verify(&[ran(9_000); 5], 5, None, &rule).verdict, Verdict::Within);
    assert_eq!(verify(&[failed(); 2], 5, None, &rule).verdict, Verdict::Beyond);
}
