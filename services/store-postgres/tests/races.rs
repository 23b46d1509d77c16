//! Two processes on one database.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

mod support;

use immune_domain::case::QuarantinePhase;
use immune_domain::healing::Outcome;
use immune_store::baselines::Put;
use immune_store::cases::{Alongside, Opened, Saved};
use immune_store::conformance::samples::{
    agent, alongside, at, case, failed, healing, profile, released, succeeded, vitals, with_outcome,
};
use std::collections::HashSet;
use support::{database, next, open, store};

/// Scenario: two processes report infections of the same forty agents at the same time.
/// Guarantees: each agent has one open case, and the loser of each race is told the winner's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_agent_has_one_open_case_for_both() {
    let url = database().await;
    let stores = [store(&url), store(&url)];
    let tasks: Vec<_> = (0..80)
        .map(|n| {
            let cases = stores[n % 2].cases();
            let case = case(&agent(&format!("a{}", n / 2)), &format!("c{n}"), at(1));
            tokio::spawn(async move {
                cases
                    .open_case(&case, u32::MAX, &alongside(&case, "case_opened"))
                    .await
            })
        })
        .collect();
    let (mut new, mut told) = (0, HashSet::new());
    for task in tasks {
        match task.await.unwrap().unwrap() {
            Opened::New => new += 1,
            Opened::AlreadyOpen(case) => assert!(told.insert(case.key.agent.clone())),
            other @ (Opened::AlreadyReported(_) | Opened::Crowded(_)) => panic!("{other:?}"),
        }
    }
    assert_eq!((new, told.len()), (40, 40));
    let totals = stores[0].cases().totals(&agent("a").run).await.unwrap();
    assert_eq!((totals.opened, totals.open), (40, 40));
    assert_eq!(stores[1].cases().last_event().await.unwrap(), 40);
}

/// Scenario: the same report reaches both processes, for two different agents' names in turn with others that
/// contend for the same agents.
/// Guarantees: no deadlock, and a report opens one case.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_report_to_both_opens_one_case() {
    let url = database().await;
    let stores = [store(&url), store(&url)];
    for round in 0..10 {
        let tasks: Vec<_> = (0..16)
            .map(|n| {
                let cases = stores[n % 2].cases();
                let mut case = case(
                    &agent(&format!("a{round}-{}", n % 2)),
                    &format!("c{round}-{n}"),
                    at(1),
                );
                case.infection.id = format!("infection-{round}-{}", n % 4).into();
                tokio::spawn(async move { cases.open_case(&case, u32::MAX, &Alongside::default()).await })
            })
            .collect();
        let mut new = 0;
        for task in tasks {
            new += usize::from(task.await.unwrap().unwrap() == Opened::New);
        }
        assert_eq!(new, 2, "round {round}");
    }
}

/// Scenario: twenty infections want containment at once, in two processes, and the run has five places.
/// Guarantees: five are opened, the others are refused with the count; one that wants none is opened all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_last_place_is_taken_once_by_both() {
    const ROOM: u32 = 5;
    let url = database().await;
    let stores = [store(&url), store(&url)];
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let cases = stores[n % 2].cases();
            let case = case(&agent(&format!("a{n}")), &format!("c{n}"), at(1));
            tokio::spawn(async move {
                let opened = cases
                    .open_case(&case, ROOM - 1, &alongside(&case, "case_opened"))
                    .await;
                (case, opened.unwrap())
            })
        })
        .collect();
    let mut open = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (case, Opened::New) => open.push(case),
            (_, Opened::Crowded(n)) => assert_eq!(n, ROOM),
            (_, other @ (Opened::AlreadyOpen(_) | Opened::AlreadyReported(_))) => panic!("{other:?}"),
        }
    }
    assert_eq!(open.len(), ROOM as usize);
    let cases = stores[0].cases();
    assert_eq!(cases.last_event().await.unwrap(), u64::from(ROOM));
    let mut calm = case(&agent("calm"), "calm", at(2));
    calm.quarantine.phase = QuarantinePhase::NotWanted;
    let opened = cases.open_case(&calm, 0, &Alongside::default()).await;
    assert_eq!(opened.unwrap(), Opened::New);

    let closed = released(&open[0], at(3));
    let saved = cases.save_case(&closed, 1, &Alongside::default()).await;
    assert_eq!(saved.unwrap(), Saved::Done);
    let late = case(&agent("late"), "late", at(4));
    let opened = stores[1]
        .cases()
        .open_case(&late, ROOM - 1, &Alongside::default())
        .await;
    assert_eq!(opened.unwrap(), Opened::New);
}

