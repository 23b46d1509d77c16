//! What is refused, folded, finished early; and times that cannot be.

use super::world::{S, World, request};
use crate::assemble::{Config, Emitted, Refusal, Runs};
use immune_domain::vitals::Completeness;
use immune_domain::{RunId, Timestamp};

/// Guarantees: a span without a usable id or time is refused with its reason, the others of its request are taken.
#[test]
fn malformed_spans_are_refused_one_by_one() {
    let mut world = World::new();
    let accepted = world.send([
        S::agent(1, "bot"),
        S::agent(2, "bot").change(|span| span.trace_id.clear()),
        S::agent(2, "bot").change(|span| span.trace_id = vec![0; 16]),
        S::agent(2, "bot").change(|span| span.span_id = vec![1; 7]),
        S::agent(2, "bot").change(|span| span.span_id = vec![0; 8]),
        S::agent(2, "bot").change(|span| span.parent_span_id = vec![1; 3]),
        S::agent(2, "bot").nanos(0, 0),
    ]);
    assert_eq!((accepted.accepted, accepted.rejected_count()), (1, 6));
    assert_eq!(
        accepted.rejected,
        [(Refusal::TraceId, 2), (Refusal::SpanId, 3), (Refusal::NoTime, 1)]
    );
    assert_eq!(
        accepted.message(),
        "2 x invalid_trace_id, 3 x invalid_span_id, 1 x no_time"
    );
    world.one();
}

/// Guarantees: the stated run wins over the resource's, that over the caller's own; one that cannot be an id is
/// refused with every span of its resource.
#[test]
fn the_run_of_a_request() {
    let (stated, own) = (RunId::new("stated"), RunId::new("own"));
    let cases = [
        (Some(&stated), Some("named"), "stated"),
        (None, Some("named"), "named"),
        (None, None, "own"),
    ];
    for (stated, named, expected) in cases {
        let mut world = World::new();
        let resource: Vec<_> = named
            .map(|run| ("immune.run_id", run.into()))
            .into_iter()
            .collect();
        let runs = Runs {
            stated,
            otherwise: &own,
        };
        let request = request(&resource, [S::agent(1, "bot")]);
        world.assembler.accept(runs, &request, world.now, &mut world.out);
        assert_eq!(world.one().key.run.as_str(), expected);
    }
    let mut world = World::new();
    let bad = request(
        &[("immune.run_id", "a\nb".into())],
        [S::agent(1, "bot"), S::model(2).below(1)],
    );
    let accepted = world.assembler.accept(
        Runs {
            stated: None,
            otherwise: &own,
        },
        &bad,
        world.now,
        &mut world.out,
    );
    assert_eq!(accepted.rejected, [(Refusal::RunId, 2)]);
}

/// Guarantees: two runs that send the same ids do not mix.
#[test]
fn runs_do_not_mix() {
    let mut world = World::new();
    let (a, b) = (RunId::new("a"), RunId::new("b"));
    let parts = [
        (&a, S::agent(1, "bot")),
        (&b, S::model(2).below(1)),
        (&b, S::agent(1, "bot")),
    ];
    for (run, span) in parts {
        let runs = Runs {
            stated: Some(run),
            otherwise: &a,
        };
        world
            .assembler
            .accept(runs, &request(&[], [span]), world.now, &mut world.out);
    }
    let tokens: Vec<_> = world
        .given()
        .into_iter()
        .map(|emitted| match emitted {
            Emitted::Vitals(vitals) => (vitals.key.run.to_string(), vitals.token_count),
            Emitted::Retracted { .. } => panic!("nothing to take back"),
        })
        .collect();
    assert_eq!(tokens, [("a".to_owned(), None), ("b".to_owned(), Some(11))]);
}

/// Scenario: more spans in a trace than are kept.
/// Guarantees: tokens and tool calls are added up all the same, the agent's span still ends the execution, what
/// cannot be added up is refused by name, and memory stays where it is.
#[test]
fn a_full_trace_adds_up() {
    let mut world = World::with(Config {
        trace_spans_max: 100,
        ..Config::default()
    });
    world.send((0..100).map(|n| S::model(1_000 + n).below(1)));
    let full = world.assembler.totals().bytes;
    let more = (0..50)
        .map(|n| S::model(2_000 + n).below(1))
        .chain((0..10).map(|n| S::tool(3_000 + n, "t").below(1)));
    let accepted = world.send(more);
    assert_eq!((accepted.accepted, accepted.folded), (60, 60));
    assert_eq!(
        world.send([S::new(4_000).below(1)]).rejected,
        [(Refusal::TraceFull, 1)]
    );
    assert_eq!(world.assembler.totals().bytes, full);
    world.send([S::agent(1, "bot").at(0, 99)]);
    let vitals = world.one();
    assert_eq!((vitals.input_tokens, vitals.tool_calls), (Some(1_500), Some(10)));
}

