//! What a store of vitals must do for charts and lists: answer about many records, or many agents, at once.

use super::samples::{agent, at, odd_ids, vitals};
use crate::Stores;
use crate::series::{Bucket, Words, sum_up};
use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, AgentKey, RunId, Timestamp};
use std::time::Duration;

fn ids(names: &[&str]) -> Vec<AgentId> {
    names.iter().map(|name| AgentId::new(*name)).collect()
}

/// Scenario: some agents are asked for by name, in no order, one of them twice, one without records, one of a run of
/// its own; then all agents with odd names.
/// Guarantees: those that have records, once each, in the order of ids, as the list of all agents has them.
pub async fn some_agents_are_summed_up_at_once(stores: &Stores) {
    let run = RunId::new("tests");
    for (name, count) in [("a", 3), ("b", 1), ("c", 2)] {
        let batch: Vec<Vitals> = (0..count)
            .map(|n| vitals(&agent(name), &format!("e{n}"), at(n)))
            .collect();
        stores.vitals.append(&batch).await.unwrap();
    }
    let elsewhere = AgentKey::new("other", "z");
    stores
        .vitals
        .append(&[vitals(&elsewhere, "e", at(1))])
        .await
        .unwrap();
    let wanted = ids(&["c", "nobody", "a", "c", "z"]);
    let found = stores.vitals.summaries(&run, &wanted).await.unwrap();
    let mut all = stores.vitals.agents(&run, None, 10).await.unwrap();
    all.retain(|summary| summary.key.agent.as_str() != "b");
    assert_eq!(found, all);
    assert_eq!(found.len(), 2);
    assert_eq!(stores.vitals.summaries(&run, &[]).await.unwrap(), vec![]);
    for id in odd_ids() {
        let record = vitals(&AgentKey::new("odd", id.as_str()), "e", at(1));
        stores.vitals.append(&[record]).await.unwrap();
    }
    let odd: Vec<AgentId> = odd_ids().into_iter().map(AgentId::from).collect();
    let run = RunId::new("odd");
    let found = stores.vitals.summaries(&run, &odd).await.unwrap();
    assert_eq!(found, stores.vitals.agents(&run, None, 100).await.unwrap());
    assert_eq!(found.len(), odd.len());
}

/// Scenario: agents with many, few and no records; two executions end in one microsecond; one is corrected.
/// Guarantees: the latest of each, oldest first, at most as many as asked for, in the order of ids.
pub async fn latencies_of_many_agents_come_at_once(stores: &Stores) {
    let run = RunId::new("tests");
    let with_latency = |name: &str, execution: &str, second: i64, latency: f64| {
        let mut record = vitals(&agent(name), execution, at(second));
        record.latency_ms = latency;
        record
    };
    let batch: Vec<Vitals> = (0..40)
        .map(|n| with_latency("many", &format!("e{n:02}"), n, n as f64))
        .chain([
            with_latency("few", "b", 1, 20.5),
            with_latency("few", "a", 1, 10.5),
        ])
        .collect();
    stores.vitals.append(&batch).await.unwrap();
    let mut corrected = with_latency("few", "b", 1, 30.5);
    corrected.revision = 1;
    stores.vitals.append(&[corrected]).await.unwrap();
    let wanted = ids(&["many", "few", "nobody", "few"]);
    let found = stores.vitals.recent_latencies(&run, &wanted, 30).await.unwrap();
    let shown: Vec<&str> = found.iter().map(|found| found.agent.as_str()).collect();
    assert_eq!(shown, ["few", "many"]);
    assert_eq!(found[0].points, [(at(1), 10.5), (at(1), 30.5)]);
    let expected: Vec<(Timestamp, f64)> = (10..40).map(|n| (at(n), n as f64)).collect();
    assert_eq!(found[1].points, expected);
    assert_eq!(
        stores.vitals.recent_latencies(&run, &[], 30).await.unwrap(),
        vec![]
    );
}

