use super::*;
use crate::acting::{Act, Asked};
use crate::writing::Write;
use immune_bus::{Partition, Place};
use immune_domain::ExecutionId;
use immune_domain::case::Person;
use immune_domain::policy::LivePolicies;
use immune_domain::vitals::{Completeness, Context, Source, Vitals};
use std::sync::Mutex;
use tokio::sync::oneshot;

fn at(seconds: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs(seconds))
}

fn key(agent: &str) -> AgentKey {
    AgentKey::new("default", agent)
}

fn record(agent: &str, n: u32, revision: u32) -> Record {
    Record::Vitals(Vitals {
        key: key(agent),
        execution: ExecutionId::new(format!("{agent}-{n}")),
        revision,
        started_at: at(0),
        timestamp: at(0),
        received_at: at(0),
        latency_ms: f64::from(1_000 + n),
        input_tokens: None,
        output_tokens: None,
        token_count: None,
        tool_calls: None,
        retries: None,
        success: true,
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::new(Context::default()),
    })
}

/// A partition with what it has acknowledged.
struct World {
    held: Held,
    acked: Arc<Mutex<Vec<u32>>>,
}

impl World {
    fn new(config: Config) -> Self {
        let rules = Rules {
            config,
            policies: LivePolicies::default(),
            metrics: Metrics::default(),
            agents: AtomicUsize::new(0),
        };
        let tenure = Tenure {
            partition: 0,
            fence: 1,
            place: None,
        };
        World {
            held: Held::new(Arc::new(rules), tenure, &[]),
            acked: Arc::default(),
        }
    }

    /// An entry at a place.
    fn entry(&mut self, number: u32, records: Vec<Record>, now: Timestamp) {
        self.take(number, Some(number.to_string()), records, 1_000, now);
    }

    fn take(&mut self, number: u32, place: Option<Place>, records: Vec<Record>, room: usize, now: Timestamp) {
        let acked = self.acked.clone();
        let ack = Box::new(move || acked.lock().unwrap().push(number));
        let delivery = Delivery::new(records.into(), Partition::WHOLE, place, ack);
        self.held.take(delivery, room, now);
    }

    fn judge(&mut self, agent: &str, n: u32, revision: u32, reason: &str, now: Timestamp) {
        let verdict = Verdict {
            key: key(agent),
            execution: format!("{agent}-{n}"),
            revision,
            teaches: reason.is_empty(),
            is_well: reason.is_empty(),
            is_sick: reason == "sick",
        };
        self.held.judge(&verdict, true, now);
    }

    fn write(&mut self, now: Timestamp) -> Write {
        let mut write = Write::default();
        self.held.fill(&mut write, now);
        write
    }

    /// Writes and stores; returns the place and the samples of the profiles written.
    fn store(&mut self, now: Timestamp) -> (Option<Place>, Vec<(String, u64)>) {
        let write = self.write(now);
        for part in write.parts {
            self.held.stored(part);
        }
        let place = write.tenures.into_iter().next().and_then(|tenure| tenure.place);
        let count =
            |stored: &StoredProfile| (stored.profile.key.agent.to_string(), stored.profile.sample_count);
        (place, write.profiles.iter().map(count).collect())
    }

    fn acked(&self) -> Vec<u32> {
        self.acked.lock().unwrap().clone()
    }

    fn samples(&self, agent: &str) -> u64 {
        self.held
            .agents
            .get(&key(agent))
            .map_or(0, |agent| agent.learner.samples())
    }
}

fn world() -> World {
    World::new(Config::default())
}

/// Scenario: three entries; the verdict of the first comes last.
/// Guarantees: none takes effect before those before it; then the place and the profiles are in one write, and what is
/// acknowledged is stored.
#[test]
fn entries_take_effect_in_their_order() {
    let mut world = world();
    for number in 1..=3 {
        world.entry(number, vec![record("a", number, 0)], at(0));
    }
    world.judge("a", 3, 0, "", at(1));
    world.judge("a", 2, 0, "withheld", at(1));
    assert_eq!(world.store(at(1)), (None, vec![]));
    world.judge("a", 1, 0, "", at(1));
    let write = world.write(at(1));
    assert_eq!(world.acked(), [0u32; 0], "before it is stored");
    assert_eq!(write.tenures[0].place.as_deref(), Some("3"));
    assert_eq!(write.profiles[0].profile.sample_count, 2);
    write
        .parts
        .into_iter()
        .for_each(|part| drop(world.held.stored(part)));
    assert_eq!(world.acked(), [3]);
}

