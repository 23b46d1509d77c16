use super::*;
use crate::baseline::{Moments, Profile, State};
use crate::detection::guarded::Evidence;
use crate::detection::{Recent, judge};
use crate::diagnosis::{Clues, RuledOut, ruled_out};
use crate::policy::Policy;
use crate::{AgentKey, Timestamp};

/// Averages of a window; normal is 1,000 ms, 1,000 tokens, 10 tool calls, with deviations of 100, 100 and 1.
struct Seen {
    latency: f64,
    tokens: f64,
    tools: f64,
    retries: f64,
    failures: f64,
    clues: Clues,
}

impl Default for Seen {
    fn default() -> Self {
        Seen {
            latency: 1_000.0,
            tokens: 1_000.0,
            tools: 10.0,
            retries: 0.0,
            failures: 0.0,
            clues: Clues::default(),
        }
    }
}

fn names(seen: Seen) -> Vec<Diagnosis> {
    hypotheses(seen)
        .into_iter()
        .map(|hypothesis| hypothesis.diagnosis)
        .collect()
}

fn hypotheses(seen: Seen) -> Vec<Hypothesis> {
    judged(seen).0
}

fn judged(seen: Seen) -> (Vec<Hypothesis>, Vec<RuledOut>) {
    let moments = |mean, stddev| Moments {
        count: 15,
        mean,
        stddev,
    };
    let profile = Profile {
        key: AgentKey::new("r", "a"),
        version: 1,
        state: State::Active,
        sample_count: 15,
        moments: [
            moments(1_000.0, 100.0),
            moments(1_000.0, 100.0),
            moments(10.0, 1.0),
        ],
        updated_at: Timestamp::EPOCH,
        of: Default::default(),
        is_frozen: false,
        known: None,
    };
    let recent = Recent {
        executions: 5,
        averages: [Some(seen.latency), Some(seen.tokens), Some(seen.tools)],
        retry_share: Some(seen.retries),
        failure_share: seen.failures,
    };
    let judgement = judge(&recent, &profile, &crate::detection::Rule::of(&Policy::default()));
    let window = recent.summary(Some(&profile), 10.0);
    let pattern = Pattern {
        judgement: &judgement,
        window: &window,
        clues: &seen.clues,
    };
    let hypotheses = diagnose(&pattern);
    assert!(
        hypotheses
            .iter()
            .all(|h| (0.0..=1.0).contains(&h.confidence) && !h.because.is_empty())
    );
    assert!(hypotheses.is_sorted_by(|a, b| a.confidence >= b.confidence));
    let not = ruled_out(&pattern, &hypotheses);
    (hypotheses, not)
}

/// Guarantees: the classic five keep their meaning, each the first hypothesis of its pattern.
#[test]
fn the_classic_five() {
    use Diagnosis::{InfiniteLoop, MemoryCorruption, PromptDrift, ToolInstability, Unknown};
    for (seen, want) in [
        (
            Seen {
                tokens: 1_310.0,
                ..Seen::default()
            },
            PromptDrift,
        ),
        (
            Seen {
                tools: 13.1,
                ..Seen::default()
            },
            InfiniteLoop,
        ),
        (
            Seen {
                latency: 1_260.0,
                ..Seen::default()
            },
            ToolInstability,
        ),
        (
            Seen {
                latency: 1_260.0,
                retries: 0.5,
                ..Seen::default()
            },
            ToolInstability,
        ),
        (
            Seen {
                retries: 0.4,
                ..Seen::default()
            },
            MemoryCorruption,
        ),
        (
            Seen {
                tokens: 1_270.0,
                ..Seen::default()
            },
            Unknown,
        ),
    ] {
        assert_eq!(names(seen)[0], want);
    }
}