/// Scenario: more open traces than may be held, by number and by memory.
/// Guarantees: the one that was silent longest is finished as incomplete and counted; the bound holds.
#[test]
fn the_most_silent_trace_is_finished_early() {
    let mut world = World::with(Config {
        traces_max: 3,
        ..Config::default()
    });
    for trace in 1..=5 {
        world.wait(1);
        world.send([S::model(2).below(1).in_trace(trace)]);
    }
    assert_eq!(
        (
            world.assembler.totals().traces,
            world.assembler.totals().finished_early
        ),
        (3, 2)
    );
    let given: Vec<_> = world.given();
    assert_eq!(given.len(), 2);
    for (emitted, trace) in given.iter().zip(1..) {
        let Emitted::Vitals(vitals) = emitted else {
            panic!("a record")
        };
        assert_eq!(vitals.completeness, Completeness::Incomplete);
        assert_eq!(
            vitals.context.trace_id.as_deref(),
            Some(format!("{trace:032x}").as_str())
        );
    }

    let bytes_max = 1024 * 1024;
    let mut world = World::with(Config {
        bytes_max,
        ..Config::default()
    });
    for trace in 1..=5_000 {
        world.send([S::model(2)
            .below(1)
            .in_trace(trace)
            .says("gen_ai.conversation.id", "x".repeat(300).as_str())]);
        assert!(world.assembler.totals().bytes <= bytes_max);
    }
    assert!(world.assembler.totals().finished_early > 0);
    world.drain();
    let totals = world.assembler.totals();
    assert_eq!((totals.traces, totals.spans, totals.bytes), (0, 0, 0));
    assert_eq!(world.given().len(), 5_000, "every execution is reported once");
}

/// Guarantees: of a bomb of attributes only what is asked for is kept, cut to length.
#[test]
fn attribute_bombs_are_not_kept() {
    let mut world = World::new();
    let huge = "n".repeat(10 * 1024 * 1024);
    let span = S::agent(1, &huge).change(|span| {
        for n in 0..10_000 {
            let mut pair = span.attributes[0].clone();
            pair.key = format!("junk.{n}");
            span.attributes.push(pair);
        }
    });
    world.send([span]);
    assert!(
        world.assembler.totals().bytes < 10_000,
        "{} bytes",
        world.assembler.totals().bytes
    );
    assert_eq!(world.one().context.agent_name.map(|name| name.len()), Some(256));
}

/// Scenario: an agent whose clock is wrong.
/// Guarantees: an end before the start takes the children's extent; a clock far ahead is moved back to now and the
/// duration stays; a missing end gives a moment. Old times stay as they are.
#[test]
fn absurd_times() {
    let mut world = World::new();
    world.send([S::agent(1, "bot").at(9, 2), S::model(2).below(1).at(3, 5)]);
    let vitals = world.one();
    assert_eq!(
        vitals.latency_ms, 6_000.0,
        "from the first start to the last end, the agent's start among them"
    );

    let mut world = World::new();
    let ahead = world.now.as_micros() as u64 * 1_000 + 3_600 * 1_000_000_000;
    let accepted = world.send([S::agent(1, "bot").nanos(ahead, ahead + 2_000_000_000)]);
    assert_eq!(accepted.ahead, 1);
    let vitals = world.one();
    assert_eq!((vitals.latency_ms, vitals.timestamp), (2_000.0, world.now));

    let mut world = World::new();
    world.send([S::agent(1, "bot").nanos(u64::MAX, u64::MAX)]);
    assert_eq!(world.one().timestamp, world.now);

    let mut world = World::new();
    world.send([S::agent(1, "bot").nanos(7_000, 0)]);
    let vitals = world.one();
    assert_eq!(
        (vitals.latency_ms, vitals.timestamp),
        (0.0, Timestamp::from_micros(7))
    );
}

/// Guarantees: spans that are their own ancestors end up somewhere, once, and nothing hangs.
#[test]
fn loops_of_parents_are_cut() {
    let mut world = World::new();
    world.send([
        S::agent(1, "a").below(2),
        S::agent(2, "b").below(3),
        S::agent(3, "c").below(1),
        S::agent(4, "d").below(4),
    ]);
    world.drain();
    assert_eq!(world.given().len(), 2);
}