/// Scenario: a write fails and is repeated, with a further entry.
/// Guarantees: the repetition has everything the failed one had, under higher versions, with the later place; nothing
/// is acknowledged before.
#[test]
fn a_failed_write_is_repeated_whole() {
    let mut world = world();
    world.entry(1, vec![record("a", 1, 0), record("b", 1, 0)], at(0));
    ["a", "b"]
        .iter()
        .for_each(|agent| world.judge(agent, 1, 0, "", at(0)));
    let failed = world.write(at(0));
    assert_eq!(failed.profiles.len(), 2);
    world.entry(2, vec![record("b", 2, 0)], at(0));
    world.judge("b", 2, 0, "", at(0));
    failed
        .parts
        .into_iter()
        .for_each(|part| world.held.put_back(part));
    let again = world.write(at(0));
    assert_eq!(again.tenures[0].place.as_deref(), Some("2"));
    let versions: Vec<u64> = again
        .profiles
        .iter()
        .map(|stored| stored.profile.version)
        .collect();
    assert_eq!(versions, [2, 2]);
    assert_eq!(world.samples("b"), 2);
    assert!(world.acked().is_empty());
    again
        .parts
        .into_iter()
        .for_each(|part| drop(world.held.stored(part)));
    assert_eq!(world.acked(), [2]);
    world.entry(3, vec![], at(0));
    assert_eq!(world.store(at(0)).0.as_deref(), Some("3"));
    assert_eq!(world.acked(), [2, 3]);
}

/// Scenario: an agent with a baseline executes, then turns out sick; another executes and stays well.
/// Guarantees: its lessons wait and teach nothing; the other's teach when they have waited; the order holds.
#[test]
fn lessons_of_judged_agents_wait_in_order() {
    let mut world = world();
    for n in 0..15 {
        world.entry(n, vec![record("sick", n, 0), record("well", n, 0)], at(0));
        ["sick", "well"]
            .iter()
            .for_each(|agent| world.judge(agent, n, 0, "", at(0)));
    }
    assert_eq!(world.store(at(0)).0.as_deref(), Some("14"));
    world.entry(15, vec![record("sick", 15, 0), record("well", 15, 0)], at(1));
    ["sick", "well"]
        .iter()
        .for_each(|agent| world.judge(agent, 15, 0, "", at(1)));
    world.entry(16, vec![record("sick", 16, 0), record("new", 16, 0)], at(2));
    world.judge("sick", 16, 0, "sick", at(2));
    world.judge("new", 16, 0, "", at(2));
    assert_eq!(world.store(at(10)), (None, vec![]));
    assert_eq!(world.store(at(11)).0.as_deref(), Some("16"));
    assert_eq!(
        (world.samples("sick"), world.samples("well"), world.samples("new")),
        (15, 16, 1)
    );
}

/// Scenario: the verdict of the first of two entries never comes, once while later ones come, once while none does.
/// Guarantees: it is given up soon when the sentinel is ahead, and late when the sentinel is silent; it teaches
/// nothing, also when the verdict comes after that.
#[test]
fn a_missed_verdict_does_not_hold_up_for_long() {
    let mut world = world();
    world.entry(1, vec![record("a", 1, 0)], at(0));
    world.entry(2, vec![record("a", 2, 0)], at(0));
    world.judge("a", 2, 0, "", at(1));
    assert_eq!(world.store(at(29)).0, None);
    assert_eq!(world.store(at(30)).0.as_deref(), Some("2"));
    world.judge("a", 1, 0, "", at(31));
    assert_eq!(world.samples("a"), 1);
    world.entry(3, vec![record("a", 3, 0)], at(40));
    assert_eq!(world.store(at(639)).0, None);
    assert_eq!(world.store(at(640)).0.as_deref(), Some("3"));
    assert_eq!(world.samples("a"), 1);
}

