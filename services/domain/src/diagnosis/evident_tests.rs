use super::*;

/// Evidence of metrics alone; z and size of latency, tokens, tool calls.
fn seen(peaks: [(f32, f32); 3]) -> Evidence {
    Evidence {
        score: 4.5,
        peaks: peaks.map(|(z, size)| Peak { z, size }),
        ..Evidence::default()
    }
}

fn name(evidence: &Evidence) -> Option<Diagnosis> {
    named(evidence).map(|found| found.diagnosis)
}

/// Scenario: what recorded and synthetic faults looked like when their alarm began.
/// Guarantees: each has its name; what lies between them has none.
#[test]
fn the_pattern_has_a_name() {
    let patterns = [
        // Everything rose, calls most.
        (
            [(3.4, 1.2), (3.4, 1.3), (3.3, 1.9)],
            Some(Diagnosis::InfiniteLoop),
        ),
        (
            [(0.4, 0.1), (0.3, 0.1), (4.1, 1.6)],
            Some(Diagnosis::InfiniteLoop),
        ),
        // Everything rose, tokens most.
        ([(4.0, 0.9), (4.2, 1.8), (4.0, 0.8)], Some(Diagnosis::PromptDrift)),
        (
            [(2.4, 0.6), (4.3, 1.4), (0.4, 0.3)],
            Some(Diagnosis::TokenExplosion),
        ),
        // Latency rose further, but tokens rose too.
        (
            [(3.2, 1.9), (4.1, 1.8), (-0.6, -0.2)],
            Some(Diagnosis::TokenExplosion),
        ),
        (
            [(3.9, 1.2), (-1.0, -0.2), (1.7, 0.6)],
            Some(Diagnosis::LatencyDegradation),
        ),
        (
            [(-1.9, -0.4), (-3.8, -0.6), (-2.5, -0.8)],
            Some(Diagnosis::SilentDegradation),
        ),
        // Faster and nothing else.
        ([(-3.9, -0.9), (1.4, 0.3), (1.2, 0.2)], None),
    ];
    for (peaks, expected) in patterns {
        assert_eq!(name(&seen(peaks)), expected, "{peaks:?}");
    }
}

/// Scenario: failures and retries, where they are unusual and where they are not.
/// Guarantees: unusual ones give the name, failures before retries; usual ones do not.
#[test]
fn failures_and_retries_count_where_they_are_unusual() {
    let with = |counted, shares| Evidence {
        counted,
        shares,
        ..seen([(3.9, 1.2), (0.0, 0.0), (0.0, 0.0)])
    };
    assert_eq!(name(&with(4.0, [0.4, 0.8])), Some(Diagnosis::ToolInstability));
    assert_eq!(name(&with(4.0, [0.2, 0.6])), Some(Diagnosis::RetryStorm));
    assert_eq!(name(&with(1.0, [0.4, 0.8])), Some(Diagnosis::LatencyDegradation));
}

/// Guarantees: the sentence has the numbers of what moved, and of nothing else.
#[test]
fn the_sentence_has_numbers() {
    let found = named(&seen([(0.4, 0.1), (0.3, 0.1), (4.1, 1.61)])).unwrap();
    assert_eq!(
        found.because,
        "tool calls are about 5.0 times the reference (4.1 standard deviations)"
    );
}
