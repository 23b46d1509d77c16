//! What a store of notifications must do.

use super::at_once;
use super::samples::{agent, at, odd_ids};
use crate::Stores;
use crate::cases::NewEvent;
use crate::notifications::{DEAD_MAX, Hold, Notification, Outcome, Settled};
use immune_domain::{CaseId, Timestamp};
use serde_json::json;

fn event(case: &str) -> NewEvent {
    NewEvent {
        kind: "case_opened".to_owned(),
        case: CaseId::new(case),
        key: agent("a"),
        at: at(0),
        text: "severity 8.0, prompt_drift: \"ß\\".to_owned(),
        payload: json!({ "severity": 8.25, "n": u64::MAX, "none": null }),
    }
}

fn row(target: &str, sequence: u64, case: &str) -> Notification {
    Notification::new(
        format!("{target}.{sequence}"),
        target,
        sequence,
        event(case),
        at(0),
    )
}

async fn held(stores: &Stores, target: &str) -> Hold {
    let hold = stores
        .notifications
        .hold(target, "w", at(0), at(1_000_000), 0)
        .await;
    hold.unwrap().expect("nobody else holds it")
}

async fn begun(stores: &Stores, target: &str, fence: u64, now: Timestamp) -> Vec<String> {
    let rows = stores
        .notifications
        .begin(target, fence, now, at(900_000), 100)
        .await
        .unwrap();
    rows.expect("not overtaken")
        .into_iter()
        .map(|row| row.id)
        .collect()
}

fn settled(id: &str, outcome: Outcome) -> Settled {
    Settled {
        id: id.to_owned(),
        outcome,
    }
}

fn again(due_at: Timestamp) -> Outcome {
    Outcome::Again {
        due_at,
        error: "503: away".to_owned(),
    }
}

fn dead() -> Outcome {
    Outcome::Dead {
        error: "400: no".to_owned(),
    }
}

async fn settle(stores: &Stores, target: &str, fence: u64, now: Timestamp, settled: &[Settled]) -> bool {
    stores
        .notifications
        .settle(target, fence, now, settled)
        .await
        .unwrap()
}

/// Scenario: two workers want one target; the first renews, then dies, then another stops in order.
/// Guarantees: one holds it, under a fence that grows when it changes hands and only then.
pub async fn a_target_has_one_holder(stores: &Stores) {
    let store = &stores.notifications;
    let first = store.hold("t", "one", at(0), at(10), 7).await.unwrap().unwrap();
    assert_eq!(first.cursor, 7);
    assert_eq!(store.hold("t", "two", at(9), at(19), 0).await.unwrap(), None);
    assert_eq!(
        store.hold("t", "one", at(9), at(20), 0).await.unwrap(),
        Some(first)
    );
    assert_eq!(store.hold("t", "two", at(19), at(30), 0).await.unwrap(), None);
    let second = store.hold("t", "two", at(20), at(30), 0).await.unwrap().unwrap();
    assert!(second.fence > first.fence && second.cursor == 7, "{second:?}");
    store.let_go("one").await.unwrap();
    assert_eq!(store.hold("t", "one", at(21), at(40), 0).await.unwrap(), None);
    store.let_go("two").await.unwrap();
    let third = store.hold("t", "one", at(21), at(40), 0).await.unwrap().unwrap();
    assert!(third.fence > second.fence);
}

/// Scenario: sixteen workers ask for a target at the same time.
/// Guarantees: one gets it.
pub async fn of_many_one_holds_it(stores: &Stores) {
    let results = at_once(16, |n| {
        let store = stores.notifications.clone();
        async move { store.hold("t", &format!("w{n}"), at(0), at(10), 0).await }
    })
    .await;
    let holders = results
        .into_iter()
        .filter(|hold| hold.as_ref().unwrap().is_some());
    assert_eq!(holders.count(), 1);
}

/// Scenario: the same events are taken in twice, the second time from further back.
/// Guarantees: each is there once, whole, and the place never moves back.
pub async fn what_is_taken_in_comes_once(stores: &Stores) {
    let (store, fence) = (&stores.notifications, held(stores, "t").await.fence);
    let mut rows: Vec<Notification> = odd_ids().iter().zip(1..).map(|(id, n)| row("t", n, id)).collect();
    rows[3].event.text = "x".repeat(100_000);
    assert!(store.take_in("t", fence, 40, &rows).await.unwrap());
    assert!(store.take_in("t", fence, 12, &rows[..2]).await.unwrap());
    assert_eq!(held(stores, "t").await.cursor, 40);
    let begun = store.begin("t", fence, at(1), at(2), 100).await.unwrap().unwrap();
    assert_eq!(begun.len(), rows.len());
    for (begun, row) in begun.iter().zip(&rows) {
        let expected = Notification {
            attempts: 1,
            due_at: at(2),
            ..row.clone()
        };
        assert_eq!(*begun, expected);
    }
    assert!(store.get("t.1").await.unwrap().is_some());
    assert_eq!(store.get("t.999").await.unwrap(), None);
}

