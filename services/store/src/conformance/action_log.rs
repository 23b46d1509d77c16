//! What an action log must do.

use super::at_once;
use super::samples::{agent, alongside, at, case, odd_ids, row};
use crate::Stores;
use crate::action_log::{Break, Link, LinkHash, LogFilter, LogRow, StoredRow, removed_up_to, verify};
use crate::cases::Opened;
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
    let (key, log) = (agent("a"), &stores.action_log);
    log.append(&[row(&key, "old", at(1)), row(&key, "young", at(5))])
        .await
        .unwrap();
    let last = log.recent(&key.run, None, 1).await.unwrap()[0].sequence;
    assert_eq!(log.purge(at(5), at(6)).await.unwrap(), 1);
    assert_eq!(log.purge(at(5), at(6)).await.unwrap(), 0);
    assert_eq!(log.recent(&key.run, None, 10).await.unwrap().len(), 1);
    // With the note of the first sweep, which is as old.
    assert_eq!(log.purge(at(9), at(9)).await.unwrap(), 2);
    log.append(&[row(&key, "new", at(10))]).await.unwrap();
    let rows = log.recent(&key.run, None, 10).await.unwrap();
    assert!(rows.len() == 1 && rows[0].sequence > last, "{rows:?}");
}

/// Scenario: rows of several runs are written in many ways and the oldest are swept, in between the log is verified.
/// Guarantees: the chain holds, from where it begins and from any link that was kept; what was swept is named; every
/// row of every run is in it, in one order.
pub async fn the_chain_holds(stores: &Stores) {
    let log = &*stores.action_log;
    let empty = verify(log, None, &[]).await.unwrap();
    assert_eq!((empty.rows, empty.last, empty.broken_at), (0, Link::ZERO, None));
    for n in 0..40 {
        let mut rows =
            vec![row(&AgentKey::new(format!("r{}", n % 3), "a"), "k", at(n)); 1 + (n as usize % 4)];
        rows[0].payload = json!({ "n": n, "float": n as f64 / 7.0, "\u{1f600}": "\u{0}", "big": u64::MAX, "ö": [-0.0, 1.0] });
        rows[0].at = at(n).plus(std::time::Duration::from_micros(7));
        log.append(&rows).await.unwrap();
    }
    let opened = case(&agent("b"), "chained", at(40));
    let beside = alongside(&opened, "case_opened");
    let opening = stores.cases.open_case(&opened, u32::MAX, &beside);
    assert_eq!(opening.await.unwrap(), Opened::New);
    let whole = verify(log, None, &[]).await.unwrap();
    assert_eq!((whole.rows, whole.unchained, whole.broken_at), (101, 0, None));

    let half = log.after(0, 50).await.unwrap();
    assert!(half.is_sorted_by(|a, b| a.sequence < b.sequence));
    let kept = Link {
        sequence: half[49].sequence,
        hash: half[49].hash.unwrap(),
    };
    let rest = verify(log, Some(kept), &[kept, whole.last]).await.unwrap();
    assert_eq!((rest.rows, rest.broken_at), (51, None));

    // The last row of a batch has the time of its first.
    assert_eq!(log.purge(at(20), at(50)).await.unwrap(), 50);
    let swept = verify(log, None, &[kept, whole.last, half_link(&half, 10)])
        .await
        .unwrap();
    assert_eq!((swept.rows, swept.start, swept.broken_at), (52, kept, None));
    assert_eq!(swept.too_old, [half_link(&half, 10)]);
    let note = log.after(whole.last.sequence, 10).await.unwrap();
    assert_eq!(removed_up_to(&note[0].row), Some(kept));
    assert_eq!(log.chain().await.unwrap().start, kept);
    assert_eq!(log.purge(at(100), at(100)).await.unwrap(), 52);
    let swept = verify(log, None, &[swept.last]).await.unwrap();
    assert_eq!((swept.rows, swept.broken_at), (1, None));

    // Against links that say otherwise.
    let last = swept.last;
    let other = Link {
        hash: LinkHash::ZERO,
        ..last
    };
    let broken = verify(log, None, &[other]).await.unwrap().broken_at;
    assert!(matches!(broken, Some(Break::Rewritten { .. })), "{broken:?}");
    let later = Link {
        sequence: last.sequence + 1,
        ..last
    };
    for (from, kept) in [(None, vec![later]), (Some(later), vec![])] {
        let broken = verify(log, from, &kept).await.unwrap().broken_at;
        assert!(matches!(broken, Some(Break::Truncated { .. })), "{broken:?}");
    }
}

fn half_link(rows: &[StoredRow], n: usize) -> Link {
    Link {
        sequence: rows[n].sequence,
        hash: rows[n].hash.unwrap(),
    }
}

