//! What a store of posted records must do.

use super::at_once;
use super::samples::{agent, approval, at, odd_ids};
use crate::Stores;
use crate::client_records::{ClientRecord, RecordKind};
use immune_domain::{AgentId, AgentKey, RunId};
use serde_json::{Value, json};

const KINDS: [RecordKind; 6] = [
    RecordKind::Baseline,
    RecordKind::Infection,
    RecordKind::Quarantine,
    RecordKind::Approval,
    RecordKind::Healing,
    RecordKind::Feedback,
];

fn note(key: &AgentKey, kind: RecordKind, second: i64, body: Value) -> ClientRecord {
    ClientRecord {
        key: key.clone(),
        kind,
        at: at(second),
        body,
    }
}

/// Scenario: bodies with unknown fields, deep nesting, awkward texts, extreme numbers and a megabyte.
/// Guarantees: each comes back as it was sent.
pub async fn bodies_come_back_whole(stores: &Stores) {
    for id in odd_ids() {
        let mut nested = json!({ "id": id });
        for _ in 0..60 {
            nested = json!([nested]);
        }
        let body = json!({
            "unknown": nested, "null": null, "max": u64::MAX, "min": i64::MIN, "third": 1.0 / 3.0,
            "tiny": f64::MIN_POSITIVE, "empty": {}, "text": "\u{0}\u{7f}\"\\ß".repeat(20_000),
        });
        let key = AgentKey::new(id.as_str(), id.as_str());
        for kind in KINDS {
            let record = note(&key, kind, 1, body.clone());
            stores.client_records.append(&record).await.unwrap();
            assert_eq!(
                stores.client_records.latest(&key, kind).await.unwrap(),
                Some(record)
            );
        }
    }
    assert_eq!(
        stores
            .client_records
            .latest(&agent("nobody"), RecordKind::Healing)
            .await
            .unwrap(),
        None
    );
}

/// Scenario: a record with an earlier time is appended after one with a later time.
/// Guarantees: the latest is the one appended last: clocks of servers differ, the order of appending does not.
pub async fn the_latest_is_the_last_appended(stores: &Stores) {
    let key = agent("a");
    stores
        .client_records
        .append(&approval(&key, "pending", at(10)))
        .await
        .unwrap();
    stores
        .client_records
        .append(&approval(&key, "approved", at(5)))
        .await
        .unwrap();
    let approved = approval(&key, "approved", at(5));
    let latest = stores
        .client_records
        .latest(&key, RecordKind::Approval)
        .await
        .unwrap();
    assert_eq!(latest, Some(approved.clone()));
    let per_agent = stores
        .client_records
        .latest_per_agent(&key.run, RecordKind::Approval, 10)
        .await
        .unwrap();
    assert_eq!(per_agent, vec![approved]);
}