/// Scenario: a worker was overtaken and does not know.
/// Guarantees: it takes nothing in, begins nothing, settles nothing; a target that was never held takes nothing.
pub async fn who_was_overtaken_changes_nothing(stores: &Stores) {
    let store = &stores.notifications;
    let old = store
        .hold("t", "one", at(0), at(10), 0)
        .await
        .unwrap()
        .unwrap()
        .fence;
    assert!(store.take_in("t", old, 1, &[row("t", 1, "a")]).await.unwrap());
    let new = store
        .hold("t", "two", at(10), at(20), 0)
        .await
        .unwrap()
        .unwrap()
        .fence;
    assert!(!store.take_in("t", old, 2, &[row("t", 2, "b")]).await.unwrap());
    assert_eq!(store.begin("t", old, at(11), at(12), 10).await.unwrap(), None);
    assert!(!settle(stores, "t", old, at(11), &[settled("t.1", dead())]).await);
    assert_eq!(begun(stores, "t", new, at(11)).await, ["t.1"]);
    assert!(!store.add(&row("other", 1, "a")).await.unwrap());
    assert!(
        !store
            .take_in("other", 0, 1, &[row("other", 1, "a")])
            .await
            .unwrap()
    );
}

/// Scenario: of two cases the first's first notification fails and waits.
/// Guarantees: what follows in its case waits behind it, the other case goes on, and what was begun is not begun
/// again before its time.
pub async fn a_case_keeps_its_order(stores: &Stores) {
    let (store, fence) = (&stores.notifications, held(stores, "t").await.fence);
    let rows = [
        row("t", 1, "a"),
        row("t", 2, "b"),
        row("t", 3, "a"),
        row("t", 12, "b"),
    ];
    store.take_in("t", fence, 12, &rows).await.unwrap();
    let first = store.begin("t", fence, at(1), at(5), 1).await.unwrap().unwrap();
    assert_eq!(first.len(), 1, "limited");
    assert_eq!(
        begun(stores, "t", fence, at(1)).await,
        ["t.2", "t.12"],
        "t.1 is under way"
    );
    assert!(begun(stores, "t", fence, at(2)).await.is_empty());
    let outcomes = [
        settled("t.1", again(at(20))),
        settled("t.2", Outcome::Delivered { receipt: None }),
        settled("t.12", Outcome::Held { due_at: at(3) }),
    ];
    assert!(settle(stores, "t", fence, at(2), &outcomes).await);
    let held_back = store
        .begin("t", fence, at(3), at(900_000), 10)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(held_back.len(), 1);
    assert_eq!((held_back[0].id.as_str(), held_back[0].attempts), ("t.12", 1));
    assert_eq!(begun(stores, "t", fence, at(20)).await, ["t.1", "t.3"]);
    let again = store.get("t.1").await.unwrap().unwrap();
    assert_eq!(
        (again.attempts, again.last_error.as_deref()),
        (2, Some("503: away"))
    );
}

/// Scenario: deliveries leave receipts, the second replaces the first.
/// Guarantees: they are found by target and case.
pub async fn receipts_are_kept_per_case(stores: &Stores) {
    let (store, fence) = (&stores.notifications, held(stores, "t").await.fence);
    let rows = [row("t", 1, "a"), row("t", 2, "a"), row("t", 3, "b")];
    store.take_in("t", fence, 3, &rows).await.unwrap();
    begun(stores, "t", fence, at(1)).await;
    let delivered = |id: &str, n: u32| {
        let receipt = Some(json!({ "ts": n }));
        settled(id, Outcome::Delivered { receipt })
    };
    settle(stores, "t", fence, at(1), &[delivered("t.1", 1)]).await;
    settle(
        stores,
        "t",
        fence,
        at(1),
        &[delivered("t.2", 2), delivered("t.2", 9)],
    )
    .await;
    let cases = [CaseId::new("a"), CaseId::new("b")];
    let found = store.receipts("t", &cases).await.unwrap();
    assert_eq!(found, [(CaseId::new("a"), json!({ "ts": 2 }))]);
    assert_eq!(store.receipts("u", &cases).await.unwrap(), []);
    assert_eq!(store.receipts("t", &[]).await.unwrap(), []);
}

/// Scenario: a notification dies, is retried, dies again and is discarded; waiting ones are tried the same.
/// Guarantees: only dead letters can be retried and discarded, each once; a retried one begins anew.
pub async fn dead_letters_have_a_way_back(stores: &Stores) {
    let (store, fence) = (&stores.notifications, held(stores, "t").await.fence);
    store
        .take_in("t", fence, 2, &[row("t", 1, "a"), row("t", 2, "a")])
        .await
        .unwrap();
    for id in ["t.1", "t.9"] {
        assert!(!store.retry(id, at(1)).await.unwrap() && !store.discard(id).await.unwrap());
    }
    begun(stores, "t", fence, at(1)).await;
    settle(
        stores,
        "t",
        fence,
        at(2),
        &[settled("t.1", dead()), settled("t.2", again(at(3)))],
    )
    .await;
    assert_eq!(
        begun(stores, "t", fence, at(3)).await,
        ["t.2"],
        "a dead letter holds nothing up"
    );
    let list = store.dead(Some("t"), 10).await.unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(
        (list[0].died_at, list[0].last_error.as_deref()),
        (Some(at(2)), Some("400: no"))
    );
    assert_eq!(store.dead(Some("u"), 10).await.unwrap(), []);
    assert!(store.retry("t.1", at(5)).await.unwrap());
    assert!(!store.retry("t.1", at(5)).await.unwrap());
    let retried = store.begin("t", fence, at(5), at(6), 10).await.unwrap().unwrap();
    assert_eq!(
        (retried[0].attempts, retried[0].taken_at, retried[0].died_at),
        (1, at(5), None)
    );
    settle(stores, "t", fence, at(6), &[settled("t.1", dead())]).await;
    assert!(store.discard("t.1").await.unwrap() && !store.discard("t.1").await.unwrap());
    assert_eq!(store.dead(None, 10).await.unwrap(), []);
}

