//! When an execution is reported, corrected and taken back.

use super::world::{S, World};
use crate::assemble::{Config, Emitted};
use immune_domain::vitals::Completeness;

fn id(emitted: &Emitted) -> (&str, &str) {
    match emitted {
        Emitted::Vitals(vitals) => ("vitals", vitals.execution.as_str()),
        Emitted::Retracted { execution, .. } => ("retracted", execution.as_str()),
    }
}

const ONE: &str = "00000000000000000000000000007ace-0000000000000001";
const TWO: &str = "00000000000000000000000000007ace-0000000000000002";

/// Guarantees: nothing above an agent is expected when it has no parent, one in another process, or is inside of a
/// server span; the record comes with the request that brought it.
#[test]
fn what_is_outermost_is_reported_at_once() {
    let remote = S::agent(1, "bot").below_remote(99);
    let served = [
        S::agent(1, "bot").below(7),
        S::new(7).server().below(99).named("POST /chat"),
    ];
    for spans in [vec![S::agent(1, "bot")], vec![remote], served.to_vec()] {
        let mut world = World::new();
        world.send(spans);
        let vitals = world.one();
        assert_eq!((vitals.execution.as_str(), vitals.revision), (ONE, 0));
        assert_eq!(vitals.completeness, Completeness::Complete);
        assert_eq!(vitals.key.agent.as_str(), "shop/bot");
    }
}

/// Scenario: an agent's parent is local, or may be, and has not arrived.
/// Guarantees: the record waits for `ancestor_wait_seconds` and then comes; if the parent arrives before, at once.
#[test]
fn a_missing_local_parent_is_waited_for() {
    for agent in [
        S::agent(1, "bot").below(7),
        S::agent(1, "bot").below(7).without_flags(),
    ] {
        let mut world = World::new();
        world.send([agent.clone()]);
        world.wait(9);
        assert!(world.given().is_empty());
        world.wait(1);
        assert_eq!(world.one().execution.as_str(), ONE);

        let mut world = World::new();
        world.send([agent]);
        world.wait(3);
        world.send([S::new(7).named("POST /chat")]);
        assert_eq!(world.one().execution.as_str(), ONE);
        world.wait(100);
        assert!(world.given().is_empty());
    }
}

/// Scenario: an inner agent was taken for the execution, and the outer one arrives after the wait.
/// Guarantees: the inner record is taken back, the outer one holds everything; in between nothing counts twice.
#[test]
fn an_outer_agent_takes_the_inner_one_in() {
    let mut world = World::new();
    world.send([S::agent(1, "inner").below(5), S::model(3).below(1)]);
    world.wait(10);
    assert_eq!(world.one().execution.as_str(), ONE);
    world.send([
        S::agent(2, "outer").at(0, 20),
        S::tool(5, "ask").below(2),
        S::model(4).below(2),
    ]);
    let given = world.given();
    assert_eq!(
        given.iter().map(id).collect::<Vec<_>>(),
        [("retracted", ONE), ("vitals", TWO)]
    );
    let Emitted::Vitals(outer) = &given[1] else {
        panic!("a record")
    };
    assert_eq!((outer.input_tokens, outer.tool_calls), (Some(20), Some(1)));
    assert_eq!(outer.context.parts, ["inner"]);
}

/// Scenario: an outer agent runs: its model call has ended, then an inner agent ended.
/// Guarantees: the inner one is not reported as an execution while the outer one can still be running.
#[test]
fn a_model_call_before_it_shows_an_outer_agent() {
    let mut world = World::new();
    world.send([S::model(3).below(2).at(0, 1)]);
    world.send([S::agent(1, "inner").below(5).at(2, 4)]);
    world.wait(12);
    assert!(world.given().is_empty());
    world.send([S::agent(2, "outer").at(0, 6), S::tool(5, "ask").below(2).at(2, 5)]);
    assert_eq!(world.one().execution.as_str(), TWO);
}

/// Scenario: children arrive after their agent, within the time that the trace is kept, and after it.
/// Guarantees: the first correct the record under a higher revision, the last change nothing and are counted.
#[test]
fn late_children_correct_the_record() {
    let mut world = World::new();
    world.send([S::agent(1, "bot").at(0, 9)]);
    assert_eq!(world.one().token_count, None);
    world.wait(20);
    world.send([S::model(2).below(1)]);
    let corrected = world.one();
    assert_eq!(
        (
            corrected.execution.as_str(),
            corrected.revision,
            corrected.token_count
        ),
        (ONE, 1, Some(11))
    );
    world.wait(31);
    assert_eq!(world.assembler.totals().traces, 0);
    let accepted = world.send([S::model(3).below(1)]);
    assert_eq!((accepted.accepted, accepted.too_late), (1, 1));
    world.wait(100);
    assert!(world.given().is_empty());
}

/// Scenario: a sender repeats a batch.
/// Guarantees: it is accepted, counted as repeated, and gives nothing new, even when the trace is forgotten.
#[test]
fn repeated_batches_change_nothing() {
    let mut world = World::new();
    let batch = [S::agent(1, "bot"), S::model(2).below(1)];
    world.send(batch.clone());
    world.one();
    assert_eq!(world.send(batch.clone()).repeated, 2);
    world.wait(31);
    assert_eq!(world.send(batch).too_late, 2);
    world.wait(100);
    assert!(world.given().is_empty());
}