/// Scenario: a stretch of time is asked for, then one of which only the latest records are wanted, then one that
/// ends before it begins.
/// Guarantees: the beginning is part of it, the end is not; oldest first; the limit keeps the latest.
pub async fn a_stretch_of_time_is_read(stores: &Stores) {
    let key = agent("stretch");
    let batch: Vec<Vitals> = (0..6).map(|n| vitals(&key, &format!("e{n}"), at(n))).collect();
    stores.vitals.append(&batch).await.unwrap();
    let read = async |from: i64, to: i64, limit: u32| {
        let found = stores
            .vitals
            .between(&key, at(from), at(to), limit)
            .await
            .unwrap();
        found
            .iter()
            .map(|record| record.execution.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(read(1, 4, 10).await, ["e1", "e2", "e3"]);
    assert_eq!(read(1, 4, 2).await, ["e2", "e3"]);
    assert_eq!(read(-5, 100, 10).await.len(), 6);
    assert_eq!(read(1, 4, 0).await, Vec::<String>::new());
    assert_eq!(read(4, 1, 10).await, Vec::<String>::new());
}

/// Scenario: executions of three steps of a minute, one step between them empty: some fail, some numbers are unknown,
/// one is no number, the model changes within a step; others lie before and after.
/// Guarantees: each step has its count, the means of what is known, its sums and its words; what is unknown in all
/// of a step is unknown in its sum.
pub async fn a_stretch_of_time_is_summed_up(stores: &Stores) {
    let key = agent("summed");
    let record = |execution: &str, second: i64, latency: f64, tokens: Option<u64>| {
        let mut record = vitals(&key, execution, at(second));
        (record.latency_ms, record.token_count) = (latency, tokens);
        record
    };
    let mut batch = vec![
        record("before", -1, 1.0, Some(1)),
        record("a", 0, 100.0, Some(10)),
        record("b", 59, 300.0, None),
        record("c", 60, 50.0, None),
        record("d", 180, f64::NAN, Some(u64::MAX)),
        record("e", 200, 500.0, Some(7)),
        record("after", 240, 1.0, Some(1)),
    ];
    (batch[1].tool_calls, batch[1].retries, batch[1].success) = (None, Some(2), false);
    (batch[2].tool_calls, batch[2].retries) = (Some(4), Some(3));
    batch[3].tool_calls = None;
    batch[5].context.model = Some("model-2".into());
    batch[5].context.prompt_hash = Some("p".into());
    batch[4].context.prompt_hash = None;
    batch[3].context.model = None;
    stores.vitals.append(&batch).await.unwrap();
    let width = Duration::from_secs(60);
    let found = stores.vitals.buckets(&key, at(0), at(240), width).await.unwrap();
    assert!(!found.is_truncated);
    let words = |low: &str, high: &str| Words::of(Some(low.to_owned()), Some(high.to_owned()));
    let bucket = |second: i64, count: u64, latency: f64| Bucket {
        start: at(second),
        count,
        latency_ms: Some(latency),
        tokens: None,
        tools: None,
        retries: None,
        failures: 0,
        models: words("model-1", "model-1"),
        prompts: None,
    };
    let expected = vec![
        Bucket {
            tokens: Some(10.0),
            tools: Some(4.0),
            retries: Some(5),
            failures: 1,
            ..bucket(0, 2, 200.0)
        },
        Bucket {
            models: None,
            ..bucket(60, 1, 50.0)
        },
        Bucket {
            tokens: Some(7.0),
            tools: Some(3.0),
            models: words("model-1", "model-2"),
            prompts: words("p", "p"),
            ..bucket(180, 2, 500.0)
        },
    ];
    assert_eq!(found.buckets, expected);
    assert_eq!(sum_up(&batch[1..6], at(0), width), expected, "summed up by hand");
    let none = stores.vitals.buckets(&key, at(240), at(0), width).await.unwrap();
    assert_eq!(none.buckets, vec![]);
}
