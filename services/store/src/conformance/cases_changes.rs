//! What a store of cases must do when cases change, and how their events come out.

use super::at_once;
use super::samples::{agent, alongside, at, case, changed, infection, odd_ids, released};
use crate::Stores;
use crate::cases::{Alongside, Opened, Saved};
use immune_domain::case::{Case, Entry, State};
use immune_domain::healing::Trigger;
use immune_domain::{AgentKey, Timestamp};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

async fn opened(stores: &Stores, name: &str) -> Case {
    let case = case(&agent(name), name, at(1));
    assert_eq!(
        stores
            .cases
            .open_case(&case, u32::MAX, &Alongside::default())
            .await
            .unwrap(),
        Opened::New
    );
    case
}

fn queued(case: &Case) -> Case {
    changed(
        case,
        State::HealQueued {
            trigger: Trigger::AfterApproval,
            not_before: at(2),
        },
        at(2),
    )
}

/// Scenario: sixteen people decide on the same version at the same time.
/// Guarantees: exactly one wins, all others get the winner's case; one event, one row of the log.
pub async fn many_saves_have_one_winner(stores: &Stores) {
    let first = opened(stores, "raced").await;
    let answers = at_once(16, |n| {
        let mut next = queued(&first);
        next.updated_at = at(10 + n as i64);
        let store = stores.cases.clone();
        async move {
            (
                next.clone(),
                store
                    .save_case(&next, 1, &alongside(&next, "case_decided"))
                    .await
                    .unwrap(),
            )
        }
    })
    .await;
    let stored = stores.cases.get(&first.id).await.unwrap().unwrap();
    let winners: Vec<&Case> = answers
        .iter()
        .filter(|(_, answer)| *answer == Saved::Done)
        .map(|(case, _)| case)
        .collect();
    assert_eq!(winners, [&stored]);
    for (_, answer) in answers.iter().filter(|(_, answer)| *answer != Saved::Done) {
        assert_eq!(*answer, Saved::Conflict(Box::new(stored.clone())));
    }
    assert_eq!(stores.cases.events_after(0, 100).await.unwrap().len(), 1);
    assert_eq!(
        stores
            .action_log
            .recent(&first.key.run, None, 100)
            .await
            .unwrap()
            .len(),
        1
    );
}

/// Scenario: a save comes from a version that is no more; another names a case that never was.
/// Guarantees: each learns what is, and leaves no trace.
pub async fn a_late_save_learns_what_is(stores: &Stores) {
    let first = opened(stores, "late").await;
    let next = queued(&first);
    assert_eq!(
        stores
            .cases
            .save_case(&next, 1, &Alongside::default())
            .await
            .unwrap(),
        Saved::Done
    );
    let late = released(&first, at(9));
    let answer = stores
        .cases
        .save_case(&late, 1, &alongside(&late, "case_released"))
        .await
        .unwrap();
    assert_eq!(answer, Saved::Conflict(Box::new(next.clone())));
    let unknown = queued(&case(&agent("unknown"), "unknown", at(1)));
    let answer = stores
        .cases
        .save_case(&unknown, 1, &alongside(&unknown, "case_decided"))
        .await
        .unwrap();
    assert_eq!(answer, Saved::Missing);
    assert_eq!(stores.cases.get(&first.id).await.unwrap(), Some(next));
    assert_eq!(stores.cases.get(&unknown.id).await.unwrap(), None);
    assert_eq!(stores.cases.last_event().await.unwrap(), 0);
    assert_eq!(
        stores.action_log.recent(&first.key.run, None, 10).await.unwrap(),
        vec![]
    );
}

/// Scenario: callers break the contract: a first version other than 1, a version that skips, a used case id, a
/// change of agent.
/// Guarantees: each is an error and writes nothing.
pub async fn rules_of_versions_are_kept(stores: &Stores) {
    let none = Alongside::default();
    let first = opened(stores, "ruled").await;
    let mut second = case(&agent("other"), "second", at(1));
    second.version = 2;
    assert!(stores.cases.open_case(&second, u32::MAX, &none).await.is_err());
    let mut used = case(&agent("other"), "ruled", at(1));
    used.infection = infection(&used.key, "another");
    assert!(stores.cases.open_case(&used, u32::MAX, &none).await.is_err());
    assert!(stores.cases.save_case(&first, 1, &none).await.is_err());
    assert!(
        stores
            .cases
            .save_case(
                &Case {
                    version: 3,
                    ..first.clone()
                },
                1,
                &none
            )
            .await
            .is_err()
    );
    let moved = Case {
        key: agent("other"),
        ..queued(&first)
    };
    assert!(stores.cases.save_case(&moved, 1, &none).await.is_err());
    assert_eq!(stores.cases.get(&first.id).await.unwrap(), Some(first));
    assert_eq!(stores.cases.open_case_of(&agent("other")).await.unwrap(), None);
}

