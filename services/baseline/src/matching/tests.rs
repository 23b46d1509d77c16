use super::*;
use immune_domain::vitals::{Completeness, Source};

fn vitals(execution: &str, revision: u32, latency_ms: f64) -> Vitals {
    Vitals {
        key: AgentKey::new("default", "a"),
        execution: execution.into(),
        revision,
        started_at: Timestamp::EPOCH,
        timestamp: Timestamp::EPOCH,
        received_at: Timestamp::EPOCH,
        latency_ms,
        input_tokens: None,
        output_tokens: None,
        token_count: None,
        tool_calls: None,
        retries: None,
        success: true,
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::default(),
    }
}

fn matching() -> Matching {
    Matching::new(1_000, Duration::from_secs(60))
}

fn comes(matching: &mut Matching, vitals: &Vitals) -> Option<Outcome> {
    matching.vitals(vitals, Timestamp::EPOCH)
}

fn judged(matching: &mut Matching, execution: &str, revision: u32, teaches: bool) -> Option<Outcome> {
    matching.verdict(
        &AgentKey::new("default", "a"),
        execution,
        revision,
        teaches,
        Timestamp::EPOCH,
    )
}

fn learned(outcome: &Option<Outcome>) -> Option<f64> {
    outcome.as_ref()?.learn.as_ref()?.sample[0]
}

fn forgot(outcome: &Option<Outcome>) -> Option<f64> {
    outcome.as_ref()?.forget?[0]
}

/// Guarantees: an execution is learned once when both are here, in either order; repeats change nothing.
#[test]
fn both_orders_match_once() {
    let mut matching = matching();
    assert_eq!(comes(&mut matching, &vitals("x", 0, 5.0)), None);
    assert_eq!(learned(&judged(&mut matching, "x", 0, true)), Some(5.0));
    assert_eq!(judged(&mut matching, "y", 0, true), None);
    assert_eq!(learned(&comes(&mut matching, &vitals("y", 0, 7.0))), Some(7.0));
    for execution in ["x", "y"] {
        assert_eq!(comes(&mut matching, &vitals(execution, 0, 9.0)), None);
        assert_eq!(judged(&mut matching, execution, 0, true), None);
    }
}

/// Guarantees: what must not teach is settled without a lesson.
#[test]
fn withheld_executions_teach_nothing() {
    let mut matching = matching();
    comes(&mut matching, &vitals("x", 0, 5.0));
    let outcome = judged(&mut matching, "x", 0, false);
    assert!(outcome.is_some() && learned(&outcome).is_none());
}

/// Scenario: late spans correct an execution that has taught.
/// Guarantees: the first lesson is taken back when the correction is judged, whatever its verdict.
#[test]
fn a_correction_replaces_the_lesson() {
    for teaches in [true, false] {
        let mut matching = matching();
        comes(&mut matching, &vitals("x", 0, 5.0));
        judged(&mut matching, "x", 0, true);
        assert_eq!(comes(&mut matching, &vitals("x", 1, 6.0)), None);
        let outcome = judged(&mut matching, "x", 1, teaches);
        assert_eq!(forgot(&outcome), Some(5.0));
        assert_eq!(learned(&outcome), teaches.then_some(6.0));
    }
}

/// Guarantees: a verdict counts for its own revision only.
#[test]
fn verdicts_count_for_their_revision() {
    let mut matching = matching();
    comes(&mut matching, &vitals("x", 1, 6.0));
    assert_eq!(
        judged(&mut matching, "x", 0, true),
        None,
        "of a record that was replaced"
    );
    assert_eq!(
        judged(&mut matching, "x", 2, true),
        None,
        "of a record that has not come"
    );
    assert_eq!(learned(&comes(&mut matching, &vitals("x", 2, 7.0))), Some(7.0));
}

/// Guarantees: a withdrawn execution unteaches, and never teaches again, also when the withdrawal comes first.
#[test]
fn withdrawn_executions_do_not_count() {
    let mut matching = matching();
    let key = AgentKey::new("default", "a");
    comes(&mut matching, &vitals("x", 0, 5.0));
    judged(&mut matching, "x", 0, true);
    let outcome = matching.withdraw(&key, &"x".into(), Timestamp::EPOCH);
    assert_eq!((forgot(&outcome), learned(&outcome)), (Some(5.0), None));
    matching.withdraw(&key, &"y".into(), Timestamp::EPOCH);
    for execution in ["x", "y"] {
        assert_eq!(comes(&mut matching, &vitals(execution, 1, 6.0)), None);
        assert_eq!(judged(&mut matching, execution, 1, true), None);
    }
}

/// Guarantees: bounded by count and by age; an execution without a verdict is counted when it is forgotten.
#[test]
fn memory_is_bounded() {
    let mut matching = Matching::new(10, Duration::from_secs(60));
    (0..100).for_each(|i| assert_eq!(comes(&mut matching, &vitals(&i.to_string(), 0, 1.0)), None));
    assert_eq!(matching.len(), 10);
    judged(&mut matching, "99", 0, true);
    assert_eq!(
        matching.expire(Timestamp::EPOCH.plus(Duration::from_secs(60))),
        90
    );
    assert_eq!(matching.expire(Timestamp::EPOCH.plus(Duration::from_secs(61))), 9);
    assert!(matching.is_empty());
}

/// Guarantees: the same execution id of another agent is another execution.
#[test]
fn agents_do_not_share_executions() {
    let mut matching = matching();
    comes(&mut matching, &vitals("x", 0, 5.0));
    let other = AgentKey::new("default", "b");
    assert_eq!(matching.verdict(&other, "x", 0, true, Timestamp::EPOCH), None);
}