/// Scenario: four workers of two processes claim sixty unsettled cases at once, ten at a time, until nothing is left,
/// while the cases are being saved.
/// Guarantees: no case is claimed by two; the claims of a worker that lapsed go to others.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_claim_has_one_worker() {
    let url = database().await;
    let stores = [store(&url), store(&url)];
    for n in 0..60 {
        open(
            &*stores[0].cases(),
            &case(&agent(&format!("a{n}")), &format!("c{n:02}"), at(n)),
        )
        .await;
    }
    let saver = tokio::spawn({
        let cases = stores[1].cases();
        async move {
            for n in 0..60 {
                let case = next(&case(&agent(&format!("a{n}")), &format!("c{n:02}"), at(n)));
                assert_eq!(
                    cases.save_case(&case, 1, &Alongside::default()).await.unwrap(),
                    Saved::Done
                );
            }
        }
    });
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let cases = stores[worker % 2].cases();
            tokio::spawn(async move {
                let mut mine = HashSet::new();
                for _round in 0..40 {
                    let claimed = cases
                        .claim_unsettled(&format!("w{worker}"), at(100), at(200), 10)
                        .await
                        .unwrap();
                    assert!(claimed.len() <= 10);
                    mine.extend(claimed.into_iter().map(|case| case.id.to_string()));
                }
                mine
            })
        })
        .collect();
    let mut all = HashSet::new();
    for worker in workers {
        for id in worker.await.unwrap() {
            assert!(all.insert(id.clone()), "{id} was claimed twice");
        }
    }
    saver.await.unwrap();
    let cases = stores[0].cases();
    let rest = cases
        .claim_unsettled("heir", at(100), at(200), 100)
        .await
        .unwrap();
    assert_eq!(all.len() + rest.len(), 60);
    let lapsed = cases
        .claim_unsettled("heir", at(200), at(300), 100)
        .await
        .unwrap();
    assert_eq!(lapsed.len(), 60);
    cases.unclaim("heir").await.unwrap();
    assert_eq!(
        cases
            .claim_unsettled("next", at(200), at(300), 100)
            .await
            .unwrap()
            .len(),
        60
    );
}

/// Scenario: a partition goes back and forth between two processes that both go on storing profiles.
/// Guarantees: under an old tenure nothing is stored, and the place that is taken over is the one stored last.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_overtaken_store_nothing() {
    let url = database().await;
    let stores = [store(&url), store(&url)];
    let tasks: Vec<_> = (0..2_usize)
        .map(|who| {
            let baselines = stores[who].baselines();
            tokio::spawn(async move {
                let mut kept = 0;
                for _term in 0..20 {
                    let mut tenure = baselines.take_over(7).await.unwrap();
                    for _step in 0..5 {
                        let version = tenure
                            .place
                            .as_deref()
                            .map_or(0, |place| place.parse::<u64>().unwrap())
                            + 1;
                        tenure.place = Some(version.to_string());
                        let batch = [
                            profile(&agent("shared"), version),
                            profile(&agent("other"), version),
                        ];
                        match baselines
                            .put(&batch, std::slice::from_ref(&tenure))
                            .await
                            .unwrap()
                        {
                            Put::Done => kept += 1,
                            Put::Overtaken { partition } => {
                                assert_eq!(partition, 7);
                                break;
                            }
                        }
                    }
                }
                kept
            })
        })
        .collect();
    let mut kept = 0;
    for task in tasks {
        kept += task.await.unwrap();
    }
    let baselines = stores[0].baselines();
    let last = baselines.take_over(7).await.unwrap();
    assert_eq!(last.fence, 41);
    // Each accepted put raised the place by one from what it had taken over: no accepted one was lost or overwritten.
    assert_eq!(last.place, Some(kept.to_string()));
    for name in ["shared", "other"] {
        let stored = baselines.get(&agent(name)).await.unwrap().unwrap();
        assert_eq!(stored.profile.version, kept);
    }
}

