//! Several replicas of the role over one store.

use crate::harness::World;
use immune_domain::case::{State, WaitReason};
use immune_domain::policy::{BlastRadius, Policy};
use immune_proto::v1;
use immune_proto::v1::Decision;
use immune_runtime::clock::{Clock, Manual, System};
use immune_store::Stores;
use immune_store::cases::CaseFilter;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const AGENTS: usize = 200;
pub const CAP: u32 = 40;

pub fn capped(agents: u32) -> Policy {
    let blast_radius = BlastRadius { agents, share: 0.0 };
    Policy {
        blast_radius,
        ..Policy::default()
    }
}

pub async fn two(stores: Stores, policy: Policy) -> [World; 2] {
    let first = World::start(stores, policy, Manual::at(System.now())).await;
    let second = first.beside("second").await;
    [first, second]
}

pub fn agent(n: usize) -> String {
    format!("agent-{n}")
}

/// Everyone reports, each to both replicas at once, twice the same infection and once another one.
pub async fn everyone_reports(worlds: &[World; 2]) {
    let reports = (0..AGENTS).flat_map(|n| {
        let word = |world: usize, id: String| async move {
            worlds[world].report_until_accepted(&agent(n), &id, 5.0).await
        };
        [
            word(n % 2, format!("i-{n}")),
            word((n + 1) % 2, format!("i-{n}")),
            word((n + 1) % 2, format!("again-{n}")),
        ]
    });
    let answers = futures::future::join_all(reports).await;
    // An answer that was lost to a database in distress is followed by "known already".
    assert!(answers.iter().filter(|answer| answer.opened).count() <= AGENTS);
}

pub async fn check_everyone(worlds: &[World; 2]) {
    let filter = CaseFilter {
        limit: 1_000,
        ..CaseFilter::default()
    };
    let cases = worlds[0].stores.cases.list(&filter).await.unwrap();
    let of_agents = BTreeSet::from_iter(cases.iter().map(|case| case.key.agent.to_string()));
    assert_eq!(
        (cases.len(), of_agents.len()),
        (AGENTS, AGENTS),
        "one case per agent"
    );
    let contained = cases.iter().filter(|case| case.denies_admission()).count();
    let beyond = cases.iter().filter(|case| {
        matches!(
            &case.state,
            State::AwaitingApproval {
                reason: WaitReason::BlastRadius { cap: CAP },
                ..
            }
        )
    });
    assert_eq!((contained, beyond.count()), (CAP as usize, AGENTS - CAP as usize));
    for world in worlds {
        world
            .until("both replicas know who is quarantined", async |w| {
                let mut denied = 0;
                for case in &cases {
                    let answer = w.admission(case.key.agent.as_str()).await.unwrap();
                    denied += usize::from(!answer.allowed && case.denies_admission());
                    denied += 2 * AGENTS * usize::from(!answer.allowed && !case.denies_admission());
                }
                denied == CAP as usize
            })
            .await;
    }
    for case in cases.iter().filter(|case| case.denies_admission()) {
        worlds[1].until_phase(case.id.as_str(), "confirmed").await;
    }
    let keys = worlds[0].lever.keys();
    assert_eq!(
        (keys.len(), BTreeSet::from_iter(&keys).len()),
        (CAP as usize, CAP as usize),
        "each lever is asked once"
    );
    let log = worlds[0].log().await;
    let alerts = log.iter().filter(|kind| *kind == "blast_radius_reached").count();
    assert!((1..=2).contains(&alerts), "{alerts} alerts");
}

/// Scenario: two hundred agents fall ill at once, and both replicas hear of each of them; forty may be contained.
/// Guarantees: one case per agent, forty contained, not one more or less; each lever is asked once by one of the two;
/// both know who is quarantined; one alert, or two where both replicas saw the first at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_reports_to_two_replicas() {
    let worlds = two(immune_store::memory::stores(), capped(CAP)).await;
    everyone_reports(&worlds).await;
    check_everyone(&worlds).await;
}

/// Scenario: the same over a SQLite file.
/// Guarantees: the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_reports_to_two_replicas_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = immune_store_sqlite::SqliteStore::open(folder.path().join("immune.db"))
        .await
        .unwrap();
    let worlds = two(store.stores(), capped(CAP)).await;
    everyone_reports(&worlds).await;
    check_everyone(&worlds).await;
}