/// Scenario: a case closes, the agent falls ill again, and someone tries to open the old case again.
/// Guarantees: closing frees the agent; a closed case cannot come back beside an open one.
pub async fn closing_frees_the_agent(stores: &Stores) {
    let first = opened(stores, "freed").await;
    let closed = released(&first, at(5));
    assert_eq!(
        stores
            .cases
            .save_case(&closed, 1, &Alongside::default())
            .await
            .unwrap(),
        Saved::Done
    );
    assert_eq!(stores.cases.open_case_of(&first.key).await.unwrap(), None);
    let second = case(&first.key, "second", at(6));
    assert_eq!(
        stores
            .cases
            .open_case(&second, u32::MAX, &Alongside::default())
            .await
            .unwrap(),
        Opened::New
    );
    assert!(
        stores
            .cases
            .save_case(&queued(&closed), 2, &Alongside::default())
            .await
            .is_err()
    );
    assert_eq!(stores.cases.open_case_of(&first.key).await.unwrap(), Some(second));
    assert_eq!(stores.cases.get(&first.id).await.unwrap(), Some(closed));
}

/// Scenario: a worse report is merged into an open case, which closes; then that report is delivered again.
/// Guarantees: the report is known, as is the one that opened the case.
pub async fn a_merged_report_is_remembered(stores: &Stores) {
    let first = opened(stores, "merged").await;
    let mut worse = queued(&first);
    worse.infection = infection(&first.key, "worse");
    assert_eq!(
        stores
            .cases
            .save_case(&worse, 1, &Alongside::default())
            .await
            .unwrap(),
        Saved::Done
    );
    let closed = released(&worse, at(9));
    assert_eq!(
        stores
            .cases
            .save_case(&closed, 2, &Alongside::default())
            .await
            .unwrap(),
        Saved::Done
    );
    for id in [&first.infection.id, &worse.infection.id] {
        let mut again = case(&first.key, "again", at(10));
        again.infection.id = id.clone();
        let answer = stores
            .cases
            .open_case(&again, u32::MAX, &Alongside::default())
            .await
            .unwrap();
        assert_eq!(answer, Opened::AlreadyReported(Box::new(closed.clone())));
    }
}

/// Scenario: several events in one change, read in pages.
/// Guarantees: they keep their order, places grow, and reading on after a place repeats and misses nothing.
pub async fn events_are_in_order(stores: &Stores) {
    let mut latest = opened(stores, "events").await;
    for n in 0..6 {
        let next = changed(&latest, latest.state.clone(), at(n));
        let mut with = alongside(&next, &format!("kind-{n}-a"));
        with.events
            .push(alongside(&next, &format!("kind-{n}-b")).events.remove(0));
        stores
            .cases
            .save_case(&next, latest.version, &with)
            .await
            .unwrap();
        latest = next;
    }
    let (mut place, mut kinds) = (0, Vec::new());
    loop {
        let page = stores.cases.events_after(place, 5).await.unwrap();
        assert!(page.len() <= 5);
        let Some(last) = page.last() else { break };
        assert!(page[0].sequence > place && page.is_sorted_by(|a, b| a.sequence < b.sequence));
        place = last.sequence;
        kinds.extend(page.into_iter().map(|event| event.event.kind));
    }
    let expected: Vec<String> = (0..6)
        .flat_map(|n| [format!("kind-{n}-a"), format!("kind-{n}-b")])
        .collect();
    assert_eq!(kinds, expected);
    assert_eq!(stores.cases.last_event().await.unwrap(), place);
}

/// Scenario: sixteen writers open and change cases while a listener reads on after the last place it saw.
/// Guarantees: the listener sees every event once; none appears behind its back at an earlier place.
pub async fn a_listener_misses_no_event(stores: &Stores) {
    let done = Arc::new(AtomicBool::new(false));
    let listener = tokio::spawn({
        let (store, done) = (stores.cases.clone(), done.clone());
        async move {
            let (mut place, mut seen) = (0, Vec::new());
            loop {
                let was_done = done.load(Ordering::SeqCst);
                let page = store.events_after(place, 7).await.unwrap();
                if page.is_empty() && was_done {
                    return seen;
                }
                place = page.last().map_or(place, |event| event.sequence);
                seen.extend(page.into_iter().map(|event| event.event.text));
                tokio::task::yield_now().await;
            }
        }
    });
    at_once(16, |n| {
        let store = stores.cases.clone();
        async move {
            let mut latest = case(&agent(&format!("a{n}")), &format!("case-{n}"), at(1));
            store
                .open_case(&latest, u32::MAX, &alongside(&latest, "v1"))
                .await
                .unwrap();
            for version in 2..=5 {
                let next = changed(&latest, latest.state.clone(), at(version));
                store
                    .save_case(&next, latest.version, &alongside(&next, &format!("v{version}")))
                    .await
                    .unwrap();
                latest = next;
            }
        }
    })
    .await;
    done.store(true, Ordering::SeqCst);
    let mut seen = listener.await.unwrap();
    seen.sort();
    let mut expected: Vec<String> = (0..16)
        .flat_map(|n| (1..=5).map(move |v| format!("v{v} case-{n}")))
        .collect();
    expected.sort();
    assert_eq!(seen, expected);
}