/// Scenario: a process died inside of a tool; its agent's span never comes.
/// Guarantees: after the quiet timeout one incomplete, failed record of everything that came, named after the
/// missing span; when that comes after all, it is replaced by the whole one.
#[test]
fn a_silent_trace_is_incomplete() {
    let mut world = World::new();
    world.send([S::model(3).below(1).at(0, 1)]);
    world.send([S::tool(4, "search").below(1).at(1, 2)]);
    world.wait(29);
    assert!(world.given().is_empty());
    world.wait(1);
    let incomplete = world.one();
    assert_eq!(
        (incomplete.execution.as_str(), incomplete.completeness),
        (ONE, Completeness::Incomplete)
    );
    assert_eq!(
        (incomplete.success, incomplete.latency_ms, incomplete.tool_calls),
        (false, 2_000.0, Some(1))
    );
    world.wait(200);
    world.send([S::agent(1, "bot").at(0, 300)]);
    let given = world.given();
    // The agent's name is known only now, so that the record moves to another agent.
    assert_eq!(
        given.iter().map(id).collect::<Vec<_>>(),
        [("retracted", ONE), ("vitals", ONE)]
    );
    let Emitted::Vitals(whole) = &given[1] else {
        panic!("a record")
    };
    assert_eq!(
        (whole.completeness, whole.success),
        (Completeness::Complete, true)
    );
    assert!(whole.revision > incomplete.revision);
    assert_eq!(whole.token_count, Some(11));
}

/// Scenario: a span between an agent and its calls was lost on the way.
/// Guarantees: the calls count for the agent, not as an execution of their own.
#[test]
fn what_hung_below_a_lost_span_is_taken_in() {
    let mut world = World::new();
    world.send([S::agent(1, "bot").at(0, 9), S::model(3).below(77).at(1, 2)]);
    assert_eq!(world.one().token_count, None);
    world.wait(30);
    assert_eq!(world.one().token_count, Some(11));
    world.wait(100);
    assert!(world.given().is_empty());
}

/// Scenario: an agent calls an agent in another service; then one in its own over a queue.
/// Guarantees: the first is an execution of its own, whichever arrives first; the second is a part.
#[test]
fn a_service_boundary_parts_executions() {
    let caller = || [S::agent(1, "caller").at(0, 9), S::tool(5, "ask").below(1)];
    let callee = || [S::agent(2, "callee").below_remote(5), S::model(6).below(2)];
    for callee_first in [true, false] {
        let mut world = World::new();
        if callee_first {
            world.send_from("other", callee());
        }
        world.send(caller());
        if !callee_first {
            world.send_from("other", callee());
        }
        let mut given: Vec<_> = world.given().iter().map(|e| id(e).1.to_owned()).collect();
        given.sort();
        assert_eq!(given, [ONE, TWO], "callee first: {callee_first}");
    }
    let mut world = World::new();
    world.send(caller().into_iter().chain(callee()));
    assert_eq!(world.one().context.parts, ["callee"]);
}

/// Scenario: model calls in a hand-written loop below the application's span; and alone.
/// Guarantees: the first are one execution of the service; each lone call is one, unless the setting says no.
#[test]
fn calls_without_an_agent() {
    let mut world = World::new();
    world.send([
        S::new(1).at(0, 9).named("run"),
        S::model(2).below(1),
        S::model(3).below(1),
    ]);
    let vitals = world.one();
    assert_eq!(
        (vitals.key.agent.as_str(), vitals.token_count),
        ("shop", Some(22))
    );
    assert_eq!((vitals.execution.as_str(), vitals.latency_ms), (ONE, 9_000.0));

    let lone = || {
        [
            S::model(2).in_trace(1),
            S::model(3).in_trace(2),
            S::tool(4, "search").in_trace(3),
        ]
    };
    let mut world = World::new();
    world.send(lone());
    assert_eq!(world.given().len(), 2);
    let mut world = World::with(Config {
        lone_model_calls: false,
        ..Config::default()
    });
    world.send(lone());
    world.drain();
    assert!(world.given().is_empty());
}

/// Guarantees: setting an agent up, or a workflow, is no execution.
#[test]
fn creating_an_agent_is_no_execution() {
    let mut world = World::new();
    world.send([
        S::new(1)
            .says("gen_ai.operation.name", "create_agent")
            .says("gen_ai.agent.name", "bot"),
        S::new(2)
            .scope("agent_framework")
            .named("workflow.build")
            .in_trace(2),
    ]);
    world.drain();
    assert!(world.given().is_empty());
}

/// Scenario: nested agents, with the setting that gives each vitals of its own.
/// Guarantees: the outer record is the same, each inner agent has one beside it, and correcting works for both.
#[test]
fn nested_agents_have_vitals_of_their_own_on_request() {
    let mut world = World::with(Config {
        nested_agents_own_vitals: true,
        ..Config::default()
    });
    let outer = [
        S::agent(1, "outer").at(0, 9),
        S::model(2).below(1),
        S::tool(3, "ask").below(1).at(2, 8),
    ];
    let inner = [
        S::agent(4, "inner").below(3).at(3, 7),
        S::model(5).below(4).at(4, 5),
    ];
    world.send(outer.into_iter().chain(inner));
    let given = world.given();
    let tokens: Vec<_> = given
        .iter()
        .map(|emitted| match emitted {
            Emitted::Vitals(vitals) => (
                vitals.key.agent.as_str().to_owned(),
                vitals.token_count,
                vitals.latency_ms,
            ),
            Emitted::Retracted { .. } => panic!("nothing to take back"),
        })
        .collect();
    let expected = [
        ("shop/outer".into(), Some(22), 9_000.0),
        ("shop/inner".into(), Some(11), 4_000.0),
    ];
    assert_eq!(tokens, expected);
    world.send([S::model(6).below(4).at(5, 6)]);
    assert_eq!(world.given().len(), 2);
}
