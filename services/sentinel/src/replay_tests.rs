use super::*;
use immune_domain::vitals::{Completeness, Context, Source};

const SETTINGS: Settings = Settings {
    severity_growth_min: 0.5,
    learn_late: Duration::from_secs(10),
    stale_after: Duration::from_secs(7 * 24 * 3_600),
};

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + (seconds * 1e6) as i64)
}

fn ran(seconds: f64, latency_ms: f64) -> Vitals {
    Vitals {
        key: AgentKey::new("r", "a"),
        execution: format!("at {seconds}").into(),
        revision: 0,
        started_at: at(seconds),
        timestamp: at(seconds),
        received_at: at(seconds),
        latency_ms,
        input_tokens: None,
        output_tokens: None,
        token_count: None,
        tool_calls: None,
        retries: None,
        success: true,
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::new(Context::default()),
    }
}

fn replay(detector: Detector) -> Replay {
    let policy = Policy {
        detector,
        ..Policy::default()
    };
    Replay::new(AgentKey::new("r", "a"), Arc::new(policy), SETTINGS)
}

/// A zigzag around a second, one execution every twenty seconds.
fn healthy(replay: &mut Replay, executions: u32) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    for i in 0..executions {
        let latency = [900.0, 1_050.0, 980.0, 1_150.0, 1_000.0, 930.0, 1_100.0][i as usize % 7];
        replay.take(&ran(20.0 * f64::from(i), latency), &mut alarms);
    }
    alarms
}

/// Scenario: fourteen healthy executions, then a fifteenth, then one that is ten times as long.
/// Guarantees: the baseline judges after fifteen samples and not before; what is judged learns late, so that the
/// fifteenth teaches at once and a sixteenth only ten seconds after it; what is in alarm teaches nothing.
#[test]
fn learns_as_the_baseline_does() {
    let mut alarms = Vec::new();
    let mut early = replay(Detector::Specified);
    healthy(&mut early, 14);
    early.take(&ran(300.0, 10_000.0), &mut alarms);
    assert!(alarms.is_empty(), "{alarms:?}");

    let mut agent = replay(Detector::Specified);
    assert!(healthy(&mut agent, 16).is_empty());
    assert_eq!(agent.samples(), 15);
    agent.take(&ran(310.5, 1_000.0), &mut alarms);
    assert_eq!(agent.samples(), 16, "the sixteenth ended at 300 s");
    agent.take(&ran(311.0, 50_000.0), &mut alarms);
    assert_eq!(alarms.len(), 1);
    agent.end(&mut alarms);
    assert_eq!(
        agent.samples(),
        16,
        "the one before the alarm teaches nothing either"
    );
}

/// Scenario: a long execution and, eight seconds before it, a healthy one that leaves the window first.
/// Guarantees: the alarm of the record is told with the record; a whole second at which the window makes it worse is
/// told too, at that second, as a part of the same alarm; nothing else is.
#[test]
fn seconds_that_change_the_window_are_looked_at() {
    let mut agent = replay(Detector::Specified);
    healthy(&mut agent, 15);
    let mut alarms = Vec::new();
    agent.take(&ran(400.5, 1_000.0), &mut alarms);
    agent.take(&ran(408.5, 1_700.0), &mut alarms);
    agent.end(&mut alarms);
    let told: Vec<(Timestamp, bool)> = alarms.iter().map(|alarm| (alarm.at, alarm.begins)).collect();
    assert_eq!(told, [(at(408.5), true), (at(411.0), false)], "{alarms:?}");
    assert!(alarms[1].severity > alarms[0].severity + 0.5);
}

/// Scenario: executions of a year's distance.
/// Guarantees: the gap is stepped over: were it not, this test would look at 31 million seconds.
#[test]
fn a_gap_costs_nothing() {
    let mut agent = replay(Detector::Guarded);
    healthy(&mut agent, 40);
    let mut alarms = Vec::new();
    for year in 1..200 {
        agent.take(&ran(f64::from(year) * 31_536_000.0, 1_000.0), &mut alarms);
    }
    agent.end(&mut alarms);
    assert!(alarms.is_empty(), "{alarms:?}");
}

/// Scenario: a lasting fault of thirty executions, thirty well ones, and the fault again.
/// Guarantees: each execution in alarm is told once, the alarm begins once per fault, and the name is the pattern's.
#[test]
fn an_alarm_begins_once() {
    let mut agent = replay(Detector::Guarded);
    assert!(healthy(&mut agent, 60).is_empty());
    let mut alarms = Vec::new();
    for (i, latency) in [4_000.0, 1_000.0, 4_000.0].into_iter().enumerate() {
        for k in 0..30 {
            let swing = [0.9, 1.1, 1.0][k % 3];
            let seconds = 2_000.0 + 20.0 * (30 * i + k) as f64;
            agent.take(&ran(seconds, latency * swing), &mut alarms);
        }
    }
    let begun = alarms.iter().filter(|alarm| alarm.begins).count();
    assert_eq!(begun, 2, "{alarms:?}");
    assert!(alarms.is_sorted_by(|a, b| a.at < b.at));
    assert!(
        alarms
            .iter()
            .all(|alarm| alarm.diagnosis == Diagnosis::LatencyDegradation),
        "{alarms:?}"
    );
}
