//! A partition moves from one replica to another: nothing is missed, nothing is told twice, and nobody is accused of
//! the past.

use crate::around::baseline::Baseline;
use crate::cluster::{Cluster, Replica};
use crate::fixtures::{execution, execution_of, key, profile, profile_of};
use crate::world::{deciding, until};
use immune_bus::{Begin, Record};
use immune_domain::AgentKey;
use immune_domain::detection::Infection;
use immune_domain::policy::Detector;
use immune_runtime::clock::{Clock, System};
use std::time::Duration;

fn cluster() -> Cluster {
    let profiles = vec![profile(), profile_of(&neighbour())];
    Cluster::new(4, &Baseline::holding(&[0, 1, 2, 3], 4, profiles))
}

/// An agent of the same partition as `a`.
fn neighbour() -> AgentKey {
    let home = immune_bus::Partition::of(&key(), 4);
    let named = |i: u32| AgentKey::new("default", format!("n{i}"));
    (0..).map(named).find(|key| home.holds(key)).unwrap()
}

fn reports(cluster: &Cluster) -> Vec<Infection> {
    cluster.quarantine.reports.lock().unwrap().clone()
}

fn names(report: &Infection) -> Vec<&str> {
    report.evidence.iter().map(|e| e.execution.as_str()).collect()
}

/// Scenario: the first half of a window is judged by a replica that is killed then; the second half, unremarkable by
/// itself, comes to the replica that takes over.
/// Guarantees: the window is whole there; the agent is reported once, with all of it; one case.
#[tokio::test]
async fn an_agent_is_caught_across_a_move() {
    let cluster = cluster();
    let first = cluster.holder().await;
    let half = ["one", "two"].map(|id| execution(id, 1_240.0));
    cluster.run_judged(&half).await;
    drop(first);
    let second = cluster.holder().await;
    cluster.run(&execution("three", 1_290.0)).await;
    until("it is reported", async || !reports(&cluster).is_empty()).await;
    let report = &reports(&cluster)[0];
    assert_eq!(report.window.executions, 3, "{report:?}");
    assert_eq!(names(report), ["one", "two", "three"]);
    until("the case is known", async || second.agent().await.case_id == "c1").await;
    assert_eq!(
        (reports(&cluster).len(), cluster.quarantine.opened(&key())),
        (1, 1)
    );
}

/// Scenario: executions were given to a replica that was killed before it acknowledged them, or before its report
/// got through.
/// Guarantees: whoever takes over judges and reports them, though nothing more comes.
#[tokio::test]
async fn what_was_left_undone_is_done() {
    let cluster = cluster();
    *cluster.quarantine.refusals.lock().unwrap() = u32::MAX;
    let first = cluster.holder().await;
    cluster.run_judged(&[execution("sick", 4_000.0)]).await;
    let refused = async || *cluster.quarantine.refusals.lock().unwrap() < u32::MAX;
    until("quarantine refuses", refused).await;
    drop(first);
    *cluster.quarantine.refusals.lock().unwrap() = 0;
    cluster.bus.forget_acks(cluster.home(), 0);
    let _second = cluster.holder().await;
    until("it is reported", async || !reports(&cluster).is_empty()).await;
    assert_eq!(names(&reports(&cluster)[0]), ["sick"]);
    assert_eq!(cluster.quarantine.opened(&key()), 1);
}

