//! One replica with everything: what it says to those who ask.

use crate::fixtures::execution;
use crate::world::World;
use immune_proto::v1;
use std::time::Duration;

/// Guarantees: whoever watches verdicts late gets those given before, and then each new one, with the reason.
#[tokio::test]
async fn late_watchers_get_what_was_said() {
    let world = World::start().await;
    world.run(&execution("spike", 9_000.0)).await;
    world
        .until("it is reported", async |world| !world.reports().is_empty())
        .await;
    let mut watch = world
        .client
        .clone()
        .watch_verdicts(v1::WatchVerdictsRequest {})
        .await
        .unwrap()
        .into_inner();
    let mut next = async || {
        let message = tokio::time::timeout(Duration::from_secs(10), watch.message())
            .await
            .expect("a verdict");
        message
            .expect("no error")
            .map(|verdict| (verdict.execution_id, verdict.teaches, verdict.reason))
    };
    assert_eq!(next().await.unwrap(), ("first".into(), true, String::new()));
    assert_eq!(
        next().await.unwrap(),
        ("spike".into(), false, "anomalous_window".into())
    );
    world
        .until("the case is known", async |world| {
            world.agent().await.case_id == "c1"
        })
        .await;
    world.run(&execution("after", 1_000.0)).await;
    assert_eq!(next().await.unwrap(), ("after".into(), false, "open_case".into()));
    world.shutdown.cancel();
    assert_eq!(next().await, None, "the watch ends with the role");
}

/// Guarantees: agents of a run are listed by id, page by page, with totals; other runs are not.
#[tokio::test]
async fn agents_are_listed_by_run() {
    let world = World::start().await;
    for (run, agent) in [("default", "b"), ("default", "c"), ("other", "z")] {
        let mut vitals = execution("e", 1_000.0);
        vitals.key = immune_domain::AgentKey::new(run, agent);
        world.run(&vitals).await;
    }
    let list = async |run: &str, after: &str, limit: u32| {
        let request = v1::ListAgentsRequest {
            run_id: run.into(),
            after: after.into(),
            limit,
        };
        let page = world
            .client
            .clone()
            .list_agents(request)
            .await
            .unwrap()
            .into_inner();
        let ids: Vec<String> = page
            .agents
            .into_iter()
            .map(|agent| agent.key.unwrap().agent_id)
            .collect();
        (ids.join(" "), page.total, page.seen_last_hour)
    };
    assert_eq!(list("", "", 2).await, ("a b".to_owned(), 3, 3));
    assert_eq!(list("default", "b", 0).await, ("c".to_owned(), 3, 3));
    assert_eq!(list("other", "", 0).await, ("z".to_owned(), 1, 1));
    let unknown = v1::GetAgentRequest {
        key: Some(v1::AgentKey {
            run_id: String::new(),
            agent_id: "bb".into(),
        }),
    };
    assert!(
        world
            .client
            .clone()
            .get_agent(unknown)
            .await
            .unwrap()
            .into_inner()
            .agent
            .is_none()
    );
}
