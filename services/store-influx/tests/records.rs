//! Records on a real InfluxDB: exact, apart from each other, and right after a restart.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_domain::vitals::{Completeness, Vitals};
use immune_domain::{AgentKey, ExecutionId, RunId, Timestamp};
use immune_store::conformance::samples::{agent, at, vitals};
use std::time::Duration;
use world::World;

/// Ids that try to end a literal, a tag, a line or a query.
fn hostile() -> Vec<String> {
    [
        "' OR 'a' = 'a",
        "\" OR \"a\" = \"a",
        "x'; DROP MEASUREMENT agent_vitals; --",
        "a\\",
        "a\\' OR '1'='1",
        "line\nbreak",
        "line\r\nagent_vitals,run_id=tests,agent_id=forged live=1i 1",
        "\nagent_vitals,run_id=tests,agent_id=forged live=1i 1\n",
        "comma,equals=space here",
        "a\\,b\\=c\\ d",
        "tab\tnul\0end",
        "%41 is not A",
        "%",
        "/^.*$/",
        " leading and trailing ",
        "#comment",
        "{\"json\": [1]}",
        "\u{7f}\u{85}\u{2028}",
    ]
    .iter()
    .map(|id| (*id).to_owned())
    .collect()
}

/// Scenario: runs, agents, executions and contexts are named by someone who knows the syntax.
/// Guarantees: each name is only a name: it comes back, nothing else is read, changed or invented.
#[tokio::test]
async fn hostile_names_are_names() {
    let world = World::new().await;
    let store = world.store().vitals();
    store
        .append(&[vitals(&agent("bystander"), "e", at(1))])
        .await
        .unwrap();
    for id in hostile() {
        let key = AgentKey::new(id.as_str(), id.as_str());
        let mut record = vitals(&key, &id, at(1));
        record.context.model = Some(id.clone());
        record.context.tools = vec![id.clone()];
        let same_run = vitals(&agent(&id), &id, at(1));
        store.append(&[record.clone(), same_run.clone()]).await.unwrap();
        assert_eq!(store.latest(&key).await.unwrap(), Some(record.clone()), "{id:?}");
        assert_eq!(store.latest(&agent(&id)).await.unwrap(), Some(same_run));
        assert_eq!(store.total_executions(&RunId::new(id.as_str())).await.unwrap(), 1);
        assert_eq!(store.agents_seen(&key.run, at(0)).await.unwrap(), 1);
        let agents = store.agents(&key.run, None, 10).await.unwrap();
        assert_eq!(agents.len(), 1);
        assert_eq!(agents[0].latest, record);
        store
            .retract(&[(key.clone(), ExecutionId::new(id.as_str()))])
            .await
            .unwrap();
        assert_eq!(store.latest(&key).await.unwrap(), None);
    }
    let agents = store.agents(&RunId::new("tests"), None, 100).await.unwrap();
    let mut expected = hostile();
    expected.push("bystander".into());
    expected.sort();
    let names: Vec<&str> = agents.iter().map(|summary| summary.key.agent.as_str()).collect();
    assert_eq!(names, expected);
    let after = store
        .agents(&RunId::new("tests"), Some(&expected[4]), 2)
        .await
        .unwrap();
    assert_eq!(after[0].key.agent.as_str(), expected[5]);
    assert_eq!(store.purge(at(100)).await.unwrap(), names.len() as u64);
}

/// Scenario: numbers for which JSON and line protocol have no word, and a correction that knows less than the first.
/// Guarantees: every bit comes back, and what is unknown now does not keep its old value.
#[tokio::test]
async fn every_bit_comes_back() {
    let world = World::new().await;
    let store = world.store().vitals();
    let key = agent("bits");
    let odd = [
        f64::NAN.to_bits(),
        f64::NAN.to_bits() | 0xBEEF,
        f64::INFINITY.to_bits(),
        f64::NEG_INFINITY.to_bits(),
        (-0.0_f64).to_bits(),
        5e-324_f64.to_bits(),
        1e22_f64.to_bits(),
        123_456_789_012_345_680_000_f64.to_bits(),
        9_007_199_254_740_993_f64.to_bits(),
        (0.1_f64 + 0.2).to_bits(),
    ];
    let mut batch = Vec::new();
    for (n, bits) in (0..).zip(odd) {
        let mut record = vitals(&key, &format!("{n:02}"), at(n));
        record.latency_ms = f64::from_bits(bits);
        record.context.cost = Some(f64::from_bits(bits));
        record.token_count = Some(u64::MAX - n as u64);
        batch.push(record);
    }
    store.append(&batch).await.unwrap();
    let back = store.recent(&key, at(0), 100).await.unwrap();
    assert_eq!(back.len(), odd.len());
    for (record, bits) in back.iter().zip(odd) {
        assert_eq!(record.latency_ms.to_bits(), bits, "{record:?}");
        assert_eq!(record.context.cost.unwrap().to_bits(), bits);
    }
    assert_eq!(back[3].token_count, Some(u64::MAX - 3));

    let mut less = vitals(&key, "00", at(0));
    less.revision = 1;
    less.completeness = Completeness::Incomplete;
    (less.input_tokens, less.output_tokens, less.token_count) = (None, None, None);
    (less.tool_calls, less.retries) = (None, None);
    *less.context = Default::default();
    store.append(std::slice::from_ref(&less)).await.unwrap();
    assert_eq!(store.recent(&key, at(0), 100).await.unwrap()[0], less);
}

