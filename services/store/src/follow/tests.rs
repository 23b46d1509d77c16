//! The follower on the in-memory store, at a brisker pace than the usual one.

mod world;

use super::Pace;
use crate::cases::Alongside;
use crate::conformance::samples::{agent, alongside, at, case, changed, healed, released};
use crate::memory;
use immune_domain::CaseId;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use world::{BRISK, Mirror, NEVER, Store, World, open, save, until};

/// Scenario: a case is opened, changed and closed while no wake-up arrives.
/// Guarantees: every change is known at the next look, closed cases, too; one complete reading is enough.
#[tokio::test]
async fn a_missed_wake_up_costs_one_wait() {
    let world = World::started(BRISK).await;
    let (inner, mirror) = (world.store.inner(), world.mirror.clone());
    let case = open(&inner, "c", at(0)).await;
    until("opened", || mirror.version("c") == Some(1)).await;
    let case = changed(&case, case.state.clone(), at(1));
    save(&inner, &case, &alongside(&case, "case_worsened")).await;
    until("changed", || mirror.version("c") == Some(2)).await;
    let case = healed(&case, at(2));
    save(&inner, &case, &alongside(&case, "case_healed")).await;
    until("closed", || mirror.version("c") == Some(3)).await;
    assert_eq!(*mirror.begun.lock().unwrap(), 1);
    world.stop().await;
}

/// Scenario: a follower that does not look by itself is woken after each of ten changes.
/// Guarantees: a wake-up is enough, also one that comes while it looks.
#[tokio::test]
async fn a_wake_up_is_enough() {
    let pace = Pace {
        look_again: NEVER,
        ..BRISK
    };
    let world = World::started(pace).await;
    let (inner, mirror) = (world.store.inner(), world.mirror.clone());
    for n in 0..10 {
        let id = format!("c{n}");
        open(&inner, &id, at(n)).await;
        world.store.wakes.send_modify(|wakes| *wakes += 1);
        if n % 2 == 0 {
            until("known", || mirror.version(&id) == Some(1)).await;
        }
    }
    until("all known", || mirror.known.lock().unwrap().len() == 10).await;
    world.stop().await;
}

/// Scenario: the store is exchanged for a copy of an earlier time: one case is gone, one is older, one is another's.
/// Guarantees: all open cases are read anew; what the copy does not have is forgotten; what happens in the copy from
/// then on is followed.
#[tokio::test]
async fn events_that_go_back_are_read_anew() {
    let world = World::started(BRISK).await;
    let (inner, mirror) = (world.store.inner(), world.mirror.clone());
    let case = open(&inner, "older", at(0)).await;
    let newer = changed(&case, case.state.clone(), at(1));
    save(&inner, &newer, &alongside(&newer, "case_worsened")).await;
    open(&inner, "gone", at(0)).await;
    until("all known", || mirror.version("gone").is_some()).await;
    assert_eq!(mirror.version("older"), Some(2));

    let copy = memory::stores().cases;
    open(&copy, "older", at(0)).await;
    open(&copy, "other", at(0)).await;
    world.store.exchange(copy.clone());
    until("read anew", || *mirror.completed.lock().unwrap() == 2).await;
    assert_eq!(mirror.version("older"), Some(1));
    assert_eq!(mirror.version("other"), Some(1));
    assert_eq!(mirror.version("gone"), None);
    open(&copy, "next", at(1)).await;
    until("the next one", || mirror.version("next").is_some()).await;
    assert_eq!(*mirror.begun.lock().unwrap(), 2);
    world.stop().await;
}