/// Scenario: records come twice, in later entries, with this replica and with one that takes over from it; then
/// corrections of an execution that each of them has learned.
/// Guarantees: repetitions teach once; a correction replaces where the first lesson is remembered, else nothing.
#[test]
fn repetitions_and_corrections_count_once() {
    let mut world = world();
    for (number, n) in [(1, 1), (2, 2), (3, 1)] {
        world.entry(number, vec![record("a", n, 0)], at(0));
        world.judge("a", n, 0, "", at(0));
    }
    world.entry(4, vec![record("a", 2, 1)], at(0));
    world.judge("a", 2, 1, "", at(0));
    let write = world.write(at(0));
    assert_eq!(write.profiles[0].profile.sample_count, 2);
    let tenure = Tenure {
        fence: 2,
        ..write.tenures[0].clone()
    };
    world.held = Held::new(world.held.rules.clone(), tenure, &write.profiles);
    world.entry(
        5,
        vec![record("a", 1, 0), record("a", 2, 2), record("a", 3, 0)],
        at(0),
    );
    world.judge("a", 1, 0, "", at(0));
    world.judge("a", 2, 2, "", at(0));
    world.judge("a", 3, 0, "", at(0));
    let (place, profiles) = world.store(at(0));
    assert_eq!(
        (place.as_deref(), profiles),
        (Some("5"), vec![("a".to_owned(), 3)])
    );
    world.entry(6, vec![record("a", 1, 1)], at(0));
    world.judge("a", 1, 1, "", at(0));
    world.store(at(0));
    assert_eq!(world.samples("a"), 3);
}

/// Scenario: an execution is withdrawn before it has taken effect, another one afterwards.
/// Guarantees: neither is in the profile, and the first holds nothing up although it never has a verdict.
#[test]
fn withdrawals_take_back() {
    let mut world = world();
    world.entry(
        1,
        vec![record("a", 1, 0), record("a", 2, 0), record("a", 3, 0)],
        at(0),
    );
    world.judge("a", 2, 0, "", at(0));
    world.judge("a", 3, 0, "", at(0));
    world.entry(
        2,
        vec![Record::Retracted(key("a"), ExecutionId::new("a-1"))],
        at(0),
    );
    assert_eq!(world.store(at(0)).1, [("a".to_owned(), 2)]);
    world.entry(
        3,
        vec![Record::Retracted(key("a"), ExecutionId::new("a-2"))],
        at(0),
    );
    assert_eq!(
        world.store(at(0)),
        (Some("3".to_owned()), vec![("a".to_owned(), 1)])
    );
}

/// Scenario: a profile is forgotten, and an execution that it had learned is corrected.
/// Guarantees: nothing is taken from the profile that begins anew.
#[test]
fn a_reset_profile_gives_nothing_back() {
    let mut world = world();
    world.entry(1, vec![record("a", 1, 0)], at(0));
    world.judge("a", 1, 0, "", at(0));
    world.store(at(0));
    let (answer, _answered) = oneshot::channel();
    let asked = Asked {
        key: key("a"),
        act: Act::Reset,
        by: Person {
            subject: "alice".to_owned(),
            via: "api_key".to_owned(),
        },
        reason: String::new(),
        answer,
    };
    world.held.act(asked, at(0));
    world.entry(2, vec![record("a", 2, 0), record("a", 1, 1)], at(0));
    world.judge("a", 2, 0, "", at(0));
    world.judge("a", 1, 1, "withheld", at(0));
    world.store(at(0));
    assert_eq!(world.samples("a"), 1);
}

/// Scenario: more agents change than a write holds, in entries of many, while the store is slow.
/// Guarantees: entries beyond wait; every write names exactly the place that its profiles contain.
#[test]
fn writes_are_bounded() {
    let mut world = world();
    for number in 0..40 {
        let agents: Vec<String> = (0..50).map(|i| format!("{number}-{i}")).collect();
        let records = agents.iter().map(|agent| record(agent, 0, 0)).collect();
        world.entry(number, records, at(0));
        agents
            .iter()
            .for_each(|agent| world.judge(agent, 0, 0, "", at(0)));
    }
    for (place, entries) in [("9", 10), ("19", 20), ("29", 30), ("39", 40)] {
        let (stored, profiles) = world.store(at(0));
        assert_eq!(
            (stored.as_deref(), profiles.len()),
            (Some(place), 500),
            "{entries} entries"
        );
    }
    assert_eq!(world.store(at(0)), (None, vec![]));
}

