use super::*;
use immune_domain::vitals::Source;
use immune_domain::{AgentKey, Timestamp};

fn ran(execution: &str, latency_ms: f64) -> Vitals {
    Vitals {
        key: AgentKey::new("default", "a"),
        execution: execution.into(),
        revision: 0,
        started_at: Timestamp::EPOCH,
        timestamp: Timestamp::EPOCH,
        received_at: Timestamp::EPOCH,
        latency_ms,
        input_tokens: None,
        output_tokens: None,
        token_count: None,
        tool_calls: None,
        retries: Some(0),
        success: true,
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::default(),
    }
}

fn healthy(executions: u32) -> Vec<Vitals> {
    let latency = |i: u32| 1_000.0 * [0.9, 1.05, 0.98, 1.15, 1.0, 0.93, 1.1][i as usize % 7];
    (0..executions)
        .map(|i| ran(&format!("h{i}"), latency(i)))
        .collect()
}

/// Guarantees: what an agent costs has a bound.
#[test]
fn state_is_small() {
    assert!(size_of::<Guarding>() <= 1_600, "{} bytes", size_of::<Guarding>());
}

/// Scenario: live executions come before, while and after the records are read; some are on record too.
/// Guarantees: nothing is observed while it waits; then each is observed once, and the detector can judge.
#[test]
fn live_executions_wait_for_those_on_record() {
    let mut guarding = Guarding::default();
    let history = healthy(40);
    guarding.observe(&history[38]);
    assert!(guarding.begin_history());
    for vitals in [&history[39], &ran("new", 1_000.0)] {
        guarding.observe(vitals);
    }
    assert_eq!(guarding.observations(), 1);
    guarding.end_history(&history);
    assert_eq!(guarding.observations(), 41);
    assert!(guarding.evidence().is_some() && !guarding.is_infected());
    assert!(!guarding.begin_history(), "nothing more is needed");
}

/// Guarantees: without records the detector goes on with what it has seen itself.
#[test]
fn without_records_nothing_is_lost() {
    let mut guarding = Guarding::default();
    guarding.observe(&ran("1", 1_000.0));
    assert!(guarding.begin_history());
    guarding.observe(&ran("2", 1_000.0));
    guarding.end_history(&[]);
    assert_eq!(guarding.observations(), 2);
}

/// Guarantees: an agent whose records never come waits for no more executions than they would have given.
#[test]
fn waiting_is_bounded() {
    let mut guarding = Guarding::default();
    guarding.begin_history();
    let live = healthy(HISTORY as u32);
    live.iter().for_each(|vitals| guarding.observe(vitals));
    assert_eq!(guarding.observations(), HISTORY);
    guarding.end_history(&healthy(20));
    assert_eq!(
        guarding.observations(),
        HISTORY,
        "its own word is newer than the record's"
    );
}

/// Scenario: the executions on record end in a fault.
/// Guarantees: they accuse nobody; when the fault goes on, live executions do, within five.
#[test]
fn records_do_not_accuse() {
    let mut guarding = Guarding::default();
    guarding.begin_history();
    let mut history = healthy(50);
    history.extend((0..8).map(|i| ran(&format!("s{i}"), 4_000.0)));
    guarding.end_history(&history);
    assert!(!guarding.is_infected());
    for i in 0..5 {
        guarding.observe(&ran(&format!("l{i}"), 4_000.0));
    }
    assert!(guarding.is_infected(), "{:?}", guarding.evidence());
}
