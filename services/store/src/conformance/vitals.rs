//! What a store of vitals must do.

use super::samples::{agent, at, vitals};
use crate::Stores;
use immune_domain::vitals::{Completeness, Context, RepeatedCall, Source, Vitals};
use immune_domain::{AgentKey, ExecutionId, RunId, Timestamp};

/// Ids of executions, in order.
fn ids(records: &[Vitals]) -> Vec<&str> {
    records.iter().map(|record| record.execution.as_str()).collect()
}

/// Scenario: nothing has been stored.
/// Guarantees: "nothing" is an answer, never an error.
pub async fn an_empty_store_says_so(stores: &Stores) {
    let (store, key) = (&stores.vitals, agent("nobody"));
    store.ping().await.unwrap();
    store.append(&[]).await.unwrap();
    assert_eq!(store.latest(&key).await.unwrap(), None);
    assert_eq!(store.recent(&key, Timestamp::EPOCH, 10).await.unwrap(), vec![]);
    assert_eq!(store.execution_count(&key).await.unwrap(), 0);
    assert_eq!(store.total_executions(&key.run).await.unwrap(), 0);
    assert_eq!(store.agents(&key.run, None, 10).await.unwrap(), vec![]);
    assert_eq!(store.agents_seen(&key.run, Timestamp::EPOCH).await.unwrap(), 0);
    assert_eq!(store.purge(at(0)).await.unwrap(), 0);
    store.retract(&[(key, ExecutionId::new("none"))]).await.unwrap();
}

/// Scenario: a record with every field set, and one with every optional field unknown.
/// Guarantees: each comes back as it was; unknown stays unknown and does not become 0.
pub async fn a_record_comes_back_as_it_was(stores: &Stores) {
    let key = agent("whole");
    let text = |word: &str| Some(word.to_owned());
    let mut full = vitals(&key, "full", at(10));
    full.revision = 7;
    full.received_at = at(12);
    full.latency_ms = 0.1 + 0.2;
    full.retries = Some(2);
    full.success = false;
    full.completeness = Completeness::Running;
    full.source = Source::Posted;
    full.context = Box::new(Context {
        agent_type: text("data"),
        agent_name: text("Data \"Q\" Agent"),
        framework: text("scope"),
        model: text("m"),
        conversation: text("c"),
        trace_id: text("0af7651916cd43dd8448eb211c80319c"),
        tools: vec!["search".into(), "ищи".into()],
        parts: vec!["inner".into()],
        mcp_servers: vec!["files".into()],
        error_type: text("_OTHER"),
        cost: Some(1.0 / 3.0),
        prompt_hash: text("abc"),
        workload: vec![("namespace.name".into(), "prod".into())],
        platform_infected: text("says so"),
        task_type: text("refund"),
        tools_offered: text("00f1"),
        repeated_call: Some(RepeatedCall {
            tool: "search".into(),
            times: 3,
        }),
    });
    let mut bare = vitals(&key, "bare", at(5));
    (bare.input_tokens, bare.output_tokens, bare.token_count) = (None, None, None);
    (bare.tool_calls, bare.retries) = (None, None);
    bare.completeness = Completeness::Incomplete;
    bare.context = Box::default();

    stores.vitals.append(&[full.clone(), bare.clone()]).await.unwrap();
    assert_eq!(
        stores.vitals.recent(&key, at(0), 10).await.unwrap(),
        vec![bare, full.clone()]
    );
    assert_eq!(stores.vitals.latest(&key).await.unwrap(), Some(full));
}

/// Scenario: an execution is reported again with an equal, a lower and a higher revision, also within one batch.
/// Guarantees: only the higher one replaces, and the execution counts once.
pub async fn a_higher_revision_replaces(stores: &Stores) {
    let key = agent("revised");
    let revision = |revision: u32, tokens: u64| {
        let mut record = vitals(&key, "e", at(1));
        (record.revision, record.token_count) = (revision, Some(tokens));
        record
    };
    let tokens = async || {
        stores
            .vitals
            .latest(&key)
            .await
            .unwrap()
            .unwrap()
            .token_count
            .unwrap()
    };

    stores.vitals.append(&[revision(1, 100)]).await.unwrap();
    stores
        .vitals
        .append(&[revision(1, 200), revision(0, 300)])
        .await
        .unwrap();
    assert_eq!(tokens().await, 100);
    stores
        .vitals
        .append(&[revision(3, 400), revision(2, 500)])
        .await
        .unwrap();
    assert_eq!(tokens().await, 400);
    assert_eq!(stores.vitals.execution_count(&key).await.unwrap(), 1);
    assert_eq!(stores.vitals.total_executions(&key.run).await.unwrap(), 1);
}