/// Scenario: more dead letters than are kept.
/// Guarantees: the oldest goes.
pub async fn dead_letters_have_a_limit(stores: &Stores) {
    let (store, fence) = (&stores.notifications, held(stores, "t").await.fence);
    let rows: Vec<Notification> = (1..=DEAD_MAX + 3)
        .map(|n| row("t", n, &format!("c{n}")))
        .collect();
    store.take_in("t", fence, DEAD_MAX + 3, &rows).await.unwrap();
    for (n, rows) in rows.chunks(500).enumerate() {
        store.begin("t", fence, at(1), at(2), 500).await.unwrap();
        let outcomes: Vec<Settled> = rows.iter().map(|row| settled(&row.id, dead())).collect();
        settle(stores, "t", fence, at(n as i64), &outcomes).await;
    }
    assert_eq!(store.targets().await.unwrap()[0].dead, DEAD_MAX);
    assert_eq!(store.get("t.1").await.unwrap(), None);
    assert!(store.get(&format!("t.{}", DEAD_MAX + 3)).await.unwrap().is_some());
}

/// Scenario: a target that fails, then delivers, beside one that does nothing.
/// Guarantees: each says how it stands, and since when it fails.
pub async fn targets_say_how_they_stand(stores: &Stores) {
    let (store, fence) = (&stores.notifications, held(stores, "t").await.fence);
    held(stores, "u").await;
    let rows = [row("t", 4, "a"), row("t", 5, "b"), row("t", 6, "c")];
    store.take_in("t", fence, 6, &rows).await.unwrap();
    begun(stores, "t", fence, at(1)).await;
    settle(stores, "t", fence, at(2), &[settled("t.4", again(at(3)))]).await;
    settle(stores, "t", fence, at(3), &[settled("t.5", dead())]).await;
    let targets = store.targets().await.unwrap();
    assert_eq!(
        targets.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(),
        ["t", "u"]
    );
    let t = &targets[0];
    assert_eq!((t.cursor, t.waiting, t.dead, t.delivered), (6, 2, 1, 0));
    assert_eq!((t.failing_since, t.oldest_waiting_at), (Some(at(2)), Some(at(0))));
    assert_eq!(t.last_error, Some((at(3), "400: no".to_owned())));
    assert_eq!(t.holder, Some(("w".to_owned(), at(1_000_000))));
    settle(
        stores,
        "t",
        fence,
        at(4),
        &[settled("t.6", Outcome::Delivered { receipt: None })],
    )
    .await;
    let t = &store.targets().await.unwrap()[0];
    assert_eq!(
        (t.failing_since, t.delivered, t.last_delivered_at),
        (None, 1, Some(at(4)))
    );
    assert_eq!(
        t.last_error,
        Some((at(3), "400: no".to_owned())),
        "what failed last stays known"
    );
    assert!(store.add(&row("u", 0, "test")).await.unwrap());
    assert_eq!(store.targets().await.unwrap()[1].waiting, 1);
}

/// Scenario: old and young dead letters and receipts, and an old one that waits.
/// Guarantees: only what is old and over goes.
pub async fn purging_spares_what_waits(stores: &Stores) {
    let (store, fence) = (&stores.notifications, held(stores, "t").await.fence);
    let rows: Vec<Notification> = (1..=5).map(|n| row("t", n, &format!("c{n}"))).collect();
    store.take_in("t", fence, 5, &rows).await.unwrap();
    begun(stores, "t", fence, at(0)).await;
    let receipt = || Outcome::Delivered {
        receipt: Some(json!(1)),
    };
    settle(
        stores,
        "t",
        fence,
        at(10),
        &[settled("t.1", dead()), settled("t.2", receipt())],
    )
    .await;
    settle(
        stores,
        "t",
        fence,
        at(20),
        &[settled("t.3", dead()), settled("t.4", receipt())],
    )
    .await;
    assert_eq!(store.purge(at(20)).await.unwrap(), 1);
    assert!(store.get("t.3").await.unwrap().is_some() && store.get("t.5").await.unwrap().is_some());
    let cases = [CaseId::new("c2"), CaseId::new("c4")];
    assert_eq!(store.receipts("t", &cases).await.unwrap().len(), 1);
}
