//! `tests/tests/replay.rs` holds the detector against recorded agents.

use super::*;
use crate::vitals::{Completeness, Context, Source};
use crate::{AgentKey, ExecutionId, Timestamp};

pub(crate) fn execution(latency_ms: f64, tokens: Option<u64>, tools: Option<u32>, success: bool) -> Vitals {
    Vitals {
        key: AgentKey::new("default", "a"),
        execution: ExecutionId::new("e"),
        revision: 0,
        started_at: Timestamp::EPOCH,
        timestamp: Timestamp::EPOCH,
        received_at: Timestamp::EPOCH,
        latency_ms,
        input_tokens: None,
        output_tokens: None,
        token_count: tokens,
        tool_calls: tools,
        retries: Some(0),
        success,
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::new(Context::default()),
    }
}

/// A healthy agent with some spread: a fixed zigzag, since chance is none of this test's business.
pub(super) fn healthy(i: u32) -> Vitals {
    let swing = [0.8, 1.1, 0.95, 1.3, 1.0, 0.85, 1.2][i as usize % 7];
    execution(1_000.0 * swing, Some((500.0 * swing) as u64), Some(3), true)
}

pub(super) fn learned() -> Guard {
    let mut guard = Guard::default();
    for i in 0..60 {
        guard.observe(&healthy(i));
        assert!(
            !guard.is_infected(),
            "healthy execution {i}: {:?}",
            guard.evidence()
        );
    }
    guard
}

/// Guarantees: the state of an agent fits in the stated bound.
#[test]
fn state_is_small() {
    assert!(size_of::<Guard>() <= 1024, "{} bytes", size_of::<Guard>());
}

/// Scenario: tokens of a learned agent rise sixfold and stay there.
/// Guarantees: infected within five executions, with the tokens as the strongest metric.
#[test]
fn a_lasting_rise_is_found() {
    let mut guard = learned();
    for _ in 0..5 {
        guard.observe(&execution(1_000.0, Some(3_000), Some(3), true));
    }
    assert!(guard.is_infected());
    let [latency, tokens, tools] = guard.evidence().metrics;
    assert!(
        tokens > latency.abs() && tokens > tools.abs(),
        "{:?}",
        guard.evidence()
    );
}

/// Scenario: one execution of a learned agent takes five times as long.
/// Guarantees: a lone outlier accuses nobody.
#[test]
fn a_lone_outlier_is_not_an_infection() {
    let mut guard = learned();
    guard.observe(&execution(5_000.0, Some(500), Some(3), true));
    assert!(!guard.is_infected(), "{:?}", guard.evidence());
}

/// Scenario: an agent that never failed fails every time, its vitals as always.
/// Guarantees: infected within five executions, on the failures alone.
#[test]
fn failures_alone_are_found() {
    let mut guard = learned();
    for i in 0..5 {
        guard.observe(&Vitals {
            success: false,
            ..healthy(i)
        });
    }
    assert!(guard.is_infected());
    assert_eq!(guard.evidence().shares[0], 1.0);
}

/// Scenario: an agent fails four times, then an execution is well.
/// Guarantees: the failures are evidence as they come; the well execution is not accused of them.
#[test]
fn old_failures_do_not_accuse_a_well_execution() {
    let mut guard = learned();
    for i in 0..4 {
        guard.observe(&Vitals {
            success: false,
            ..healthy(i)
        });
    }
    assert!(guard.evidence().counted > ALARM, "{:?}", guard.evidence());
    let after = guard.observe(&healthy(4));
    assert!(after.counted == 0.0 && after.score < ALARM, "{after:?}");
}

/// Scenario: tokens rise at once, latency little by little.
/// Guarantees: each metric's peak is told by itself, with its size: tokens six times the reference.
#[test]
fn each_metric_has_its_peak() {
    let mut guard = learned();
    for i in 0..6 {
        let latency = 1_300.0 + 100.0 * f64::from(i);
        guard.observe(&execution(latency, Some(3_000), Some(3), true));
    }
    let [latency, tokens, tools] = guard.evidence().peaks;
    assert!(
        tokens.z > latency.z && latency.z > tools.z.abs(),
        "{:?}",
        guard.evidence()
    );
    assert!((tokens.size.exp() - 6.0).abs() < 0.5, "{tokens:?}");
}

/// Scenario: a fault of thirty executions ends.
/// Guarantees: the sick executions taught nothing, and the agent is out of alarm within twenty executions.
#[test]
fn finds_back_after_a_fault() {
    let mut guard = learned();
    for _ in 0..15 {
        guard.observe(&execution(9_000.0, Some(500), Some(3), true));
    }
    for i in 0..20 {
        guard.observe(&healthy(i));
    }
    assert!(!guard.is_infected(), "{:?}", guard.evidence());
}

/// Scenario: vitals without tokens and tool calls, then values that are no measurements.
/// Guarantees: what is not measured is skipped, never taken for zero, and never makes the score NaN.
#[test]
fn what_is_not_measured_is_skipped() {
    let mut guard = Guard::default();
    for i in 0..40 {
        guard.observe(&execution(healthy(i).latency_ms, None, None, true));
    }
    for latency in [f64::NAN, f64::INFINITY, -1.0] {
        guard.observe(&execution(latency, None, None, true));
    }
    assert!(!guard.is_infected());
    assert!(guard.evidence().score.is_finite());
}