/// Scenario: a process that remembers nothing gets corrections, redeliveries and retractions of what another wrote.
/// Guarantees: higher revisions replace, even where they move in time; equal and lower ones change nothing; each
/// execution counts once.
#[tokio::test]
async fn a_new_process_knows_the_old_revisions() {
    let mut world = World::new().await;
    let key = agent("a");
    let revision = |id: &str, revision: u32, second: i64| {
        let mut record = vitals(&key, id, at(second));
        record.revision = revision;
        record.token_count = Some(u64::from(revision));
        record
    };
    let store = world.store().vitals();
    let first: Vec<Vitals> = ["same", "moved", "redelivered", "gone"]
        .iter()
        .map(|id| revision(id, 3, 10))
        .collect();
    store.append(&first).await.unwrap();

    world.restart().await;
    let store = world.store().vitals();
    for lower in [0, 2, 3] {
        store.append(&[revision("redelivered", lower, 10)]).await.unwrap();
    }
    // The same execution as it was when it was reported first, with an earlier end.
    store.append(&[revision("redelivered", 2, 5)]).await.unwrap();
    store
        .append(&[revision("same", 4, 10), revision("moved", 4, 60)])
        .await
        .unwrap();
    store.retract(&[(key.clone(), "gone".into())]).await.unwrap();

    let check = async |store: &dyn immune_store::VitalsStore| {
        let found = store.recent(&key, at(0), 100).await.unwrap();
        let found: Vec<(&str, u32)> = found
            .iter()
            .map(|record| (record.execution.as_str(), record.revision))
            .collect();
        assert_eq!(found, [("redelivered", 3), ("same", 4), ("moved", 4)]);
        assert_eq!(store.execution_count(&key).await.unwrap(), 3);
    };
    check(&*store).await;
    world.restart().await;
    let store = world.store().vitals();
    // Where it was before it moved, a lower revision finds that it has moved.
    store.append(&[revision("moved", 3, 10)]).await.unwrap();
    store.append(&[revision("moved", 0, 10)]).await.unwrap();
    check(&*store).await;
}

/// Scenario: a memory far too small, so that almost everything is forgotten at once.
/// Guarantees: the store answers what memory does not, and the result is the same.
#[tokio::test]
async fn a_small_memory_is_enough() {
    let server = immune_test_servers::Influx::shared().await;
    let world = World::on(&server.url(), server.user(), |config| {
        immune_store_influx::Config {
            remembered_max: 3,
            ..config
        }
    })
    .await;
    let store = world.store().vitals();
    let key = agent("a");
    for revision in [0, 2, 1, 2, 3] {
        let batch: Vec<Vitals> = (0..50)
            .map(|n| {
                let mut record = vitals(&key, &format!("e{n}"), at(n + i64::from(revision)));
                record.revision = revision;
                record
            })
            .collect();
        for part in batch.chunks(7) {
            store.append(part).await.unwrap();
        }
    }
    let found = store.recent(&key, at(0), 1_000).await.unwrap();
    assert_eq!(found.len(), 50);
    assert!(found.iter().all(|record| record.revision == 3));
    assert_eq!(store.execution_count(&key).await.unwrap(), 50);
}