/// Scenario: quarantine is away; a replica has a report to deliver, and loses the partition.
/// Guarantees: it gives the report up, and the replica that has the agent now delivers one; one case.
#[tokio::test]
async fn reports_move_with_the_agent() {
    let cluster = cluster();
    *cluster.quarantine.refusals.lock().unwrap() = u32::MAX;
    let first = cluster.holder().await;
    cluster.run_judged(&[execution("sick", 4_000.0)]).await;
    let refused = async || *cluster.quarantine.refusals.lock().unwrap() < u32::MAX;
    until("quarantine refuses", refused).await;
    let second = cluster.replica();
    cluster.give(&second).await;
    // Both are at it for a moment; the first gives up at its next attempt, at most after the time that it waits.
    until("the first gives up", async || first.withdrawn() == 1).await;
    *cluster.quarantine.refusals.lock().unwrap() = 0;
    until("it is reported", async || !reports(&cluster).is_empty()).await;
    until("the case is known", async || second.agent().await.case_id == "c1").await;
    assert_eq!(
        (reports(&cluster).len(), cluster.quarantine.opened(&key())),
        (1, 1)
    );
}

/// Scenario: an agent is reported; its replica is killed before anybody else hears of the case; the replica that
/// takes over was there before, and is told nothing by its watch.
/// Guarantees: it finds the case itself, and does not report the same again; what gets worse is told for that case.
#[tokio::test]
async fn a_case_is_found_where_nobody_told_of_it() {
    let cluster = cluster();
    let second = cluster.replica();
    until("the cases are known", async || second.state().cases_known).await;
    let first = cluster.holder().await;
    cluster.run_judged(&[execution("sick", 2_000.0)]).await;
    until("it is reported", async || !reports(&cluster).is_empty()).await;
    drop(first);
    cluster.give(&second).await;
    until("the case is known", async || second.agent().await.case_id == "c1").await;
    assert_eq!(reports(&cluster).len(), 1);
    cluster.run(&execution("sicker", 9_000.0)).await;
    until("it is told again", async || reports(&cluster).len() == 2).await;
    assert_eq!(cluster.quarantine.opened(&key()), 1);
}

/// Scenario: an agent is reported and released; its replica is killed; the one that takes over is told nothing of the
/// case, and all the sick executions come again. Later the agent falls ill once more, and a neighbour for the first
/// time.
/// Guarantees: no case for what was before the release; one for what came after it, which shows nothing older; the
/// neighbour has one as ever.
#[tokio::test]
async fn nobody_is_accused_of_what_a_release_has_answered() {
    for detector in [Detector::Specified, Detector::Guarded] {
        let mut cluster = cluster();
        cluster.policies = deciding(detector);
        let first = cluster.holder().await;
        well(&cluster, &key()).await;
        let sick: Vec<_> = (0..6).map(|i| execution(&format!("sick{i}"), 6_000.0)).collect();
        cluster.run_judged(&sick).await;
        until("it is reported", async || !reports(&cluster).is_empty()).await;
        until("the case is known", async || first.agent().await.case_id == "c1").await;
        drop(first);
        cluster.quarantine.release(&key(), System.now());
        let told = reports(&cluster).len();
        let second = cluster.holder().await;
        let neighbour = neighbour();
        let ill: Vec<_> = (0..6)
            .map(|i| execution_of(&neighbour, &format!("ill{i}"), 6_000.0))
            .collect();
        if detector == Detector::Guarded {
            // A guard must have seen what is usual first.
            well(&cluster, &neighbour).await;
        }
        cluster.run_judged(&ill).await;
        until("the neighbour is reported", async || {
            cluster.quarantine.opened(&neighbour) == 1
        })
        .await;
        until("the agent is judged afresh", async || !is_accused(&second).await).await;
        assert_eq!(cluster.quarantine.opened(&key()), 1, "{:?}", reports(&cluster));
        let of_agent = |report: &&Infection| report.key == key();
        assert_eq!(reports(&cluster).iter().filter(of_agent).count(), told);
        let relapse: Vec<_> = (0..6).map(|i| execution(&format!("again{i}"), 6_000.0)).collect();
        cluster.run_judged(&relapse).await;
        until("the relapse is reported", async || {
            cluster.quarantine.opened(&key()) == 2
        })
        .await;
        let all = reports(&cluster);
        let last = all.iter().rev().find(of_agent).unwrap();
        assert!(
            last.evidence
                .iter()
                .all(|e| e.execution.as_str().starts_with("again")),
            "{last:?}"
        );
    }
}