/// Scenario: a healed agent goes on as before its illness.
/// Guarantees: after `restart` it is judged against what was known to be good and is not accused.
#[test]
fn restart_returns_to_the_known_good() {
    let mut guard = learned();
    for _ in 0..30 {
        guard.observe(&execution(9_000.0, Some(500), Some(3), true));
    }
    guard.restart();
    assert!(!guard.is_infected());
    for i in 0..30 {
        guard.observe(&healthy(i));
        assert!(!guard.is_infected(), "execution {i}: {:?}", guard.evidence());
    }
}

/// Scenario: an agent does two kinds of work, one of a tenth of the other's tokens, in turn; then the small kind suddenly
/// takes what the large one takes. Beside it the same agent whose telemetry names no kinds.
/// Guarantees: by kinds it is found, without them nothing is unusual; neither accuses the healthy time.
#[test]
fn kinds_of_work_have_a_normal_of_their_own() {
    let of = |i: u32, kind: &str, tokens: u64, is_told: bool| {
        let swing = [0.8, 1.1, 0.95, 1.3, 1.0, 0.85, 1.2][i as usize % 7];
        let mut vitals = execution(
            1_000.0 * swing,
            Some((tokens as f64 * swing) as u64),
            Some(3),
            true,
        );
        vitals.context.task_type = is_told.then(|| kind.to_owned());
        vitals
    };
    let mut found = [true, false].map(|is_told| {
        let mut guard = Guard::default();
        for i in 0..80 {
            let (kind, tokens) = if i % 2 == 0 {
                ("large", 5_000)
            } else {
                ("small", 500)
            };
            guard.observe(&of(i, kind, tokens, is_told));
            assert!(
                !guard.is_infected(),
                "execution {i}, told: {is_told}: {:?}",
                guard.evidence()
            );
        }
        (80..100).any(|i| {
            guard.observe(&of(i, if i % 2 == 0 { "large" } else { "small" }, 5_000, is_told));
            guard.is_infected()
        })
    });
    found.sort_unstable();
    assert_eq!(found, [false, true]);
}

/// Scenario: an agent whose every execution has a kind of its own.
/// Guarantees: what is kept of kinds is bounded.
#[test]
fn kinds_are_bounded() {
    let mut guard = Guard::default();
    for i in 0..2_000 {
        let mut vitals = healthy(i);
        vitals.context.task_type = Some(format!("task-{i}"));
        guard.observe(&vitals);
    }
    assert!(guard.heap_bytes() <= 4 * 1024, "{} bytes", guard.heap_bytes());
}

/// Scenario: a learned agent goes on with a tenth more tokens; beside it one that is told that another version has
/// begun.
/// Guarantees: neither is accused, and the version's own normal is followed several times as quickly; a fault is found all
/// the same.
#[test]
fn a_new_version_is_followed_quickly() {
    let executed = |begins: bool| {
        let mut guard = learned();
        for i in 60..140 {
            guard.observe(&healthy(i));
        }
        if begins {
            guard.begin_version();
        }
        for i in 0..30 {
            let mut vitals = healthy(i);
            vitals.token_count = vitals.token_count.map(|tokens| tokens * 11 / 10);
            guard.observe(&vitals);
            assert!(!guard.is_infected(), "execution {i}: {:?}", guard.evidence());
        }
        let mean = guard.known.scale(Metric::Tokens).map(|scale| scale.mean);
        for _ in 0..8 {
            guard.observe(&execution(1_000.0, Some(6_000), Some(3), true));
        }
        assert!(guard.is_infected());
        mean.expect("tokens were seen")
    };
    let before = learned()
        .known
        .scale(Metric::Tokens)
        .map(|scale| scale.mean)
        .expect("tokens were seen");
    let (slow, quick) = (executed(false) - before, executed(true) - before);
    assert!(quick > 2.0 * slow && quick > 0.4 * 1.1_f32.ln(), "{slow} {quick}");
}

/// Scenario: an agent that has only just been learned calls a hundred times as many tools as usual, once, and then twice in
/// a row.
/// Guarantees: once is an outlier, twice an infection, however few executions are known.
#[test]
fn twice_in_a_row_is_no_outlier() {
    let mut guard = Guard::default();
    for i in 0..=SEED {
        guard.observe(&healthy(i));
    }
    let looping = execution(1_000.0, Some(500), Some(300), true);
    guard.observe(&looping);
    assert!(!guard.is_infected(), "{:?}", guard.evidence());
    guard.observe(&healthy(3));
    guard.observe(&looping);
    assert!(!guard.is_infected(), "{:?}", guard.evidence());
    guard.observe(&looping);
    assert!(guard.is_infected(), "{:?}", guard.evidence());
}

/// Scenario: an agent takes twice its usual latency, which it never did, for three executions; beside it one that does
/// so for three executions with a usual one in between.
/// Guarantees: three in a row are an infection at once; those with a usual one among them are not.
#[test]
fn three_in_a_row_are_found_at_once() {
    let is_found = |slow: [bool; 4]| {
        let mut guard = learned();
        slow.map(|is_slow| {
            let usual = healthy(4);
            guard.observe(&Vitals {
                latency_ms: if is_slow { 2_200.0 } else { usual.latency_ms },
                ..usual
            });
            guard.is_infected()
        })
    };
    assert!(is_found([false, true, true, true])[3]);
    assert_eq!(is_found([true, true, false, true]), [false; 4]);
}
