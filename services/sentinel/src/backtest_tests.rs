use super::*;
use immune_domain::case::{Context, open};
use immune_domain::detection::guarded::ALARM;
use immune_domain::vitals::{Completeness, Source};
use immune_domain::{CaseId, InfectionId};
use std::time::Duration;

const FAULT: usize = 40;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000).plus(Duration::from_secs(seconds))
}

/// Forty healthy executions with some spread, one every twenty seconds, then ten of eight times the tokens.
fn executions() -> Vec<Vitals> {
    let swing = |i: usize| [0.8, 1.1, 0.95, 1.3, 1.0, 0.85, 1.2][i % 7];
    let run = |i: usize| {
        let times = if i < FAULT { 1.0 } else { 8.0 };
        Vitals {
            key: AgentKey::new("r", "a"),
            execution: format!("{i}").into(),
            revision: 0,
            started_at: at(20 * i as u64),
            timestamp: at(20 * i as u64),
            received_at: at(20 * i as u64),
            latency_ms: 1_000.0 * swing(i),
            input_tokens: None,
            output_tokens: None,
            token_count: Some((1_000.0 * swing(i) * times) as u64),
            tool_calls: Some(3),
            retries: Some(0),
            success: true,
            completeness: Completeness::Complete,
            source: Source::Otlp,
            context: Box::default(),
        }
    };
    (0..FAULT + 10).map(run).collect()
}

fn recorded(cases: Vec<Case>) -> Recorded {
    let mut recorded = Recorded {
        key: AgentKey::new("r", "a"),
        executions: executions(),
        cases,
    };
    // However the store gives them.
    recorded.executions.reverse();
    recorded.order();
    recorded
}

const ALL: (u64, u64) = (0, 10_000);

fn outcome(recorded: &Recorded, (from, to): (u64, u64)) -> Outcome {
    let period = Period {
        from: at(from),
        to: at(to),
    };
    recorded.replay(Arc::new(Policy::default()), Settings::default(), period)
}

/// The case of the alarm that begins the replay, as the sentinel would have reported it.
fn case(tamper: impl Fn(&mut Infection)) -> Case {
    let alarm = outcome(&recorded(vec![]), ALL).alarms.remove(0);
    let mut replay = Replay::new(
        AgentKey::new("r", "a"),
        Arc::new(Policy::default()),
        Settings::default(),
    );
    let seen = executions()
        .into_iter()
        .filter(|vitals| vitals.received_at <= alarm.at);
    seen.for_each(|vitals| replay.take(&vitals, &mut Vec::new()));
    let mut infection = replay.reported(InfectionId::new("i"));
    tamper(&mut infection);
    let context = Context {
        agent_type: None,
        namespace: None,
        quarantined_now: 0,
        agents_seen_last_hour: 10,
    };
    open(CaseId::new("c"), infection, &Policy::default(), context, alarm.at).0
}

/// Scenario: an agent falls ill; the whole time is replayed, then a period that ends before, and one that begins after.
/// Guarantees: one alarm begins, soon after the onset; alarms outside the period are not told, but what is before it is
/// learned from.
#[test]
fn alarms_of_a_period() {
    let recorded = recorded(vec![]);
    let alarms = outcome(&recorded, ALL).alarms;
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    let onset = 20 * FAULT as u64;
    assert!(
        alarms[0].at >= at(onset) && alarms[0].at <= at(onset + 100),
        "{alarms:?}"
    );
    assert!(
        alarms[0].evidence.is_some_and(|score| score > f64::from(ALARM)) && !alarms[0].because.is_empty()
    );
    assert!(outcome(&recorded, (0, onset)).alarms.is_empty());
    assert_eq!(outcome(&recorded, (onset - 10, 10_000)).alarms, alarms);
}

/// Scenario: the infection as it was reported is on record; then with one bit of its severity, or one execution of its
/// window, otherwise.
/// Guarantees: the same decision is the same to the last bit; a difference is found, and named.
#[test]
fn a_decision_is_repeated_or_its_difference_named() {
    let difference = |tamper: &dyn Fn(&mut Infection)| {
        let decisions = outcome(&recorded(vec![case(tamper)]), ALL).decisions;
        assert_eq!(decisions.len(), 1);
        decisions[0].difference
    };
    assert_eq!(difference(&|_| {}), None);
    assert_eq!(
        difference(&|infection| infection.severity = f64::from_bits(infection.severity.to_bits() + 1)),
        Some("severity")
    );
    assert_eq!(
        difference(&|infection| infection.window.executions += 1),
        Some("window")
    );
    assert_eq!(
        difference(&|infection| infection.evidence_score = None),
        Some("evidence")
    );
}

/// Scenario: the agent was released while ill, and went on.
/// Guarantees: it is in alarm anew after the release, as it would have been.
#[test]
fn a_release_is_part_of_what_happened() {
    let mut case = case(|_| {});
    let released = at(20 * FAULT as u64 + 110);
    case.state = State::Released {
        at: released,
        by: immune_domain::case::Person {
            subject: "ada".to_owned(),
            via: "loopback".to_owned(),
        },
        reason: "it is fine".to_owned(),
    };
    let mut recorded = recorded(vec![case]);
    let sick = recorded.executions.last().expect("there are some").clone();
    for i in 0..12 {
        let mut again = sick.clone();
        again.execution = format!("again {i}").into();
        let time = released.plus(Duration::from_secs(20 * (i + 1)));
        (again.started_at, again.timestamp, again.received_at) =
            (time.minus(Duration::from_secs(1)), time, time);
        recorded.executions.push(again);
    }
    recorded.order();
    let alarms = outcome(&recorded, ALL).alarms;
    assert!(alarms.iter().any(|alarm| alarm.at > released), "{alarms:?}");
}