/// Scenario: a correction moves the end of an execution past another one.
/// Guarantees: the order follows, and no shadow stays behind.
pub async fn a_revision_may_move_in_time(stores: &Stores) {
    let key = agent("moved");
    let mut moved = vitals(&key, "a", at(1));
    stores
        .vitals
        .append(&[moved.clone(), vitals(&key, "b", at(2))])
        .await
        .unwrap();
    moved.revision = 1;
    moved.timestamp = at(3);
    stores.vitals.append(&[moved]).await.unwrap();
    assert_eq!(
        ids(&stores.vitals.recent(&key, at(0), 10).await.unwrap()),
        ["b", "a"]
    );
    assert_eq!(
        stores
            .vitals
            .latest(&key)
            .await
            .unwrap()
            .unwrap()
            .execution
            .as_str(),
        "a"
    );
}

/// Scenario: records arrive out of order, two of them of the same microsecond.
/// Guarantees: oldest first, `since` included, the limit keeps the latest, equal times follow the ids.
pub async fn recent_is_ordered_and_limited(stores: &Stores) {
    let key = agent("ordered");
    let batch = [("d", 4), ("b", 2), ("c2", 3), ("a", 1), ("c1", 3)];
    let batch: Vec<Vitals> = batch
        .iter()
        .map(|(id, second)| vitals(&key, id, at(*second)))
        .collect();
    stores.vitals.append(&batch).await.unwrap();
    assert_eq!(
        ids(&stores.vitals.recent(&key, at(2), 10).await.unwrap()),
        ["b", "c1", "c2", "d"]
    );
    assert_eq!(
        ids(&stores.vitals.recent(&key, at(0), 2).await.unwrap()),
        ["c2", "d"]
    );
    assert_eq!(
        ids(&stores.vitals.recent(&key, at(0), 3).await.unwrap()),
        ["c1", "c2", "d"]
    );
    assert_eq!(stores.vitals.recent(&key, at(0), 0).await.unwrap(), vec![]);
    assert_eq!(stores.vitals.recent(&key, at(5), 10).await.unwrap(), vec![]);
}

/// Scenario: telemetry of last month arrives after telemetry of today.
/// Guarantees: it is counted, lies in its own time, and is not the latest.
pub async fn late_data_keeps_its_own_time(stores: &Stores) {
    let key = agent("late");
    let month = 30 * 86_400;
    let mut late = vitals(&key, "late", at(-month));
    late.received_at = at(60);
    stores
        .vitals
        .append(&[vitals(&key, "today", at(0))])
        .await
        .unwrap();
    stores.vitals.append(&[late]).await.unwrap();
    assert_eq!(stores.vitals.execution_count(&key).await.unwrap(), 2);
    assert_eq!(
        ids(&stores.vitals.recent(&key, at(-10), 10).await.unwrap()),
        ["today"]
    );
    assert_eq!(
        ids(&stores.vitals.recent(&key, at(-month), 10).await.unwrap()),
        ["late", "today"]
    );
    assert_eq!(
        stores
            .vitals
            .latest(&key)
            .await
            .unwrap()
            .unwrap()
            .execution
            .as_str(),
        "today"
    );
    assert_eq!(stores.vitals.agents_seen(&key.run, at(30)).await.unwrap(), 1);
}

/// Scenario: the same execution id and the same agent name in several places.
/// Guarantees: runs and agents share nothing.
pub async fn runs_and_agents_are_apart(stores: &Stores) {
    let keys = [
        AgentKey::new("r1", "a"),
        AgentKey::new("r1", "b"),
        AgentKey::new("r2", "a"),
    ];
    for key in &keys {
        stores.vitals.append(&[vitals(key, "same", at(1))]).await.unwrap();
    }
    for key in &keys {
        assert_eq!(stores.vitals.execution_count(key).await.unwrap(), 1, "{key}");
        assert_eq!(stores.vitals.latest(key).await.unwrap().unwrap().key, *key);
    }
    assert_eq!(
        stores.vitals.total_executions(&RunId::new("r1")).await.unwrap(),
        2
    );
    stores
        .vitals
        .retract(&[(keys[0].clone(), ExecutionId::new("same"))])
        .await
        .unwrap();
    assert_eq!(stores.vitals.execution_count(&keys[1]).await.unwrap(), 1);
    assert_eq!(
        stores.vitals.total_executions(&RunId::new("r2")).await.unwrap(),
        1
    );
}

