//! What a store of vitals must do with odd ids, extreme numbers, large batches and many writers.

use super::at_once;
use super::samples::{agent, at, odd_ids, vitals};
use crate::Stores;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, ExecutionId, RunId, Timestamp};

/// Scenario: runs, agents and executions are named with quotes, slashes, scripts, wildcards and 512 bytes.
/// Guarantees: each id is itself and no other; agents come in the order of their bytes.
pub async fn odd_ids_come_back(stores: &Stores) {
    for id in odd_ids() {
        let record = vitals(&AgentKey::new(id.as_str(), id.as_str()), &id, at(1));
        stores.vitals.append(std::slice::from_ref(&record)).await.unwrap();
        stores
            .vitals
            .append(&[vitals(&agent(&id), "e", at(2))])
            .await
            .unwrap();
        assert_eq!(
            stores.vitals.latest(&record.key).await.unwrap(),
            Some(record.clone())
        );
        assert_eq!(
            stores.vitals.total_executions(&record.key.run).await.unwrap(),
            1,
            "{id}"
        );
    }
    let agents = stores
        .vitals
        .agents(&RunId::new("tests"), None, 1_000)
        .await
        .unwrap();
    let mut expected = odd_ids();
    expected.sort();
    assert_eq!(
        agents
            .iter()
            .map(|summary| summary.key.agent.as_str())
            .collect::<Vec<_>>(),
        expected
    );
    for id in odd_ids() {
        stores
            .vitals
            .retract(&[(
                AgentKey::new(id.as_str(), id.as_str()),
                ExecutionId::new(id.as_str()),
            )])
            .await
            .unwrap();
        assert_eq!(stores.vitals.total_executions(&RunId::new(id)).await.unwrap(), 0);
    }
}

/// Scenario: the largest and smallest numbers that the types can hold.
/// Guarantees: none is cut, rounded or wrapped, and times still order.
pub async fn extreme_numbers_come_back(stores: &Stores) {
    let key = agent("extreme");
    let mut low = vitals(&key, "low", Timestamp::from_micros(i64::MIN));
    (low.started_at, low.received_at) = (low.timestamp, low.timestamp);
    low.latency_ms = f64::MIN_POSITIVE;
    (low.token_count, low.tool_calls) = (Some(0), Some(0));
    let mut high = vitals(&key, "high", Timestamp::from_micros(i64::MAX));
    high.started_at = high.timestamp;
    high.revision = u32::MAX;
    high.latency_ms = f64::MAX;
    high.token_count = Some(u64::MAX);
    (high.input_tokens, high.output_tokens) = (Some(i64::MAX as u64), Some(i64::MAX as u64 + 1));
    (high.tool_calls, high.retries) = (Some(u32::MAX), Some(u32::MAX));
    stores.vitals.append(&[high.clone(), low.clone()]).await.unwrap();
    let all = stores
        .vitals
        .recent(&key, Timestamp::from_micros(i64::MIN), 10)
        .await
        .unwrap();
    assert_eq!(all, vec![low, high.clone()]);
    assert_eq!(
        stores.vitals.recent(&key, high.timestamp, 10).await.unwrap(),
        vec![high]
    );
    assert_eq!(
        stores
            .vitals
            .purge(Timestamp::from_micros(i64::MIN))
            .await
            .unwrap(),
        0
    );
}

/// Scenario: one batch of 5,000 records of 500 agents.
/// Guarantees: it is stored whole, whatever the backend's limits per statement are.
pub async fn a_large_batch_is_counted(stores: &Stores) {
    let batch: Vec<Vitals> = (0..5_000)
        .map(|n| vitals(&agent(&format!("a{}", n % 500)), &format!("e{n}"), at(n)))
        .collect();
    stores.vitals.append(&batch).await.unwrap();
    let run = RunId::new("tests");
    assert_eq!(stores.vitals.total_executions(&run).await.unwrap(), 5_000);
    assert_eq!(stores.vitals.agents(&run, None, 1_000).await.unwrap().len(), 500);
    assert_eq!(stores.vitals.execution_count(&agent("a7")).await.unwrap(), 10);
    let parts: Vec<_> = batch
        .iter()
        .step_by(2)
        .map(|v| (v.key.clone(), v.execution.clone()))
        .collect();
    stores.vitals.retract(&parts).await.unwrap();
    assert_eq!(stores.vitals.total_executions(&run).await.unwrap(), 2_500);
    assert_eq!(stores.vitals.purge(at(2_500)).await.unwrap(), 1_250);
    assert_eq!(stores.vitals.total_executions(&run).await.unwrap(), 1_250);
}

/// Scenario: a record whose context holds a megabyte.
/// Guarantees: it comes back whole.
pub async fn a_large_context_comes_back(stores: &Stores) {
    let mut record = vitals(&agent("large"), "e", at(1));
    record.context.tools = (0..32)
        .map(|n| format!("{n}-{}", "ß\"\\\n".repeat(6_000)))
        .collect();
    stores.vitals.append(std::slice::from_ref(&record)).await.unwrap();
    assert_eq!(stores.vitals.latest(&record.key).await.unwrap(), Some(record));
}

/// Scenario: sixteen senders deliver the same 200 executions at the same time, each with a revision of its own.
/// Guarantees: each execution counts once and has the highest revision.
pub async fn redelivery_at_once_counts_once(stores: &Stores) {
    let results = at_once(16, |sender| {
        let store = stores.vitals.clone();
        async move {
            let record = |n: u32| {
                let mut record = vitals(
                    &agent(&format!("a{}", n % 10)),
                    &format!("e{n}"),
                    at(i64::from(n)),
                );
                record.revision = sender as u32;
                record
            };
            let mut batch: Vec<Vitals> = (0..200).map(record).collect();
            batch.rotate_left(sender * 12);
            for part in batch.chunks(50) {
                store.append(part).await?;
            }
            crate::error::Result::Ok(())
        }
    })
    .await;
    results.into_iter().for_each(|result| result.unwrap());
    assert_eq!(
        stores
            .vitals
            .total_executions(&RunId::new("tests"))
            .await
            .unwrap(),
        200
    );
    for n in 0..10 {
        let records = stores
            .vitals
            .recent(&agent(&format!("a{n}")), at(0), 1_000)
            .await
            .unwrap();
        assert_eq!(records.len(), 20);
        assert!(records.iter().all(|record| record.revision == 15), "{records:?}");
        assert_eq!(
            stores
                .vitals
                .execution_count(&agent(&format!("a{n}")))
                .await
                .unwrap(),
            20
        );
    }
}