/// Scenario: records of several kinds, agents and runs.
/// Guarantees: counts and latest records keep them apart, agents in order and within the limit.
pub async fn kinds_runs_and_agents_are_apart(stores: &Stores) {
    for (run, name) in [("r1", "c"), ("r1", "a"), ("r1", "b"), ("r1", "a"), ("r2", "a")] {
        let key = AgentKey::new(run, name);
        stores
            .client_records
            .append(&note(&key, RecordKind::Infection, 1, json!({ "run": run })))
            .await
            .unwrap();
    }
    let key = AgentKey::new("r1", "z");
    stores
        .client_records
        .append(&note(&key, RecordKind::Healing, 1, json!({})))
        .await
        .unwrap();
    let (store, run, kind) = (&stores.client_records, RunId::new("r1"), RecordKind::Infection);
    assert_eq!(store.count(&run, kind).await.unwrap(), 4);
    assert_eq!(store.count_agents(&run, kind).await.unwrap(), 3);
    assert_eq!(store.count(&RunId::new("r2"), kind).await.unwrap(), 1);
    assert_eq!(store.count(&run, RecordKind::Feedback).await.unwrap(), 0);
    let latest = store.latest_per_agent(&run, kind, 10).await.unwrap();
    assert_eq!(
        latest
            .iter()
            .map(|record| record.key.agent.as_str())
            .collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    assert_eq!(store.latest_per_agent(&run, kind, 2).await.unwrap(), latest[..2]);
}

/// Scenario: records of two agents in turn.
/// Guarantees: newest first, of the run or of one agent, within the limit.
pub async fn listing_is_newest_first(stores: &Stores) {
    for n in 0..10 {
        let key = agent(if n % 2 == 0 { "even" } else { "odd" });
        stores
            .client_records
            .append(&note(&key, RecordKind::Healing, n, json!({ "n": n })))
            .await
            .unwrap();
    }
    let run = agent("any").run;
    let list = async |name: Option<&str>, limit| {
        let name = name.map(AgentId::from);
        let records = stores
            .client_records
            .list(&run, name.as_ref(), RecordKind::Healing, limit)
            .await
            .unwrap();
        records
            .iter()
            .map(|record| record.body["n"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(None, 4).await, [9, 8, 7, 6]);
    assert_eq!(list(Some("even"), 10).await, [8, 6, 4, 2, 0]);
    assert_eq!(list(Some("nobody"), 10).await, [] as [i64; 0]);
}

/// Scenario: a decision follows nothing, a pending request, another decision, and a record without the field.
/// Guarantees: it is stored only after what it may follow.
pub async fn a_decision_needs_the_right_predecessor(stores: &Stores) {
    let key = agent("a");
    let decide = async |decision: &str, allowed: &[&str]| {
        let record = approval(&key, decision, at(2));
        stores
            .client_records
            .append_if_latest(&record, "decision", allowed)
            .await
            .unwrap()
    };
    assert!(!decide("approved", &["pending"]).await);
    stores
        .client_records
        .append(&approval(&key, "pending", at(1)))
        .await
        .unwrap();
    assert!(!decide("approved", &[]).await);
    assert!(!decide("heal_now", &["rejected"]).await);
    assert!(decide("rejected", &["approved", "pending"]).await);
    assert!(!decide("approved", &["pending"]).await);
    assert!(decide("heal_now", &["rejected"]).await);
    stores
        .client_records
        .append(&note(&key, RecordKind::Approval, 3, json!({ "decision": 1 })))
        .await
        .unwrap();
    assert!(!decide("approved", &["1", "pending"]).await);
    assert_eq!(
        stores
            .client_records
            .count(&key.run, RecordKind::Approval)
            .await
            .unwrap(),
        4
    );
}

/// Scenario: sixteen people decide on one pending request at the same time.
/// Guarantees: exactly one decision is stored.
pub async fn many_decisions_have_one_winner(stores: &Stores) {
    let key = agent("a");
    stores
        .client_records
        .append(&approval(&key, "pending", at(1)))
        .await
        .unwrap();
    let answers = at_once(16, |n| {
        let decision = if n % 2 == 0 { "approved" } else { "rejected" };
        let (store, record) = (
            stores.client_records.clone(),
            approval(&key, decision, at(n as i64)),
        );
        async move {
            store
                .append_if_latest(&record, "decision", &["pending"])
                .await
                .unwrap()
        }
    })
    .await;
    assert_eq!(answers.iter().filter(|won| **won).count(), 1);
    assert_eq!(
        stores
            .client_records
            .count(&key.run, RecordKind::Approval)
            .await
            .unwrap(),
        2
    );
}

/// Scenario: runs are registered, twice, and become known from records.
/// Guarantees: each is listed once with the time it was first known, newest first.
pub async fn runs_are_known_from_both(stores: &Stores) {
    let store = &stores.client_records;
    store.register_run(&"registered".into(), at(5)).await.unwrap();
    store.register_run(&"registered".into(), at(9)).await.unwrap();
    store
        .append(&approval(&AgentKey::new("from-record", "a"), "pending", at(7)))
        .await
        .unwrap();
    store
        .append(&approval(&AgentKey::new("from-record", "b"), "pending", at(8)))
        .await
        .unwrap();
    store.register_run(&"from-record".into(), at(10)).await.unwrap();
    let runs = store.runs(10).await.unwrap();
    assert_eq!(
        runs,
        [("from-record".into(), at(7)), ("registered".into(), at(5))]
    );
    assert_eq!(store.runs(1).await.unwrap().len(), 1);
}

/// Scenario: old records and an old, empty run meet the sweeper.
/// Guarantees: exactly those go; an agent whose records are gone has no latest one.
pub async fn purging_goes_by_reception(stores: &Stores) {
    let (store, gone, stays) = (&stores.client_records, agent("gone"), agent("stays"));
    store.register_run(&"empty".into(), at(1)).await.unwrap();
    store.append(&approval(&gone, "pending", at(1))).await.unwrap();
    store.append(&approval(&stays, "pending", at(2))).await.unwrap();
    store.append(&approval(&stays, "approved", at(9))).await.unwrap();
    assert_eq!(store.purge(at(9)).await.unwrap(), 2);
    assert_eq!(store.purge(at(9)).await.unwrap(), 0);
    assert_eq!(store.latest(&gone, RecordKind::Approval).await.unwrap(), None);
    assert_eq!(
        store.count_agents(&gone.run, RecordKind::Approval).await.unwrap(),
        1
    );
    let latest = store
        .latest_per_agent(&gone.run, RecordKind::Approval, 10)
        .await
        .unwrap();
    assert_eq!(latest, vec![approval(&stays, "approved", at(9))]);
    assert_eq!(store.runs(10).await.unwrap(), [(gone.run, at(1))]);
}