/// Guarantees: tool calls up most are a loop even when tokens rose too; otherwise both up are a drift.
#[test]
fn what_rose_most_tells_a_loop_from_a_drift() {
    let looping = names(Seen {
        tokens: 1_500.0,
        tools: 30.0,
        ..Seen::default()
    });
    assert_eq!(looping[..2], [Diagnosis::InfiniteLoop, Diagnosis::PromptDrift]);
    let drifting = names(Seen {
        tokens: 3_000.0,
        tools: 15.0,
        ..Seen::default()
    });
    assert_eq!(drifting[..2], [Diagnosis::PromptDrift, Diagnosis::InfiniteLoop]);
    let clues = Clues {
        only_tool: Some("search".to_owned()),
        ..Clues::default()
    };
    let repeating = hypotheses(Seen {
        tokens: 3_000.0,
        tools: 15.0,
        clues,
        ..Seen::default()
    });
    assert_eq!(repeating[0].diagnosis, Diagnosis::InfiniteLoop);
    assert!(
        repeating[0].because.ends_with("all of them search"),
        "{}",
        repeating[0].because
    );
}

/// Guarantees: tokens alone beyond 10 standard deviations are an explosion, with drift as the second guess.
#[test]
fn token_explosion_is_tokens_alone_and_enormous() {
    let names = |tokens, latency| {
        names(Seen {
            tokens,
            latency,
            ..Seen::default()
        })
    };
    assert_eq!(
        names(2_001.0, 1_000.0),
        [Diagnosis::TokenExplosion, Diagnosis::PromptDrift]
    );
    assert_eq!(names(2_000.0, 1_000.0), [Diagnosis::PromptDrift]);
    assert_eq!(names(9_000.0, 1_500.0)[0], Diagnosis::PromptDrift);
}

/// Guarantees: latency alone is named a degradation too, after the classic name.
#[test]
fn latency_degradation_is_latency_alone() {
    let alone = names(Seen {
        latency: 2_000.0,
        ..Seen::default()
    });
    assert_eq!(alone, [Diagnosis::ToolInstability, Diagnosis::LatencyDegradation]);
    let retrying = names(Seen {
        latency: 2_000.0,
        retries: 0.5,
        ..Seen::default()
    });
    assert_eq!(retrying, [Diagnosis::ToolInstability]);
}

/// Guarantees: retries in 60 % of the executions are a storm, after the classic name.
#[test]
fn a_retry_storm_is_most_executions() {
    let storm = names(Seen {
        retries: 0.6,
        ..Seen::default()
    });
    assert_eq!(storm, [Diagnosis::MemoryCorruption, Diagnosis::RetryStorm]);
    assert_eq!(
        names(Seen {
            retries: 0.5,
            ..Seen::default()
        }),
        [Diagnosis::MemoryCorruption]
    );
}

/// Guarantees: tokens and tool calls down together are a silent degradation.
#[test]
fn silent_degradation_is_doing_less() {
    let less = names(Seen {
        tokens: 600.0,
        tools: 8.0,
        ..Seen::default()
    });
    assert_eq!(less, [Diagnosis::SilentDegradation, Diagnosis::PromptDrift]);
    assert_eq!(
        names(Seen {
            tokens: 600.0,
            tools: 10.5,
            ..Seen::default()
        }),
        [Diagnosis::PromptDrift]
    );
}

/// Guarantees: an anomaly with many failures points at tools.
#[test]
fn failures_point_at_tools() {
    let failing = names(Seen {
        tools: 7.0,
        failures: 0.4,
        ..Seen::default()
    });
    assert_eq!(failing, [Diagnosis::ToolInstability]);
}