/// Scenario: of three changed cases one cannot be read back; later it can.
/// Guarantees: the other two are followed, the damaged one stays as it was known and is not taken for gone, and the
/// store does not count as away; its next event brings it up to date.
#[tokio::test]
async fn a_damaged_case_keeps_no_other_back() {
    let world = World::started(BRISK).await;
    let (inner, mirror) = (world.store.inner(), world.mirror.clone());
    let mut cases = Vec::new();
    for id in ["a", "b", "c"] {
        cases.push(open(&inner, id, at(0)).await);
    }
    until("all known", || mirror.known.lock().unwrap().len() == 3).await;
    world.store.damaged.lock().unwrap().insert(CaseId::new("b"));
    for case in &mut cases {
        *case = changed(case, case.state.clone(), at(1));
        save(&inner, case, &alongside(case, "case_worsened")).await;
    }
    let is_known = |id| mirror.version(id) == Some(2);
    until("the others", || is_known("a") && is_known("c")).await;
    another_look(&mirror).await;
    assert_eq!(mirror.version("b"), Some(1));
    assert!(mirror.failed.lock().unwrap().is_empty());

    world.store.damaged.lock().unwrap().clear();
    let mended = released(&cases[1], at(2));
    save(&inner, &mended, &alongside(&mended, "case_released")).await;
    until("mended", || mirror.version("b") == Some(3)).await;
    world.stop().await;
}

/// Scenario: the store is away for twenty attempts, a case is opened meanwhile, then it is back.
/// Guarantees: the view hears of each failed attempt and of nothing else, and attempts come at growing distances;
/// afterwards, what happened meanwhile is known by its event.
#[tokio::test]
async fn away_and_back() {
    let world = World::started(BRISK).await;
    let (inner, mirror) = (world.store.inner(), world.mirror.clone());
    world.store.is_away.store(true, Ordering::SeqCst);
    until("it fails", || !mirror.failed.lock().unwrap().is_empty()).await;
    let looks = mirror.followed.lock().unwrap().len();
    open(&inner, "c", at(0)).await;
    until("more attempts", || mirror.failed.lock().unwrap().len() >= 20).await;
    assert_eq!(mirror.followed.lock().unwrap().len(), looks);
    assert_eq!(mirror.version("c"), None);
    let failed: Vec<_> = mirror.failed.lock().unwrap().iter().map(|(at, _)| *at).collect();
    let mut wait = BRISK.retry_first;
    for pair in failed.windows(2) {
        assert!(
            pair[1] - pair[0] >= wait,
            "{:?} after {wait:?}",
            pair[1] - pair[0]
        );
        wait = (wait * 2).min(BRISK.retry_max);
    }

    world.store.is_away.store(false, Ordering::SeqCst);
    until("it is known", || mirror.version("c") == Some(1)).await;
    another_look(&mirror).await;
    assert_eq!(*mirror.begun.lock().unwrap(), 1);
    world.stop().await;
}

/// Scenario: the store is away at the start, then answers nothing at all, then all is well, then it hangs again.
/// Guarantees: nothing is called followed before every open case is known; an answer that does not come is an error that
/// says what was being done and for how long; a stop does not wait for the store.
#[tokio::test]
async fn no_answer_is_no_news() {
    let store = Store::new();
    open(&store.inner(), "c", at(0)).await;
    store.is_away.store(true, Ordering::SeqCst);
    let pace = Pace {
        answer_max: Duration::from_millis(250),
        ..BRISK
    };
    let world = World::start(store.clone(), pace);
    let mirror = world.mirror.clone();
    until("it fails", || mirror.failed.lock().unwrap().len() > 2).await;
    store.hangs.store(true, Ordering::SeqCst);
    let expected = "store is unavailable while following the cases for a test: no answer within 0.25 s";
    let has_failed_so = || {
        let failed = mirror.failed.lock().unwrap();
        failed.last().is_some_and(|(_, words)| words == expected)
    };
    until("it fails otherwise", has_failed_so).await;
    assert!(mirror.followed.lock().unwrap().is_empty());

    store.is_away.store(false, Ordering::SeqCst);
    store.hangs.store(false, Ordering::SeqCst);
    until("it is followed", || !mirror.followed.lock().unwrap().is_empty()).await;
    assert_eq!(mirror.version("c"), Some(1));
    store.hangs.store(true, Ordering::SeqCst);
    let failures = mirror.failed.lock().unwrap().len();
    until("it waits", || mirror.failed.lock().unwrap().len() > failures).await;
    world.stop().await;
}