/// Scenario: a bus without places; a judged agent, one that learns, and one without verdicts share the partition.
/// Guarantees: nobody waits for another; entries are acknowledged in order once their effects are stored; beyond the
/// limit those without a verdict give way.
#[test]
fn without_places_nobody_waits_for_another() {
    let mut world = world();
    for n in 0..15 {
        world.take(n, None, vec![record("judged", n, 0)], 1_000, at(0));
        world.judge("judged", n, 0, "", at(0));
    }
    world.take(15, None, vec![record("judged", 15, 0)], 1_000, at(0));
    world.judge("judged", 15, 0, "", at(0));
    world.take(16, None, vec![record("silent", 0, 0)], 1_000, at(0));
    world.take(17, None, vec![record("new", 0, 0)], 1_000, at(0));
    world.judge("new", 0, 0, "", at(0));
    assert_eq!(
        world.store(at(0)).1,
        [("judged".to_owned(), 15), ("new".to_owned(), 1)]
    );
    assert_eq!(world.acked(), [14]);
    assert_eq!(world.store(at(10)).1, [("judged".to_owned(), 16)]);
    world.store(at(10));
    assert_eq!(world.acked(), [14, 15]);
    world.take(18, None, vec![record("new", 1, 0)], 1, at(11));
    assert_eq!(world.held.waiting(), 1, "only the new one");
    world.store(at(11));
    assert_eq!(world.acked(), [14, 15, 17]);
}

/// Scenario: an agent that has run for long gets another prompt; one of its first executions with it is sick. Then an
/// execution from before is withdrawn, and the partition moves.
/// Guarantees: another version begins with five healthy executions in a row and says what changed; its baseline goes on
/// judging, with the weight of the fewest samples, so that the new normal is followed; nothing that the version before
/// learned is taken back from it; the next holder knows the version.
#[test]
fn a_new_version_borrows_the_old_baseline() {
    let config = Config {
        learn_late_seconds: 0,
        ..Config::default()
    };
    let mut world = World::new(config.clone());
    let run = |world: &mut World, n: u32, prompt: &str, reason: &str| {
        let Record::Vitals(mut vitals) = record("a", n, 0) else {
            return;
        };
        vitals.context.prompt_hash = Some(prompt.to_owned());
        vitals.started_at = at(u64::from(n));
        let now = at(u64::from(n));
        world.entry(n, vec![Record::Vitals(vitals)], now);
        world.judge("a", n, 0, reason, now);
        world.store(now);
    };
    (0..40).for_each(|n| run(&mut world, n, "old", ""));
    (40..44).for_each(|n| run(&mut world, n, "new", ""));
    let version = |world: &World| world.held.agents[&key("a")].lineage.current();
    assert_eq!(version(&world).epoch, 0);
    run(&mut world, 44, "new", "sick");
    assert_eq!(
        (version(&world).epoch, world.samples("a")),
        (0, 44),
        "what is sick begins nothing"
    );
    run(&mut world, 45, "new", "");
    let begun = version(&world);
    assert_eq!(
        (begun.epoch, begun.since, begun.changed.prompt),
        (1, at(40), true)
    );
    assert_eq!(world.samples("a"), 15);
    assert!(world.held.agents[&key("a")].is_judged());

    let retracted = Record::Retracted(key("a"), ExecutionId::new("a-39"));
    world.entry(46, vec![retracted], at(46));
    world.store(at(46));
    assert_eq!(world.samples("a"), 15);

    run(&mut world, 47, "new", "");
    let stored = world
        .held
        .agents
        .get_mut(&key("a"))
        .expect("it is there")
        .next_version(&key("a"), at(47), Duration::MAX);
    assert_eq!(stored.profile.of, begun);
    assert_eq!(Agent::of(&stored).lineage.current(), begun);
    let unreadable = StoredProfile {
        learner: serde_json::Value::Null,
        ..stored
    };
    let again = Agent::of(&unreadable);
    assert_eq!(again.lineage.current(), begun, "the profile says it, too");
    assert_eq!(again.known.weight(), world.held.agents[&key("a")].known.weight());
}