/// Guarantees: a changed prompt comes first, needs an anomaly or the platform's word, and the sentence says both.
#[test]
fn prompt_injection_is_a_changed_prompt_that_shows() {
    let clues = Clues {
        prompt_changed: Some(true),
        ..Clues::default()
    };
    let injected = hypotheses(Seen {
        tokens: 1_400.0,
        clues: clues.clone(),
        ..Seen::default()
    });
    assert_eq!(injected[0].diagnosis, Diagnosis::PromptInjection);
    assert!(
        injected[0]
            .because
            .contains("4.0 standard deviations above the usual 1000.0"),
        "{}",
        injected[0].because
    );
    assert_eq!(
        names(Seen {
            clues: clues.clone(),
            ..Seen::default()
        }),
        [Diagnosis::Unknown]
    );
    let word = Clues {
        platform_word: Some("canary token leaked".to_owned()),
        ..clues
    };
    assert_eq!(
        names(Seen {
            clues: word,
            ..Seen::default()
        }),
        [Diagnosis::PromptInjection]
    );
}

/// Guarantees: three times the usual cost is an overrun beside what the vitals say.
#[test]
fn cost_overrun_is_a_multiple_of_the_usual() {
    let clues = |cost| Clues {
        cost: Some(cost),
        usual_cost: Some(0.01),
        ..Clues::default()
    };
    let over = names(Seen {
        tokens: 1_400.0,
        clues: clues(0.05),
        ..Seen::default()
    });
    assert_eq!(over, [Diagnosis::PromptDrift, Diagnosis::CostOverrun]);
    assert_eq!(
        names(Seen {
            tokens: 1_400.0,
            clues: clues(0.03),
            ..Seen::default()
        }),
        [Diagnosis::PromptDrift]
    );
}

/// Guarantees: there is always a hypothesis, and the platform's words are in it when nothing else is known.
#[test]
fn never_empty() {
    let clues = Clues {
        platform_word: Some("canary token leaked".to_owned()),
        ..Clues::default()
    };
    let said = hypotheses(Seen {
        clues,
        ..Seen::default()
    });
    assert_eq!((said.len(), said[0].diagnosis), (1, Diagnosis::Unknown));
    assert!(said[0].because.contains("canary token leaked"));
    assert_eq!(names(Seen::default()), [Diagnosis::Unknown]);
}

/// Guarantees: the sentence has the numbers in it.
#[test]
fn sentences_have_numbers() {
    let looping = hypotheses(Seen {
        tools: 41.0,
        ..Seen::default()
    });
    assert_eq!(
        looping[0].because,
        "tool calls are 41.0 per execution, 31.0 standard deviations above the usual 10.0"
    );
}

/// Scenario: evidence of an infection while no metric is over its threshold.
/// Guarantees: failures name tool instability, retries a storm, anything else is unknown with score and window.
#[test]
fn evidence_alone_is_named() {
    let with = |shares, metrics, window| {
        let evidence = Evidence {
            score: 5.2,
            metrics,
            peaks: Default::default(),
            counted: 4.0,
            shares,
            window,
        };
        let clues = Clues {
            evidence: Some(evidence),
            ..Clues::default()
        };
        let found = hypotheses(Seen {
            clues,
            ..Seen::default()
        });
        assert_eq!(found.len(), 1, "{found:?}");
        (found[0].diagnosis, found[0].because.clone())
    };
    let (diagnosis, because) = with([0.4, 0.4], [0.0; 3], 0);
    assert_eq!(diagnosis, Diagnosis::ToolInstability);
    assert_eq!(because, "40 % of the last 5 executions failed");
    let (diagnosis, because) = with([0.2, 0.6], [0.0; 3], 0);
    assert_eq!(diagnosis, Diagnosis::RetryStorm);
    assert_eq!(because, "60 % of the last 5 executions had a retry");
    let (diagnosis, because) = with([0.0; 2], [1.0, -5.1, 0.0], 8);
    assert_eq!(diagnosis, Diagnosis::Unknown);
    assert_eq!(
        because,
        "the evidence score is 5.2 (3.5 is an infection): \
         tokens are 5.1 standard deviations below the reference over the last 8 executions"
    );
}

