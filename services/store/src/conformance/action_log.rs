//! What an action log must do.

use super::at_once;
use super::samples::{agent, at, odd_ids, row};
use crate::Stores;
use crate::action_log::LogRow;
use immune_domain::{AgentKey, RunId};
use serde_json::json;
use std::collections::HashSet;

/// Scenario: rows are appended in batches, one of them about no agent, and read in pages.
/// Guarantees: newest first, whole, and pages meet without a gap or an overlap.
pub async fn rows_come_back_newest_first(stores: &Stores) {
    let mut rows: Vec<LogRow> = (0..25)
        .map(|n| row(&agent("a"), &format!("kind-{n}"), at(n)))
        .collect();
    rows[3].agent = None;
    rows[4].payload = json!({ "text": "\"ß\\\n".repeat(50_000), "n": u64::MAX, "null": null });
    for (n, id) in odd_ids().into_iter().take(20).enumerate() {
        (rows[n + 5].actor, rows[n + 5].kind) = (id.clone(), id);
    }
    for batch in rows.chunks(6) {
        stores.action_log.append(batch).await.unwrap();
    }
    stores.action_log.append(&[]).await.unwrap();
    let (run, mut seen) = (agent("a").run, Vec::new());
    let mut before = None;
    loop {
        let page = stores.action_log.recent(&run, before, 7).await.unwrap();
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        before = Some(last.sequence);
        seen.extend(page);
    }
    assert!(seen.is_sorted_by(|a, b| a.sequence > b.sequence));
    rows.reverse();
    assert_eq!(
        seen.into_iter().map(|stored| stored.row).collect::<Vec<_>>(),
        rows
    );
}

/// Scenario: rows of two runs in turn.
/// Guarantees: each run sees its own.
pub async fn runs_are_apart(stores: &Stores) {
    for n in 0..6 {
        let key = AgentKey::new(format!("r{}", n % 2), "a");
        stores
            .action_log
            .append(&[row(&key, &format!("k{n}"), at(n))])
            .await
            .unwrap();
    }
    let rows = stores
        .action_log
        .recent(&RunId::new("r0"), None, 10)
        .await
        .unwrap();
    assert_eq!(
        rows.iter()
            .map(|stored| stored.row.kind.as_str())
            .collect::<Vec<_>>(),
        ["k4", "k2", "k0"]
    );
    assert_eq!(
        stores
            .action_log
            .recent(&RunId::new("none"), None, 10)
            .await
            .unwrap(),
        vec![]
    );
}

/// Scenario: sixteen writers append ten rows each at the same time.
/// Guarantees: no row is lost and no place is used twice.
pub async fn many_writers_lose_no_row(stores: &Stores) {
    let results = at_once(16, |writer| {
        let log = stores.action_log.clone();
        async move {
            for n in 0..10 {
                log.append(&[row(&agent("a"), &format!("{writer}-{n}"), at(n))])
                    .await?;
            }
            crate::error::Result::Ok(())
        }
    })
    .await;
    results.into_iter().for_each(|result| result.unwrap());
    let rows = stores
        .action_log
        .recent(&agent("a").run, None, 1_000)
        .await
        .unwrap();
    assert_eq!(
        rows.iter()
            .map(|stored| stored.sequence)
            .collect::<HashSet<_>>()
            .len(),
        160
    );
    assert_eq!(
        rows.iter()
            .map(|stored| &stored.row.kind)
            .collect::<HashSet<_>>()
            .len(),
        160
    );
}

/// Scenario: the sweeper removes old rows, then a new one comes.
/// Guarantees: exactly the old ones go, and no place is used again.
pub async fn purged_rows_leave_their_places(stores: &Stores) {
    let key = agent("a");
    stores
        .action_log
        .append(&[row(&key, "old", at(1)), row(&key, "young", at(5))])
        .await
        .unwrap();
    let last = stores.action_log.recent(&key.run, None, 1).await.unwrap()[0].sequence;
    assert_eq!(stores.action_log.purge(at(5)).await.unwrap(), 1);
    assert_eq!(stores.action_log.purge(at(9)).await.unwrap(), 1);
    stores
        .action_log
        .append(&[row(&key, "new", at(10))])
        .await
        .unwrap();
    let rows = stores.action_log.recent(&key.run, None, 10).await.unwrap();
    assert!(rows.len() == 1 && rows[0].sequence > last, "{rows:?}");
}