/// Scenario: all events are purged, then a new one comes.
/// Guarantees: the last place is remembered and none is used twice, so that a listener that was away reads on.
pub async fn purged_events_leave_their_places(stores: &Stores) {
    let first = case(&agent("a"), "a", at(1));
    stores
        .cases
        .open_case(&first, u32::MAX, &alongside(&first, "case_opened"))
        .await
        .unwrap();
    let next = changed(&first, first.state.clone(), at(5));
    stores
        .cases
        .save_case(&next, 1, &alongside(&next, "case_waiting"))
        .await
        .unwrap();
    let last = stores.cases.last_event().await.unwrap();
    assert_eq!(stores.cases.purge_events(at(5)).await.unwrap(), 1);
    assert_eq!(stores.cases.events_after(0, 10).await.unwrap().len(), 1);
    assert_eq!(stores.cases.purge_events(at(9)).await.unwrap(), 1);
    assert_eq!(stores.cases.last_event().await.unwrap(), last);
    let closed = released(&next, at(10));
    stores
        .cases
        .save_case(&closed, 2, &alongside(&closed, "case_released"))
        .await
        .unwrap();
    let events = stores.cases.events_after(last, 10).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(stores.cases.last_event().await.unwrap(), events[0].sequence);
}

/// Scenario: cases with awkward ids, a full timeline, a megabyte of payload and the outermost times.
/// Guarantees: cases, events and rows come back whole.
pub async fn odd_and_large_cases_come_back(stores: &Stores) {
    for id in odd_ids() {
        let mut odd = case(
            &AgentKey::new(id.as_str(), id.as_str()),
            &id,
            Timestamp::from_micros(i64::MAX),
        );
        odd.infection.severity = 0.1 + 0.2;
        odd.infection.detected_at = Timestamp::from_micros(i64::MIN);
        let entry = Entry {
            at: at(0),
            kind: "note".into(),
            actor: id.clone(),
            text: id.repeat(3),
            count: u32::MAX,
        };
        odd.timeline = vec![entry; immune_domain::case::TIMELINE_MAX];
        let mut with = alongside(&odd, &id);
        with.events[0].payload = json!({ "large": "\"ß\\\n".repeat(50_000), "n": u64::MAX, "f": 1.0 / 3.0 });
        with.log[0].payload = with.events[0].payload.clone();
        assert_eq!(
            stores.cases.open_case(&odd, u32::MAX, &with).await.unwrap(),
            Opened::New,
            "{id}"
        );
        assert_eq!(
            stores.cases.open_case_of(&odd.key).await.unwrap(),
            Some(odd.clone())
        );
        let last = stores.cases.last_event().await.unwrap();
        let events = stores.cases.events_after(last - 1, 10).await.unwrap();
        assert_eq!(
            events.into_iter().map(|event| event.event).collect::<Vec<_>>(),
            with.events
        );
        let rows = stores.action_log.recent(&odd.key.run, None, 10).await.unwrap();
        assert_eq!(
            rows.into_iter().map(|stored| stored.row).collect::<Vec<_>>(),
            with.log
        );
    }
}

/// Scenario: a listener waits for changes while a case is opened and saved.
/// Guarantees: it is woken for each, and the event is there when it looks.
pub async fn a_listener_is_woken(stores: &Stores) {
    let mut changes = stores.cases.changes();
    let first = case(&agent("woken"), "woken", at(0));
    changes.mark_unchanged();
    let opened = alongside(&first, "case_opened");
    assert_eq!(
        stores.cases.open_case(&first, u32::MAX, &opened).await.unwrap(),
        Opened::New
    );
    woken(&mut changes).await;
    let place = stores.cases.last_event().await.unwrap();
    assert!(place > 0);
    let closed = released(&first, at(1));
    changes.mark_unchanged();
    let released = alongside(&closed, "case_released");
    assert_eq!(
        stores.cases.save_case(&closed, 1, &released).await.unwrap(),
        Saved::Done
    );
    woken(&mut changes).await;
    assert_eq!(stores.cases.events_after(place, 10).await.unwrap().len(), 1);
}

async fn woken(changes: &mut tokio::sync::watch::Receiver<u64>) {
    tokio::time::timeout(std::time::Duration::from_secs(20), changes.changed())
        .await
        .expect("a change is told of in time")
        .expect("the store lives");
}