/// Scenario: executions turn out to be parts of others; the retraction comes twice and names unknown ones too.
/// Guarantees: they are gone from records, counts and the time last seen; an agent without a record is no agent.
pub async fn retraction_leaves_no_trace(stores: &Stores) {
    let (key, part) = (agent("outer"), agent("part"));
    let batch = [
        vitals(&key, "a", at(1)),
        vitals(&key, "b", at(100)),
        vitals(&part, "p", at(2)),
    ];
    stores.vitals.append(&batch).await.unwrap();
    let gone = [
        (key.clone(), "b".into()),
        (part.clone(), "p".into()),
        (key.clone(), ExecutionId::new("unknown")),
    ];
    for _ in 0..2 {
        stores.vitals.retract(&gone).await.unwrap();
        assert_eq!(
            stores
                .vitals
                .latest(&key)
                .await
                .unwrap()
                .unwrap()
                .execution
                .as_str(),
            "a"
        );
        assert_eq!(stores.vitals.execution_count(&key).await.unwrap(), 1);
        assert_eq!(stores.vitals.total_executions(&key.run).await.unwrap(), 1);
        assert_eq!(stores.vitals.agents_seen(&key.run, at(50)).await.unwrap(), 0);
        assert_eq!(stores.vitals.agents_seen(&key.run, at(1)).await.unwrap(), 1);
        let agents = stores.vitals.agents(&key.run, None, 10).await.unwrap();
        assert_eq!(
            agents.iter().map(|summary| &summary.key).collect::<Vec<_>>(),
            [&key]
        );
    }
}

/// Scenario: 25 agents with several records each, listed ten at a time.
/// Guarantees: every agent once, in the order of ids, with its count, its latest record and its first reception.
pub async fn agents_are_paged_in_order(stores: &Stores) {
    for n in (0..25).rev() {
        let key = agent(&format!("agent-{n:02}"));
        let batch: Vec<Vitals> = (0..=n % 3)
            .map(|e| vitals(&key, &format!("e{e}"), at(i64::from(n * 10 + e))))
            .collect();
        stores.vitals.append(&batch).await.unwrap();
    }
    stores
        .vitals
        .append(&[vitals(&AgentKey::new("other", "agent-99"), "e", at(1))])
        .await
        .unwrap();
    let (run, mut seen) = (RunId::new("tests"), Vec::new());
    loop {
        let after = seen
            .last()
            .map(|summary: &crate::vitals::AgentSummary| summary.key.agent.to_string());
        let page = stores.vitals.agents(&run, after.as_deref(), 10).await.unwrap();
        assert!(page.len() <= 10);
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen.len(), 25);
    for (n, summary) in (0..).zip(&seen) {
        assert_eq!(summary.key, agent(&format!("agent-{n:02}")));
        assert_eq!(summary.executions, (n % 3 + 1) as u64);
        assert_eq!(summary.latest.timestamp, at(n * 10 + n % 3));
        assert_eq!(summary.first_received_at, at(n * 10));
    }
}

/// Scenario: agents whose last record was received at different times.
/// Guarantees: those are counted that were received from at or after the time, whatever their own clock says.
pub async fn agents_are_seen_by_reception(stores: &Stores) {
    for n in 0..10 {
        let mut record = vitals(&agent(&format!("a{n}")), "e", at(1_000_000));
        record.received_at = at(n);
        stores.vitals.append(&[record]).await.unwrap();
    }
    let run = RunId::new("tests");
    assert_eq!(stores.vitals.agents_seen(&run, at(0)).await.unwrap(), 10);
    assert_eq!(stores.vitals.agents_seen(&run, at(7)).await.unwrap(), 3);
    assert_eq!(stores.vitals.agents_seen(&run, at(10)).await.unwrap(), 0);
}

/// Scenario: the sweeper removes what was received before a time.
/// Guarantees: exactly that is removed and counted; an agent that has nothing left is no agent.
pub async fn purging_goes_by_reception(stores: &Stores) {
    let (stays, goes) = (agent("stays"), agent("goes"));
    let mut future = vitals(&goes, "clock-ahead", at(500));
    future.received_at = at(1);
    let batch = [
        vitals(&stays, "old", at(2)),
        vitals(&stays, "new", at(10)),
        future,
    ];
    stores.vitals.append(&batch).await.unwrap();
    assert_eq!(stores.vitals.purge(at(10)).await.unwrap(), 2);
    assert_eq!(stores.vitals.purge(at(10)).await.unwrap(), 0);
    assert_eq!(
        ids(&stores.vitals.recent(&stays, at(0), 10).await.unwrap()),
        ["new"]
    );
    assert_eq!(stores.vitals.execution_count(&stays).await.unwrap(), 1);
    assert_eq!(stores.vitals.latest(&goes).await.unwrap(), None);
    assert_eq!(stores.vitals.total_executions(&stays.run).await.unwrap(), 1);
    assert_eq!(stores.vitals.agents(&stays.run, None, 10).await.unwrap().len(), 1);
}