/// Scenario: sixteen writers append rows and open cases at the same time, while somebody verifies.
/// Guarantees: the log is never found broken, and in the end every row is chained.
pub async fn many_writers_make_one_chain(stores: &Stores) {
    let results = at_once(16, |writer| {
        let stores = stores.clone();
        async move {
            for n in 0..6 {
                let key = agent(&format!("{writer}-{n}"));
                let opened = case(&key, &format!("c{writer}-{n}"), at(n));
                let beside = alongside(&opened, "case_opened");
                stores.cases.open_case(&opened, u32::MAX, &beside).await?;
                stores
                    .action_log
                    .append(&[row(&key, "x", at(n)), row(&key, "y", at(n))])
                    .await?;
                if writer % 8 == 0 {
                    let verdict = verify(&*stores.action_log, None, &[]).await?;
                    assert_eq!(verdict.broken_at, None, "{verdict:?}");
                }
            }
            crate::error::Result::Ok(())
        }
    })
    .await;
    results.into_iter().for_each(|result| result.unwrap());
    let verdict = verify(&*stores.action_log, None, &[]).await.unwrap();
    assert_eq!(
        (verdict.rows, verdict.unchained, verdict.broken_at),
        (288, 0, None)
    );
    let rows = stores
        .action_log
        .recent(&agent("a").run, None, 1_000)
        .await
        .unwrap();
    assert!(rows.len() == 288 && rows.iter().all(|stored| stored.hash.is_some()));
}

/// Scenario: rows that differ in each field, listed by each filter, alone and together.
/// Guarantees: exactly those that match come back, newest first, in pages; texts are found as they were written, and
/// what looks like a pattern is none.
pub async fn listing_filters(stores: &Stores) {
    let (key, log) = (agent("a"), &stores.action_log);
    let mut rows: Vec<LogRow> = (0..6).map(|n| row(&key, &format!("kind_{n}"), at(n))).collect();
    rows[1].actor = "ada".to_owned();
    rows[2].outcome = "refused".to_owned();
    rows[3].agent = None;
    rows[4].payload = json!({ "reason": "say \"100%\" to Ada\\o/" });
    rows[5].agent = Some("it's_b".into());
    for row in &rows {
        log.append(std::slice::from_ref(row)).await.unwrap();
    }
    log.append(&[row(&AgentKey::new("other", "a"), "kind_0", at(0))])
        .await
        .unwrap();
    let found = async |filter: LogFilter| -> Vec<usize> {
        let found = log.list(&key.run, &filter).await.unwrap();
        found
            .iter()
            .map(|stored| rows.iter().position(|row| *row == stored.row).unwrap())
            .collect()
    };
    let text = |text: &str| LogFilter {
        text: Some(text.to_owned()),
        ..LogFilter::default()
    };
    assert_eq!(found(LogFilter::default()).await, [5, 4, 3, 2, 1, 0]);
    let by = |actor: &str| Some(actor.to_owned());
    assert_eq!(
        found(LogFilter {
            actor: by("ada"),
            ..LogFilter::default()
        })
        .await,
        [1]
    );
    let kinds = vec!["kind_0".to_owned(), "kind_3".to_owned(), "none".to_owned()];
    assert_eq!(
        found(LogFilter {
            kinds,
            ..LogFilter::default()
        })
        .await,
        [3, 0]
    );
    assert_eq!(
        found(LogFilter {
            agent: Some("it's_b".into()),
            ..LogFilter::default()
        })
        .await,
        [5]
    );
    assert_eq!(
        found(LogFilter {
            outcome: by("refused"),
            ..LogFilter::default()
        })
        .await,
        [2]
    );
    let times = LogFilter {
        from: Some(at(2)),
        to: Some(at(4)),
        ..LogFilter::default()
    };
    assert_eq!(found(times).await, [3, 2]);
    assert_eq!(
        found(LogFilter {
            limit: 2,
            ..text("KIND_")
        })
        .await,
        [5, 4]
    );
    assert_eq!(found(text("aDa")).await, [4, 1]);
    assert_eq!(found(text("it's_")).await, [5]);
    assert_eq!(found(text("\"100%\"")).await, [4]);
    assert_eq!(found(text("\\o/")).await, [4]);
    for none in ["k_nd", "%", "say%ada", "\\"] {
        let expected = if none == "%" || none == "\\" {
            vec![4]
        } else {
            vec![]
        };
        assert_eq!(found(text(none)).await, expected, "{none}");
    }
    let both = LogFilter {
        outcome: by("done"),
        before: Some(log.recent(&key.run, None, 3).await.unwrap()[2].sequence),
        ..text("kind")
    };
    assert_eq!(
        found(both).await,
        [2, 1, 0].iter().copied().filter(|n| *n != 2).collect::<Vec<_>>()
    );
}