/// Scenario: more than two pages of open cases at the start, many opened at the same moment; then each of them changes
/// between two looks.
/// Guarantees: every case is known, then every change at one look, with one complete reading.
#[tokio::test]
async fn more_than_a_page() {
    let store = Store::new();
    let inner = store.inner();
    let mut cases = Vec::new();
    for n in 0..2 * super::PAGE + 1 {
        cases.push(open(&inner, &format!("c{n}"), at(i64::from(n / 700))).await);
    }
    let pace = Pace {
        look_again: NEVER,
        ..BRISK
    };
    let world = World::start(store, pace);
    let mirror = world.mirror.clone();
    until("all read", || mirror.followed.lock().unwrap().len() == 1).await;
    assert_eq!(mirror.known.lock().unwrap().len(), cases.len());
    for case in &cases {
        let next = changed(case, case.state.clone(), at(9));
        save(&inner, &next, &alongside(&next, "case_worsened")).await;
    }
    world.store.wakes.send_replace(1);
    until("the next look", || mirror.followed.lock().unwrap().len() == 2).await;
    let versions: Vec<u64> = mirror
        .known
        .lock()
        .unwrap()
        .values()
        .map(|case| case.version)
        .collect();
    assert_eq!(versions, vec![2; cases.len()]);
    assert_eq!(*mirror.begun.lock().unwrap(), 1);
    world.stop().await;
}

/// Scenario: one open case is closed without an event, one is closed so and removed, one is opened so.
/// Guarantees: the next complete reading finds all three, the closed one by its id.
#[tokio::test]
async fn what_no_event_tells() {
    let pace = Pace {
        read_again: Duration::from_millis(100),
        ..BRISK
    };
    let world = World::started(pace).await;
    let (inner, mirror) = (world.store.inner(), world.mirror.clone());
    let closing = open(&inner, "closing", at(0)).await;
    let going = open(&inner, "going", at(0)).await;
    until("both known", || mirror.known.lock().unwrap().len() == 2).await;
    let quietly = Alongside::default();
    save(&inner, &healed(&closing, at(60)), &quietly).await;
    save(&inner, &healed(&going, at(1)), &quietly).await;
    assert_eq!(inner.purge(at(30)).await.unwrap(), 1);
    let quiet = case(&agent("quiet"), "quiet", at(0));
    inner.open_case(&quiet, u32::MAX, &quietly).await.unwrap();
    until("the closed one", || mirror.version("closing") == Some(2)).await;
    until("the removed one", || mirror.version("going").is_none()).await;
    until("the new one", || mirror.version("quiet") == Some(1)).await;
    world.stop().await;
}

/// Scenario: the usual pace, as services run it, over a store on which a case opens.
/// Guarantees: the wake-ups of the store itself are heard; the end comes with the token.
#[tokio::test]
async fn at_the_usual_pace() {
    let cases = memory::stores().cases;
    let mirror = Mirror::default();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let watching = async {
        until("read", || *mirror.completed.lock().unwrap() == 1).await;
        open(&cases, "c", at(0)).await;
        until("known", || mirror.version("c") == Some(1)).await;
        shutdown.cancel();
    };
    tokio::join!(
        super::run(
            &*cases,
            &mirror,
            "following the cases for a test",
            shutdown.clone()
        ),
        watching
    );
}

/// Waits until the follower has looked once more, from beginning to end.
async fn another_look(mirror: &Arc<Mirror>) {
    let looks = mirror.followed.lock().unwrap().len();
    until("another look", || {
        mirror.followed.lock().unwrap().len() > looks + 1
    })
    .await;
}