/// People decide on case after case at the same moment, half of them through each replica.
pub async fn people_decide_at_once(worlds: &[World; 2]) {
    for round in 0..10 {
        let id = worlds[0].contained(&agent(round), 8.0).await;
        let decisions = (0..20).map(|i| {
            let (world, id) = (&worlds[i % 2], &id);
            let decision = if i % 4 < 2 {
                Decision::Approve
            } else {
                Decision::Reject
            };
            async move { world.decide(id, decision, &format!("person-{i}"), "").await }
        });
        let answers = futures::future::join_all(decisions).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        let winner = worlds[1].case(&id).await.last_decision.unwrap().by.subject;
        for refused in answers.into_iter().filter_map(Result::err) {
            assert!(
                refused.message().contains(&format!("by {winner};")),
                "{}",
                refused.message()
            );
        }
    }
}

/// Scenario: ten cases; twenty people decide on each at the same moment, half of them through each replica.
/// Guarantees: exactly one wins, and everyone else is told that person's name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_decision_wins_across_replicas() {
    let worlds = two(immune_store::memory::stores(), capped(CAP)).await;
    people_decide_at_once(&worlds).await;
}

/// Scenario: nobody decides for a quarter of an hour, then for another half; two replicas watch the time.
/// Guarantees: the wait escalates once each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waits_escalate_once() {
    let worlds = two(immune_store::memory::stores(), capped(CAP)).await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(worlds[n % 2].contained(&agent(n), 8.0).await);
    }
    for (escalations, seconds) in [(1, 900), (2, 1_800)] {
        worlds[0].clock.advance(Duration::from_secs(seconds));
        for id in &ids {
            worlds[1]
                .until("the wait has escalated", async |w| {
                    matches!(w.case(id).await.state, State::AwaitingApproval { escalations: n, .. } if n == escalations)
                })
                .await;
        }
    }
    let log = worlds[0].log().await;
    let rows = log.iter().filter(|kind| *kind == "approval_escalated").count();
    assert_eq!(rows, 40);
}

/// Scenario: thirty cases may be healed; forty healers ask for one at the same moment, half of them through each
/// replica; when their leases have lapsed, thirty others ask.
/// Guarantees: no case is given twice, each healer has its own name on its case, and fencing tokens grow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healers_of_two_replicas_share_the_cases() {
    let worlds = two(immune_store::memory::stores(), capped(CAP)).await;
    for n in 0..30 {
        worlds[n % 2].contained(&agent(n), 5.0).await;
    }
    let ask = |healers: usize, prefix: &'static str| {
        let worlds = &worlds;
        async move {
            let claims = (0..healers).map(|i| async move {
                let worker = format!("{prefix}-{i}");
                worlds[i % 2].claim(&worker).await
            });
            let claims = futures::future::join_all(claims).await;
            let given = claims
                .into_iter()
                .filter_map(|c| Some((c.case?.case_id, c.fence)));
            given.collect::<Vec<(String, u64)>>()
        }
    };
    let first = ask(40, "early").await;
    let by_case: BTreeMap<String, u64> = first.iter().cloned().collect();
    assert_eq!((first.len(), by_case.len()), (30, 30));
    assert!(ask(5, "too-early").await.is_empty());
    worlds[0].clock.advance(Duration::from_secs(31));
    let second = ask(30, "late").await;
    let again = BTreeSet::from_iter(second.iter().map(|(id, _)| id.clone()));
    assert_eq!((second.len(), again.len()), (30, 30));
    for (id, fence) in second {
        assert!(fence > by_case[&id], "{id}: {fence} after {}", by_case[&id]);
    }
}

/// Scenario: somebody watches through one replica while the other saves.
/// Guarantees: the event comes, and the other's admission check knows the case.
#[tokio::test]
async fn what_one_saves_the_other_hears() {
    let worlds = two(immune_store::memory::stores(), capped(CAP)).await;
    let request = v1::WatchCasesRequest {
        after_sequence: 0,
        from_now: false,
        ..Default::default()
    };
    let mut stream = worlds[1]
        .client
        .clone()
        .watch_cases(request)
        .await
        .unwrap()
        .into_inner();
    let id = worlds[0].report("a", "i-1", 8.0).await.case_id;
    let event = tokio::time::timeout(Duration::from_secs(10), stream.message()).await;
    let Some(v1::watch_cases_response::Change::Event(event)) = event.unwrap().unwrap().unwrap().change else {
        panic!("an event");
    };
    assert_eq!(event.case.unwrap().case_id, id);
    worlds[1]
        .until("the other knows", async |w| {
            !w.admission("a").await.unwrap().allowed
        })
        .await;
    worlds[0]
        .decide(&id, Decision::Release, "dora", "known experiment")
        .await
        .unwrap();
    worlds[1]
        .until("the release is known", async |w| {
            w.admission("a").await.unwrap().allowed
        })
        .await;
}
