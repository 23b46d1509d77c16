use super::*;
use immune_domain::AgentKey;
use immune_domain::detection::guarded::Told;
use immune_domain::vitals::Source;

/// Everything that these tests have on record was received before.
const LIVE: Timestamp = Timestamp::from_micros(1_000);

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
    guarding.end_history(None, &history, LIVE);
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
    guarding.end_history(None, &[], LIVE);
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
    guarding.end_history(None, &healthy(20), LIVE);
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
    guarding.end_history(None, &history, LIVE);
    assert!(!guarding.is_infected());
    for i in 0..5 {
        guarding.observe(&ran(&format!("l{i}"), 4_000.0));
    }
    assert!(guarding.is_infected(), "{:?}", guarding.evidence());
}

/// Scenario: a mild illness has filled the record; the sentinel begins anew, once with what the baseline knew before it,
/// once without, and the illness goes on.
/// Guarantees: what the baseline knows finds it, however often the sentinel begins anew; the record alone takes it for
/// normal, which is why the baseline is asked.
#[test]
fn an_illness_on_record_is_not_learned() {
    let mut known = Known::default();
    for vitals in healthy(60) {
        known.learn(&Told::of(&vitals));
    }
    let profile = Profile {
        known: Some(Arc::new(known)),
        ..Profile::clone(&crate::agent::tests::profile())
    };
    let sick = |i: usize| ran(&format!("s{i}"), 1_600.0 * [0.9, 1.1, 1.0][i % 3]);
    let record: Vec<Vitals> = (0..HISTORY).map(sick).collect();
    for (profile, is_found) in [(Some(&profile), true), (None, false)] {
        let mut guarding = Guarding::default();
        for again in 1..4 {
            guarding = Guarding::default();
            guarding.begin_history();
            guarding.end_history(profile, &record, LIVE);
            (0..8).for_each(|i| guarding.observe(&sick(100 * again + i)));
        }
        assert_eq!(guarding.is_infected() || guarding.is_elsewhere(), is_found);
    }
}

fn received(mut vitals: Vitals, second: i64) -> Vitals {
    vitals.received_at = Timestamp::from_micros(second * 1_000_000);
    vitals
}

/// Scenario: a busy agent: two hundred executions in the half minute that the bus delivers again, of which the record
/// gives the last sixty; all come again, some before the record is read.
/// Guarantees: none is observed twice, and none that is older than the record: the evidence is the record's alone.
#[test]
fn on_record_and_delivered_again_counts_once() {
    let all: Vec<Vitals> = healthy(200)
        .into_iter()
        .zip(100..)
        .map(|(vitals, second)| received(vitals, second))
        .collect();
    let record = &all[140..];
    let live_from = Timestamp::from_micros(0);
    let mut alone = Guarding::default();
    alone.begin_history();
    alone.end_history(None, record, live_from);
    let mut guarding = Guarding::default();
    all[..10].iter().for_each(|vitals| guarding.observe(vitals));
    assert!(guarding.begin_history());
    all[10..50].iter().for_each(|vitals| guarding.observe(vitals));
    guarding.end_history(None, record, live_from);
    all.iter().for_each(|vitals| guarding.observe(vitals));
    assert_eq!(guarding.observations(), record.len());
    assert_eq!(guarding.evidence(), alone.evidence());
    guarding.observe(&received(ran("new", 1_000.0), 300));
    assert_eq!(guarding.observations(), record.len() + 1);
}

/// Scenario: the executions on record end in a fault that nobody judged, because the replica that had the agent was
/// gone.
/// Guarantees: those received since the bus delivers again accuse, and the same coming again changes nothing.
#[test]
fn records_that_nobody_judged_accuse() {
    let healthy = healthy(40).into_iter().zip(100..);
    let mut history: Vec<Vitals> = healthy.map(|(vitals, second)| received(vitals, second)).collect();
    history.extend((0..8).map(|i| received(ran(&format!("s{i}"), 4_000.0), 200 + i)));
    let mut guarding = Guarding::default();
    guarding.begin_history();
    guarding.end_history(None, &history, Timestamp::from_micros(200_000_000));
    assert!(guarding.is_infected(), "{:?}", guarding.evidence());
    let score = guarding.evidence();
    history.iter().for_each(|vitals| guarding.observe(vitals));
    assert_eq!(guarding.evidence(), score);
}
