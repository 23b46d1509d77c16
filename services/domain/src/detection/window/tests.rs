use super::*;
use proptest::prelude::*;

const LENGTH: Duration = Duration::from_secs(10);

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_micros((seconds * 1e6) as i64 + 1_700_000_000_000_000)
}

/// An execution that ended, and was received, at the given second.
fn sample(execution: u64, seconds: f64, latency_ms: u64) -> Sample {
    Sample {
        execution,
        revision: 0,
        timestamp: at(seconds),
        received_at: at(seconds),
        latency_nanos: Some(latency_ms * 1_000_000),
        tokens: Some(10),
        tools: None,
        retried: Some(false),
        failed: false,
    }
}

fn insert(window: &mut Window, sample: Sample) -> Entered {
    window.insert(&sample, sample.received_at, LENGTH)
}

fn latency(window: &Window) -> Option<f64> {
    window.recent().averages[0]
}

/// Guarantees: the window is (now - 10 s, now]: an execution leaves exactly 10 s after its end, not before.
#[test]
fn executions_leave_after_ten_seconds() {
    let mut window = Window::default();
    insert(&mut window, sample(1, 0.0, 100));
    insert(&mut window, sample(2, 4.0, 300));
    assert_eq!(latency(&window), Some(200.0));
    assert!(!window.evict(at(9.999_999), LENGTH));
    assert!(window.evict(at(10.0), LENGTH));
    assert_eq!((window.len(), latency(&window)), (1, Some(300.0)));
    assert!(window.evict(at(14.0), LENGTH));
    assert_eq!(window.recent(), Recent::default());
}

/// Scenario: one visible retry among ten executions, the others of which say nothing about retries.
/// Guarantees: the share is one in ten, not all of those that say; with nobody saying anything there is none.
#[test]
fn silence_about_retries_is_not_a_retry() {
    let mut window = Window::default();
    for i in 0..10 {
        insert(
            &mut window,
            Sample {
                retried: None,
                ..sample(i, i as f64 / 10.0, 100)
            },
        );
    }
    assert_eq!(window.recent().retry_share, None);
    insert(
        &mut window,
        Sample {
            retried: Some(true),
            revision: 1,
            ..sample(0, 0.0, 100)
        },
    );
    assert_eq!(window.recent().retry_share, Some(0.1));
}

/// Guarantees: a later revision replaces, the same or an earlier one changes nothing: redelivery counts once.
#[test]
fn one_execution_counts_once() {
    let mut window = Window::default();
    insert(&mut window, sample(1, 0.0, 100));
    assert_eq!(insert(&mut window, sample(1, 0.0, 100)), Entered::Repeated);
    let corrected = Sample {
        revision: 2,
        ..sample(1, 1.0, 700)
    };
    assert_eq!(insert(&mut window, corrected), Entered::Replaced);
    assert_eq!(
        insert(
            &mut window,
            Sample {
                revision: 1,
                ..sample(1, 1.5, 9)
            }
        ),
        Entered::Repeated
    );
    assert_eq!((window.len(), latency(&window)), (1, Some(700.0)));
    assert!(window.retract(1) && !window.retract(1));
    assert!(window.is_empty());
}

/// Guarantees: telemetry more than 5 minutes old is history, exactly 5 minutes is not yet.
#[test]
fn late_telemetry_never_enters() {
    let mut window = Window::default();
    let late = Sample {
        received_at: at(300.000_001),
        ..sample(1, 0.0, 100)
    };
    assert_eq!(window.insert(&late, late.received_at, LENGTH), Entered::Late);
    let just = Sample {
        received_at: at(300.0),
        ..sample(1, 0.0, 100)
    };
    assert_eq!(window.insert(&just, just.received_at, LENGTH), Entered::Added);
}

/// Scenario: an agent's clock is an hour, or a thousand years, ahead.
/// Guarantees: its executions count from their receipt and leave 10 s later; the next normal one is not shut out.
#[test]
fn a_clock_ahead_does_not_hold_the_window() {
    for ahead in [3_600.0, 3.15e10] {
        let mut window = Window::default();
        let wrong = Sample {
            timestamp: at(ahead),
            ..sample(1, 0.0, 900)
        };
        assert_eq!(insert(&mut window, wrong), Entered::Added);
        assert_eq!(insert(&mut window, sample(2, 5.0, 100)), Entered::Added);
        assert_eq!(window.len(), 2);
        window.evict(at(10.0), LENGTH);
        assert_eq!((window.len(), latency(&window)), (1, Some(100.0)));
    }
}

/// Scenario: an agent's clock is two minutes behind, or its records wait that long for their export.
/// Guarantees: the window holds its executions for 10 s all the same.
#[test]
fn a_clock_behind_does_not_empty_the_window() {
    let mut window = Window::default();
    for i in 0..20 {
        let seconds = f64::from(i);
        let slow = Sample {
            received_at: at(seconds + 120.0),
            ..sample(i as u64, seconds, 100)
        };
        assert_eq!(insert(&mut window, slow), Entered::Added);
    }
    assert_eq!(window.len(), 10);
    window.evict(at(120.0 + 25.0), LENGTH);
    assert_eq!(window.len(), 4);
    window.evict(at(120.0 + 29.0), LENGTH);
    assert!(window.is_empty());
}

/// Scenario: an agent's clock is set back by a minute while it works.
/// Guarantees: after at most two window lengths its executions enter again.
#[test]
fn a_clock_set_back_is_followed() {
    let mut window = Window::default();
    (0..30).for_each(|i| assert_eq!(insert(&mut window, sample(i, i as f64, 100)), Entered::Added));
    let first_entered = (30..90u64).find(|&i| {
        let back = Sample {
            received_at: at(i as f64),
            ..sample(i, i as f64 - 60.0, 100)
        };
        insert(&mut window, back) == Entered::Added
    });
    assert!(first_entered.is_some_and(|i| i <= 50), "{first_entered:?}");
}

