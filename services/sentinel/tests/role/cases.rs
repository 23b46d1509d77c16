//! One replica with everything: what follows from a case.

use crate::fixtures::{execution, healed, key, waiting};
use crate::world::World;
use immune_proto::convert::time::to_wire;
use immune_proto::v1;
use immune_proto::v1::judge_since_response::Verdict;
use immune_runtime::clock::{Clock, System};

/// Guarantees: the execution is told to quarantine, unless it did nothing; after the watch has begun again the agent is judged afresh.
#[tokio::test]
async fn contained_executions_are_told_and_lost_closures_found() {
    let world = World::start().await;
    world
        .quarantine
        .cases
        .send(Ok(waiting(10.0, "confirmed")))
        .unwrap();
    world
        .until("the case is known", async |world| {
            world.agent().await.case_id == "c1"
        })
        .await;
    // An agent whose network is cut tries again and again.
    let mut attempt = execution("attempt", 20_000.0);
    (attempt.success, attempt.token_count, attempt.tool_calls) = (false, None, Some(0));
    world.run(&attempt).await;
    world.run(&execution("rogue", 20_000.0)).await;
    let heard = async |world: &World| {
        world
            .quarantine
            .executions
            .lock()
            .unwrap()
            .contains(&"rogue".to_owned())
    };
    world.until("quarantine hears of it", heard).await;
    let told = world.quarantine.executions.lock().unwrap().clone();
    assert_eq!(told, ["rogue"], "an attempt that did nothing is no breach");
    assert!(
        world.reports().is_empty(),
        "an open case of severity 10 cannot get worse"
    );
    world
        .quarantine
        .cases
        .send(Err(tonic::Status::unavailable("broken by the test")))
        .unwrap();
    world
        .until("the case is gone", async |world| {
            world.agent().await.case_id.is_empty()
        })
        .await;
    assert!(
        !world.agent().await.suspect,
        "what was seen before is not held against it"
    );
    world.run(&execution("relapse", 4_000.0)).await;
    world
        .until("it is reported", async |world| !world.reports().is_empty())
        .await;
    let evidence: Vec<String> = world.reports()[0]
        .evidence
        .iter()
        .map(|e| e.execution.to_string())
        .collect();
    assert_eq!(evidence, ["relapse"]);
}

/// Guarantees: after a healing the window begins anew, and the agent is reported again only for what came later.
#[tokio::test]
async fn a_healed_agent_begins_anew() {
    let world = World::start().await;
    world.run(&execution("spike", 4_000.0)).await;
    world
        .until("the case is known", async |world| {
            world.agent().await.case_id == "c1"
        })
        .await;
    world.quarantine.cases.send(Ok(healed(System.now()))).unwrap();
    world
        .until("the case is closed", async |world| {
            world.agent().await.case_id.is_empty()
        })
        .await;
    assert!(!world.agent().await.suspect);
    world.run(&execution("well", 1_000.0)).await;
    world
        .until("it is judged", async |world| {
            world.agent().await.deviations.is_some()
        })
        .await;
    assert_eq!(world.reports().len(), 1);
}

/// Guarantees: the proof counts executions that began afterwards, and says within, beyond or pending.
#[tokio::test]
async fn a_healing_is_proven_by_what_began_afterwards() {
    let world = World::start().await;
    world.run(&execution("sick", 9_000.0)).await;
    let since = System.now();
    let judge = async || {
        let request = v1::JudgeSinceRequest {
            key: Some(key().into()),
            since: Some(to_wire(since)),
            executions_wanted: 3,
        };
        let answer = world
            .client
            .clone()
            .judge_since(request)
            .await
            .unwrap()
            .into_inner();
        (answer.verdict(), answer.executions_seen)
    };
    assert_eq!(judge().await, (Verdict::Pending, 0));
    for i in 0..3 {
        assert_eq!(judge().await, (Verdict::Pending, i));
        world.run(&execution(&format!("well{i}"), 1_050.0)).await;
    }
    assert_eq!(judge().await, (Verdict::Within, 3));
    world.run(&execution("relapse", 20_000.0)).await;
    assert_eq!(judge().await, (Verdict::Beyond, 4));
}