/// Scenario: two processes report different ends of the same thirty attempts.
/// Guarantees: one end is believed and taught once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_attempt_ends_once_for_both() {
    let url = database().await;
    let stores = [store(&url), store(&url)];
    for n in 0..30 {
        let begun = healing(&agent("a"), &format!("h{n}"), at(n));
        stores[0].healings().begin(&begun).await.unwrap();
    }
    let tasks: Vec<_> = (0..60)
        .map(|n: i64| {
            let healings = stores[n as usize % 2].healings();
            let outcome: Outcome = if n % 2 == 0 {
                succeeded(at(99))
            } else {
                failed(at(99))
            };
            let ended = with_outcome(&healing(&agent("a"), &format!("h{}", n / 2), at(n / 2)), outcome);
            tokio::spawn(async move { healings.finish(&ended).await.unwrap() })
        })
        .collect();
    let mut changed = 0;
    for task in tasks {
        changed += u32::from(task.await.unwrap());
    }
    assert_eq!(changed, 30);
    let totals = stores[1].healings().totals(&agent("a").run).await.unwrap();
    assert_eq!(totals.succeeded + totals.failed, 30);
    let memories = stores[1]
        .healings()
        .all_memories(&agent("a").run, 10)
        .await
        .unwrap();
    assert_eq!(u64::from(memories[0].successes + memories[0].failures), 30);
}

/// Scenario: six senders of two processes deliver records of the same agents in different orders, in revisions, while
/// others retract and purge some of them.
/// Guarantees: nobody waits for ever, and counts agree with records.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counts_agree_with_records() {
    let url = database().await;
    let stores = [store(&url), store(&url)];
    let record = |n: usize, revision: usize| {
        let mut record = vitals(&agent(&format!("a{}", n % 12)), &format!("e{n}"), at(n as i64));
        record.revision = revision as u32;
        record
    };
    let tasks: Vec<_> = (0..8_usize)
        .map(|who| {
            let store = stores[who % 2].vitals();
            tokio::spawn(async move {
                for round in 0..12 {
                    let mut numbers: Vec<usize> = (0..120).map(|n| n + round * 20).collect();
                    numbers.rotate_left(who * 17);
                    match who {
                        6 => {
                            let parts = numbers
                                .iter()
                                .map(|n| record(*n, 0))
                                .map(|r| (r.key, r.execution));
                            store
                                .retract(&parts.step_by(3).collect::<Vec<_>>())
                                .await
                                .unwrap();
                        }
                        7 => {
                            store.purge(at(round as i64 * 15)).await.unwrap();
                        }
                        _sender => {
                            let batch: Vec<_> = numbers.iter().map(|n| record(*n, who)).collect();
                            store.append(&batch).await.unwrap();
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let store = stores[0].vitals();
    let run = agent("a").run;
    let agents = store.agents(&run, None, 100).await.unwrap();
    let mut total = 0;
    for summary in &agents {
        let records = store.recent(&summary.key, at(-1), 10_000).await.unwrap();
        assert_eq!(summary.executions, records.len() as u64, "{}", summary.key);
        assert_eq!(Some(&summary.latest), records.last());
        total += summary.executions;
    }
    assert_eq!(store.total_executions(&run).await.unwrap(), total);
    assert_eq!(
        store.agents_seen(&run, at(-1)).await.unwrap(),
        agents.len() as u64
    );
    store.purge(at(10_000)).await.unwrap();
    assert_eq!(store.agents(&run, None, 100).await.unwrap(), []);
    assert_eq!(store.total_executions(&run).await.unwrap(), 0);
}