/// Scenario: our own clock is set back by an hour.
/// Guarantees: the window starts anew instead of holding what it had for an hour.
#[test]
fn our_clock_set_back_restarts_the_window() {
    let mut window = Window::default();
    insert(&mut window, sample(1, 7_200.0, 900));
    assert_eq!(insert(&mut window, sample(2, 3_600.0, 100)), Entered::Added);
    assert_eq!((window.len(), latency(&window)), (1, Some(100.0)));
}

/// Guarantees: records out of order end where they belong, and what has passed does not come back.
#[test]
fn order_of_arrival_does_not_matter() {
    let mut window = Window::default();
    for (execution, ended) in [(1, 5.0), (2, 3.0), (3, 9.0), (4, 1.0), (5, 9.0)] {
        let record = Sample {
            received_at: at(9.0),
            ..sample(execution, ended, 100)
        };
        assert_eq!(insert(&mut window, record), Entered::Added);
    }
    window.evict(at(13.0), LENGTH);
    assert_eq!(window.len(), 3, "those that ended at 5, 9 and 9");
    let passed = Sample {
        received_at: at(13.0),
        ..sample(6, 2.0, 100)
    };
    assert_eq!(insert(&mut window, passed), Entered::Passed);
}

/// Guarantees: at most `EXECUTIONS_MAX` executions; the oldest leave, their memory is returned when all have left.
#[test]
fn a_flood_is_bounded() {
    let mut window = Window::default();
    let flood = EXECUTIONS_MAX as u64 + 500;
    for i in 0..flood {
        insert(&mut window, sample(i, i as f64 * 1e-3, i));
    }
    assert_eq!(window.len(), EXECUTIONS_MAX);
    assert!(!window.contains(499) && window.contains(500) && window.contains(flood - 1));
    assert_eq!(latency(&window), Some((500 + flood - 1) as f64 / 2.0));
    window.evict(at(60.0), LENGTH);
    assert_eq!((window.len(), window.heap_bytes()), (0, 0));
}

/// Guarantees: an enormous execution that leaves takes all of itself along: no drift.
#[test]
fn sums_do_not_drift() {
    let mut window = Window::default();
    for i in 0..10_000u64 {
        let latency = if i % 7 == 0 { 2_592_000_000 } else { 1 };
        insert(&mut window, sample(i, i as f64 * 0.5, latency));
    }
    window.evict(at(5_009.0), LENGTH);
    insert(&mut window, sample(10_001, 5_009.0, 1));
    assert_eq!(latency(&window), Some(1.0));
}

#[derive(Debug, Clone)]
struct Step {
    execution: u64,
    revision: u32,
    wait_ms: u32,
    lag_ms: u32,
    latency_ms: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        0..80u64,
        0..3u32,
        0..900u32,
        prop_oneof![Just(0u32), 0..4_000u32],
        0..100_000u64,
    );
    let step = step.prop_map(|(execution, revision, wait_ms, lag_ms, latency_ms)| Step {
        execution,
        revision,
        wait_ms,
        lag_ms,
        latency_ms,
    });
    prop::collection::vec(step, 0..400)
}

proptest! {
    /// Scenario: any order, lag, repetition and revision.
    /// Guarantees: the sums are those of the entries, each execution is there once, entries are in order and within
    /// the window; the index agrees with a scan.
    #[test]
    fn sums_equal_the_entries(steps in steps()) {
        let mut window = Window::default();
        let mut now = 0.0;
        for step in steps {
            now += f64::from(step.wait_ms) / 1e3 / 8.0;
            let record = Sample {
                revision: step.revision,
                received_at: at(now),
                ..sample(step.execution, now - f64::from(step.lag_ms) / 1e3, step.latency_ms)
            };
            window.insert(&record, at(now), LENGTH);
            let mut sums = Sums::default();
            window.entries.iter().for_each(|entry| sums.add(entry));
            prop_assert_eq!(sums, window.sums);
            prop_assert!(window.entries.iter().is_sorted_by_key(|entry| entry.timestamp));
            let horizon = window.horizon(at(now), LENGTH);
            prop_assert!(window.entries.iter().all(|entry| entry.timestamp > horizon));
            let mut executions: Vec<u64> = window.entries.iter().map(|entry| entry.execution).collect();
            executions.sort_unstable();
            prop_assert!(executions.is_sorted_by(|a, b| a < b));
            if let Some(index) = &window.index {
                prop_assert_eq!(index.len(), window.len());
            }
            prop_assert!(window.entries.iter().all(|entry| window.contains(entry.execution)));
        }
    }

    /// Guarantees: no timestamps, however absurd, panic or overfill the window, and 21 s of silence empty it.
    #[test]
    fn no_clock_holds_the_window(
        times in prop::collection::vec((any::<i64>(), 0..1_000_000_000_000i64), 1..100),
    ) {
        let mut window = Window::default();
        let mut last = 0;
        for (i, (timestamp, received)) in times.into_iter().enumerate() {
            let record = Sample {
                timestamp: Timestamp::from_micros(timestamp),
                received_at: Timestamp::from_micros(received),
                ..sample(i as u64, 0.0, 1)
            };
            window.insert(&record, record.received_at, LENGTH);
            last = received;
        }
        let silence = Timestamp::from_micros(last).plus(Duration::from_secs(21));
        window.insert(&Sample { received_at: silence, timestamp: silence, ..sample(1_000, 0.0, 1) }, silence, LENGTH);
        prop_assert_eq!(window.len(), 1);
    }
}