/// Scenario: an agent whose clock tells whole seconds ends 2,000 executions in one of them; then half are corrected,
/// and some are taken back.
/// Guarantees: none overwrites another, and their order is that of their ids.
#[tokio::test]
async fn a_crowded_second_keeps_everyone() {
    let world = World::new().await;
    let store = world.store().vitals();
    let key = agent("coarse");
    let mut batch: Vec<Vitals> = (0..2_000)
        .map(|n| vitals(&key, &format!("e{n:04}"), at(7)))
        .collect();
    store.append(&batch).await.unwrap();
    assert_eq!(store.execution_count(&key).await.unwrap(), 2_000);
    let last = store.recent(&key, at(0), 3).await.unwrap();
    let ids: Vec<&str> = last.iter().map(|record| record.execution.as_str()).collect();
    assert_eq!(ids, ["e1997", "e1998", "e1999"]);
    for record in &mut batch[..1_000] {
        record.revision = 1;
        record.timestamp = record.timestamp.plus(Duration::from_secs(1));
    }
    store.append(&batch[..1_000]).await.unwrap();
    let gone: Vec<_> = (0..100)
        .map(|n| (key.clone(), ExecutionId::new(format!("e{n:04}"))))
        .collect();
    store.retract(&gone).await.unwrap();
    assert_eq!(store.execution_count(&key).await.unwrap(), 1_900);
    let latest = store.latest(&key).await.unwrap().unwrap();
    assert_eq!(latest.execution.as_str(), "e0999");
    let page = store.agents(&key.run, None, 10).await.unwrap();
    assert_eq!((page[0].executions, &page[0].latest), (1_900, &latest));
}

/// Scenario: 1,200 executions of one agent in one microsecond: more than it has places.
/// Guarantees: a thousand are stored; the others are refused by name, and no stored one is overwritten.
#[tokio::test]
async fn a_microsecond_has_a_thousand_places() {
    let world = World::new().await;
    let store = world.store().vitals();
    let key = agent("flood");
    let ended = Timestamp::from_micros(at(1).as_micros() + 1);
    let batch: Vec<Vitals> = (0..1_200)
        .map(|n| vitals(&key, &format!("e{n}"), ended))
        .collect();
    let refusal = store.append(&batch).await.unwrap_err();
    let why = std::error::Error::source(&refusal).unwrap().to_string();
    assert!(why.contains("no place left") && why.contains("199 more"), "{why}");
    assert_eq!(store.execution_count(&key).await.unwrap(), 1_000);
}

/// Scenario: telemetry that is late by a month, clocks that are ahead by one, tombstones and young records, in several
/// runs; some are retracted, then the sweeper comes.
/// Guarantees: agents are seen by the reception of what counts; exactly what was received before goes, is counted, and
/// leaves no point behind; what is left is untouched.
#[tokio::test]
async fn reception_decides_whatever_the_agents_clock_says() {
    let world = World::new().await;
    let store = world.store().vitals();
    let month = 30 * 86_400;
    let mut batch = Vec::new();
    for run in ["tests", "r'2"] {
        for (name, ended, received) in [
            ("late", -month, 1_000),
            ("ahead", month, 10),
            ("old", 5, 10),
            ("gone", 7, 10),
            ("gone-late", -month, 1_000),
            ("boundary", 990, 1_005),
            ("young", 1_010, 1_010),
        ] {
            let key = AgentKey::new(run, name);
            let mut record = vitals(&key, name, at(ended));
            record.received_at = at(received);
            batch.push(record.clone());
            // The same agent has another one that is young or old.
            let mut beside = vitals(&key, "beside", at(ended + 1));
            beside.received_at = at(if name == "old" { 2_000 } else { 20 });
            batch.push(beside);
        }
    }
    store.append(&batch).await.unwrap();
    let run = RunId::new("tests");
    let seen = async |second| store.agents_seen(&run, at(second)).await.unwrap();
    assert_eq!((seen(0).await, seen(1_000).await, seen(1_006).await), (7, 5, 2));
    let gone: Vec<_> = ["gone", "gone-late"]
        .iter()
        .map(|name| (agent(name), ExecutionId::new(*name)))
        .collect();
    store.retract(&gone).await.unwrap();
    assert_eq!((seen(0).await, seen(1_000).await), (7, 4));

    let other = RunId::new("r'2");
    // Of 14 records in each run those received at 1,000 or later stay: late, gone-late, boundary, young, and the one
    // beside old; two of one run were taken back, one of them received early.
    assert_eq!(store.purge(at(1_000)).await.unwrap(), 9 + 8);
    assert_eq!(store.purge(at(1_000)).await.unwrap(), 0);
    assert_eq!(store.total_executions(&run).await.unwrap(), 4);
    assert_eq!(store.total_executions(&other).await.unwrap(), 5);
    assert_eq!((seen(0).await, seen(1_000).await), (4, 4));
    let left = store.agents(&other, None, 10).await.unwrap();
    let left: Vec<(&str, &str)> = left
        .iter()
        .map(|s| (s.key.agent.as_str(), s.latest.execution.as_str()))
        .collect();
    assert_eq!(
        left,
        [
            ("boundary", "boundary"),
            ("gone-late", "gone-late"),
            ("late", "late"),
            ("old", "beside"),
            ("young", "young")
        ]
    );
    // What was removed may come again, as with any other store.
    store
        .append(&[vitals(&agent("old"), "old", at(5))])
        .await
        .unwrap();
    assert_eq!(store.execution_count(&agent("old")).await.unwrap(), 2);
}
