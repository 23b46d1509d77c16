//! Executions that are reported while they run.

use super::world::{S, World};
use crate::assemble::{Emitted, Limits};
use immune_domain::vitals::{Completeness, Vitals};

fn limits() -> Limits {
    Limits {
        latency_ms: Some(60_000.0),
        tokens: Some(100.0),
        tool_calls: None,
    }
}

fn watch(world: &mut World) {
    world
        .assembler
        .report_running(world.now, |_| Some(limits()), &mut world.out);
}

fn call(id: u64) -> S {
    S::model(id)
        .below(1)
        .at(id, id + 1)
        .says("gen_ai.agent.name", "bot")
}

fn records(given: Vec<Emitted>) -> Vec<Vitals> {
    let record = |emitted| match emitted {
        Emitted::Vitals(vitals) => vitals,
        Emitted::Retracted { .. } => panic!("nothing to take back"),
    };
    given.into_iter().map(record).collect()
}

/// Scenario: an agent loops and its span never ends; then it does.
/// Guarantees: nothing is said below the limits; beyond them the execution is reported while it runs, again when it
/// grows, and the end replaces all that under the same id.
#[test]
fn an_endless_loop_is_reported_while_it_runs() {
    let mut world = World::new();
    for id in 2..11 {
        world.send([call(id)]);
        watch(&mut world);
    }
    assert!(world.given().is_empty());
    world.send([call(11)]);
    watch(&mut world);
    watch(&mut world);
    let first = world.one();
    assert_eq!(
        (first.completeness, first.revision, first.token_count),
        (Completeness::Running, 0, Some(110))
    );
    assert_eq!((first.key.agent.as_str(), first.success), ("shop/bot", true));
    world.send([call(12)]);
    watch(&mut world);
    let second = world.one();
    assert_eq!((second.revision, second.token_count), (1, Some(121)));
    world.send([S::agent(1, "bot").at(0, 20)]);
    let last = world.one();
    assert_eq!((last.completeness, last.revision), (Completeness::Complete, 2));
    assert_eq!(last.execution, first.execution);
    watch(&mut world);
    assert!(world.given().is_empty());
}

/// Scenario: an agent waits for a slow model.
/// Guarantees: time counts although no spans come, the running record moves on with it and stays live.
#[test]
fn silence_is_time() {
    let mut world = World::new();
    world.send([S::model(2).below(1).at(0, 50)]);
    watch(&mut world);
    assert!(world.given().is_empty());
    world.wait(11);
    watch(&mut world);
    let running = world.one();
    assert_eq!(running.latency_ms, 61_000.0);
    assert_eq!(running.timestamp.since(running.started_at).as_secs(), 61);
    let mut seen = 0;
    world.assembler.running(world.now, |_| seen += 1);
    assert_eq!(seen, 1);
    world.wait(20);
    assert_eq!(
        world.one().completeness,
        Completeness::Incomplete,
        "silent for the timeout"
    );
    watch(&mut world);
    assert!(world.given().is_empty());
}

/// Scenario: the missing span above the calls is a step, not the agent; it arrives while the agent runs on.
/// Guarantees: the provisional id is taken back when a better one is reported; in the end one record stands.
#[test]
fn a_provisional_id_is_taken_back() {
    let step = |id: u64| S::new(id).scope("openinference.instrumentation.x").named("turn");
    let call = |id: u64, step: u64| S::model(id).below(step).uses(200, 1).at(id, id + 1);
    let mut world = World::new();
    world.send([call(2, 50)]);
    watch(&mut world);
    let first = world.one();
    assert!(
        first.execution.as_str().ends_with("32"),
        "the step's id: {}",
        first.execution
    );
    world.send([step(50).below(1).at(2, 4), call(5, 51)]);
    watch(&mut world);
    let given = world.given();
    assert!(
        matches!(&given[0], Emitted::Retracted { execution, .. } if *execution == first.execution),
        "{given:?}"
    );
    let [second] = &records(given[1..].to_vec())[..] else {
        panic!("one record: {given:?}")
    };
    assert!(
        second.execution.as_str().ends_with("01"),
        "the agent's id: {}",
        second.execution
    );
    world.send([step(51).below(1).at(5, 7), S::agent(1, "bot").at(0, 9)]);
    let given = world.given();
    // The name moves it from the service to the agent.
    assert!(
        matches!(&given[0], Emitted::Retracted { execution, .. } if *execution == second.execution),
        "{given:?}"
    );
    let [last] = &records(given[1..].to_vec())[..] else {
        panic!("one record: {given:?}")
    };
    assert_eq!(
        (&last.execution, last.token_count),
        (&second.execution, Some(402))
    );
    assert!(last.revision > second.revision);
}