/// Scenario: tokens rose, or nothing moved, on an agent that called a tool for the first time, with the usual prompt and
/// with another.
/// Guarantees: a new tool makes an injection likely where something moved, a changed prompt as well likelier; without a
/// departure neither says anything.
#[test]
fn a_tool_that_was_never_called_tells_an_injection() {
    let clues = |prompt_changed| Clues {
        prompt_changed: Some(prompt_changed),
        new_tools: vec!["delete_account".to_owned()],
        ..Clues::default()
    };
    let seen = |tokens, prompt_changed| Seen {
        tokens,
        clues: clues(prompt_changed),
        ..Seen::default()
    };
    for (prompt_changed, confidence) in [(false, 0.75), (true, 0.95)] {
        let first = hypotheses(seen(1_400.0, prompt_changed)).swap_remove(0);
        assert_eq!(
            (first.diagnosis, first.confidence),
            (Diagnosis::PromptInjection, confidence)
        );
        assert!(
            first
                .because
                .contains("delete_account was called for the first time"),
            "{}",
            first.because
        );
    }
    assert_eq!(names(seen(1_000.0, true)), [Diagnosis::Unknown]);
}

/// Scenario: tool calls rose, or did not, while one call was made again and again with the same arguments.
/// Guarantees: a loop, named with tool and count, and only where tool calls rose.
#[test]
fn the_same_call_again_is_a_loop() {
    let clues = |times| Clues {
        repeated_call: Some(crate::vitals::RepeatedCall {
            tool: "search".to_owned(),
            times,
        }),
        ..Clues::default()
    };
    let looping = hypotheses(Seen {
        tools: 12.7,
        tokens: 1_900.0,
        clues: clues(9),
        ..Seen::default()
    });
    assert_eq!(
        (looping[0].diagnosis, looping[0].confidence),
        (Diagnosis::InfiniteLoop, 0.92)
    );
    assert!(
        looping[0]
            .because
            .contains("search 9 times with the same arguments"),
        "{}",
        looping[0].because
    );
    let twice = hypotheses(Seen {
        tools: 12.7,
        tokens: 1_900.0,
        clues: clues(2),
        ..Seen::default()
    });
    assert!(twice.iter().all(|found| found.confidence != 0.92), "{twice:?}");
    let polling = names(Seen {
        tokens: 1_900.0,
        clues: clues(9),
        ..Seen::default()
    });
    assert!(!polling.contains(&Diagnosis::InfiniteLoop), "{polling:?}");
}

/// Scenario: tokens rose after a change of the model and of the tools on offer.
/// Guarantees: the first hypothesis says what changed; every diagnosis of the table is a hypothesis or ruled out, never
/// both, and each that is ruled out says why.
#[test]
fn what_changed_and_what_it_was_not() {
    let clues = Clues {
        model_changed: Some(("old".to_owned(), "new".to_owned())),
        tools_changed: true,
        ..Clues::default()
    };
    let (pattern_hypotheses, not) = judged(Seen {
        tokens: 1_400.0,
        clues,
        ..Seen::default()
    });
    let because = &pattern_hypotheses[0].because;
    assert!(
        because.contains("the model is new, it was old, and the set of tools on offer is another"),
        "{because}"
    );
    for diagnosis in Diagnosis::ALL {
        let is_named = pattern_hypotheses
            .iter()
            .any(|found| found.diagnosis == diagnosis);
        let is_ruled_out = not.iter().any(|not| not.diagnosis == diagnosis);
        let is_judged = !matches!(diagnosis, Diagnosis::ExternalCause | Diagnosis::Unknown);
        assert_eq!(is_named ^ is_ruled_out, is_judged, "{diagnosis}");
    }
    assert!(not.iter().all(|not| !not.because.is_empty()));
    let calls = not.iter().find(|not| not.diagnosis == Diagnosis::InfiniteLoop);
    assert!(
        calls.is_some_and(|not| not
            .because
            .starts_with("tool calls are 10.0 per execution, 0.0 standard")),
        "{calls:?}"
    );
}
