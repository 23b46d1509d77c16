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
            ..Default::default()
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

/// Scenario: somebody watches the agents of a run while one is new, falls ill and is well again; an agent of another run
/// is new, too.
/// Guarantees: the watch says that it has begun; each change of this run comes, in brief and as it is now; executions
/// that change nothing that a list shows are not told; of suspects there is a list.
#[tokio::test]
async fn changes_of_agents_are_told() {
    let world = World::start().await;
    let request = v1::WatchAgentsRequest::default();
    let mut watch = world
        .client
        .clone()
        .watch_agents(request)
        .await
        .unwrap()
        .into_inner();
    let mut next = async || {
        let message = tokio::time::timeout(Duration::from_secs(10), watch.message()).await;
        message.expect("a message").unwrap().unwrap().agents
    };
    assert_eq!(next().await, vec![], "the watch has begun");
    world.run(&execution("calm", 1_000.0)).await;
    let mut elsewhere = execution("e", 1_000.0);
    elsewhere.key = immune_domain::AgentKey::new("other", "z");
    world.run(&elsewhere).await;
    let mut new = execution("e", 1_000.0);
    new.key = immune_domain::AgentKey::new("default", "new");
    world.run(&new).await;
    let told = next().await;
    let ids: Vec<&str> = told
        .iter()
        .map(|agent| agent.key.as_ref().unwrap().agent_id.as_str())
        .collect();
    assert_eq!(ids, ["new"], "what changes nothing is no news");
    assert_eq!((told[0].executions, told[0].live), (1, true));
    assert!(
        told[0]
            .latest
            .as_ref()
            .unwrap()
            .context
            .as_ref()
            .is_none_or(|c| c.model.is_none())
    );
    world.run(&execution("spike", 9_000.0)).await;
    let told = next().await;
    assert_eq!(told.len(), 1);
    assert!(
        told[0].suspect && told[0].severity > 2.0 && told[0].anomalies.is_empty(),
        "{told:?}"
    );
    let list = |request| {
        let mut client = world.client.clone();
        async move { client.list_agents(request).await.unwrap().into_inner().agents }
    };
    let suspects = list(v1::ListAgentsRequest {
        suspects: true,
        ..Default::default()
    });
    let suspects = suspects.await;
    assert_eq!(suspects.len(), 1);
    assert_eq!(
        (suspects[0].suspect, suspects[0].severity),
        (true, told[0].severity)
    );
    let named = list(v1::ListAgentsRequest {
        brief: true,
        agent_ids: vec!["new".into(), "a".into(), "nobody".into()],
        ..Default::default()
    });
    let named: Vec<String> = named
        .await
        .into_iter()
        .map(|agent| agent.key.unwrap().agent_id)
        .collect();
    assert_eq!(named, ["a", "new"]);
    let mut client = world.client.clone();
    let status = client.get_sentinel_status(v1::GetSentinelStatusRequest {}).await;
    let status = status.unwrap().into_inner();
    assert_eq!(
        (status.partitions, status.profiles_known, status.cases_known),
        (1, true, true)
    );
    assert!(
        status.idle_seconds.is_some() && status.lag_seconds.is_some(),
        "{status:?}"
    );
}