const LATENCIES: [f64; 5] = [900.0, 1_050.0, 980.0, 1_100.0, 1_000.0];

async fn well(cluster: &Cluster, agent: &AgentKey) {
    let well: Vec<_> = (0..40)
        .map(|i| execution_of(agent, &format!("well{i}"), LATENCIES[i % 5]))
        .collect();
    cluster.run_judged(&well).await;
}

async fn is_accused(replica: &Replica) -> bool {
    let agent = replica.agent().await;
    agent.suspect || agent.infected_by_evidence
}

/// Scenario: executions are judged by one replica and nobody takes the verdicts; the partition moves.
/// Guarantees: whoever watches the new replica is given the same verdicts; whoever watches the old one from now on is
/// not; the bus is asked for thirty seconds, and for no more than that.
#[tokio::test]
async fn verdicts_are_repeated_where_the_agent_is() {
    let cluster = cluster();
    // No case is opened: its executions would be judged by it.
    *cluster.quarantine.refusals.lock().unwrap() = u32::MAX;
    let old = Record::Vitals(execution("old", 1_000.0));
    cluster
        .bus
        .publish_at(System.now().minus(Duration::from_secs(40)), old);
    let first = cluster.holder().await;
    until("the old one is judged", async || {
        cluster.bus.acked(cluster.home()) == 1
    })
    .await;
    cluster
        .run_judged(&["one", "two"].map(|id| execution(id, 1_000.0)))
        .await;
    cluster.run_judged(&[execution("sick", 9_000.0)]).await;
    let second = cluster.holder().await;
    let mut verdicts = second.verdicts().await;
    let healthy = |id: &str| (id.to_owned(), String::new());
    assert_eq!(verdicts.next().await, healthy("one"));
    assert_eq!(verdicts.next().await, healthy("two"));
    assert_eq!(
        verdicts.next().await,
        ("sick".to_owned(), "anomalous_window".to_owned())
    );
    let Begin::Again { since } = cluster.bus.begun(cluster.home())[1] else {
        panic!("the sentinel keeps no places")
    };
    let asked_for = System.now().since(since).as_secs_f64();
    assert!((30.0..40.0).contains(&asked_for), "{asked_for} s");
    until("the first has lost it", async || {
        first.state().partitions_held == 0
    })
    .await;
    cluster.bus.give(cluster.home(), first.id);
    until("the first has it again", async || first.ask(&key()).await.is_ok()).await;
    let mut again = first.verdicts().await;
    assert_eq!(
        again.next().await,
        healthy("one"),
        "once, not once more from before"
    );
    assert_eq!(again.next().await, healthy("two"));
    assert_eq!(again.next().await.0, "sick");
}

/// Scenario: the guarded detector decides; an agent falls ill, half of it before and half of it after a move, and all
/// of it is on record and comes again from the bus.
/// Guarantees: the second replica reports it, with a score; one case.
#[tokio::test]
async fn a_guard_goes_on_across_a_move() {
    let mut cluster = cluster();
    cluster.policies = deciding(Detector::Guarded);
    let first = cluster.holder().await;
    well(&cluster, &key()).await;
    cluster.run_judged(&[execution("ill0", 1_700.0)]).await;
    let before = first.agent().await;
    assert!(before.evidence.is_some() && !before.infected_by_evidence);
    drop(first);
    let second = cluster.holder().await;
    until("the guard has begun", async || {
        second.agent().await.evidence.is_some()
    })
    .await;
    for i in 1..6 {
        cluster.run(&execution(&format!("ill{i}"), 6_000.0)).await;
    }
    until("it is reported", async || !reports(&cluster).is_empty()).await;
    let score = reports(&cluster)[0].evidence_score;
    assert!(score.is_some_and(|score| score > 4.0), "{score:?}");
    assert_eq!(cluster.quarantine.opened(&key()), 1);
}
