//! Several replicas over a store whose calls fail now and then, before or after they took effect.

use crate::harness::code_of;
use crate::replicas::{agent, capped, two};
use immune_proto::v1::Decision;
use immune_store::cases::CaseFilter;
use immune_store::faults::{Faults, with_faults};
use std::collections::BTreeSet;
use std::time::Duration;
use tonic::Code;

/// Scenario: five rounds with other seeds: one call of the store in ten fails, before or after it took effect, for
/// both replicas; forty agents are reported until accepted, severe cases are approved until accepted.
/// Guarantees: one case per agent, the blast radius holds, every approval is on record once, every lever settles.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_doubles_nothing() {
    for round in 0..5 {
        let seed = u64::from(std::process::id()) * 31 + round;
        println!("seed {seed}");
        let stores = immune_store::memory::stores();
        let faults = Faults::new(seed, 100);
        let faulty = with_faults(stores.clone(), &faults);
        let worlds = two(faulty, capped(10)).await;
        let reports = (0..40).map(|n| {
            let worlds = &worlds;
            async move {
                let mut tries = 0;
                loop {
                    let world = &worlds[(n + tries) % 2];
                    match world.try_report(&agent(n), &format!("i-{n}"), 8.0).await {
                        Ok(answer) => return answer.case_id,
                        Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
                    }
                    tries += 1;
                }
            }
        });
        let ids = futures::future::join_all(reports).await;
        assert_eq!(BTreeSet::from_iter(&ids).len(), 40, "seed {seed}");
        let approvals = ids.iter().enumerate().map(|(n, id)| {
            let (worlds, stores) = (&worlds, &stores);
            async move {
                let mut tries = 0;
                // On the version that was seen first; a lever may have answered since, then on that one.
                'looking: loop {
                    let seen = stores.cases.get(&id.as_str().into()).await.unwrap().unwrap();
                    loop {
                        let world = &worlds[(n + tries) % 2];
                        tries += 1;
                        let decided = world.decide_at(id, Decision::Approve, "alice", "go", seen.version);
                        match decided.await {
                            Ok(_) => return,
                            Err(status) if status.code() == Code::Unavailable => {}
                            Err(status) => {
                                let changed = "quarantine.version_changed".to_owned();
                                let refused = Err::<(), _>(status);
                                assert_eq!(
                                    code_of(refused),
                                    (Code::FailedPrecondition, changed),
                                    "seed {seed}"
                                );
                                continue 'looking;
                            }
                        }
                    }
                }
            }
        });
        futures::future::join_all(approvals).await;
        faults.set_per_thousand(0);
        let filter = CaseFilter {
            limit: 1_000,
            ..CaseFilter::default()
        };
        for case in stores.cases.list(&filter).await.unwrap() {
            let approvals = case.timeline.iter().filter(|entry| entry.kind == "approved");
            assert_eq!(approvals.map(|entry| entry.count).sum::<u32>(), 1, "seed {seed}");
            // A lever whose answer was lost is asked again after a while.
            worlds[0]
                .until("the levers have settled", async |w| {
                    w.clock.advance(Duration::from_millis(200));
                    w.case(case.id.as_str()).await.quarantine.phase.as_str() == "confirmed"
                })
                .await;
        }
        let rows = stores.action_log.recent(&"default".into(), None, 1_000).await;
        let rows: Vec<_> = rows.unwrap().into_iter().map(|stored| stored.row).collect();
        let count = |kind: &str| {
            rows.iter()
                .filter(|row| row.kind == kind && row.outcome == "done")
                .count()
        };
        assert_eq!(
            (count("case_opened"), count("user_approved")),
            (40, 40),
            "seed {seed}"
        );
        let automatic = rows
            .iter()
            .filter(|row| row.kind == "quarantine_requested" && row.payload["automatic"] == true);
        assert_eq!(automatic.count(), 10, "seed {seed}");
    }
}
