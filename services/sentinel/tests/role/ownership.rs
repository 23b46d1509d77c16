//! Who answers for which agent.

use crate::around::baseline::Baseline;
use crate::cluster::Cluster;
use crate::fixtures::{execution_of, key, profile};
use crate::world::until;
use immune_bus::Partition;
use immune_domain::AgentKey;
use immune_proto::convert::time::to_wire;
use immune_proto::v1;
use immune_runtime::clock::{Clock, System};
use immune_runtime::grpc::not_owner;

fn cluster() -> Cluster {
    Cluster::new(2, &Baseline::holding(&[0, 1], 2, vec![profile()]))
}

/// An agent that was never seen, in another partition than `a`, or in the same.
fn stranger(of_home: bool) -> AgentKey {
    let home = Partition::of(&key(), 2);
    let named = |i: u32| AgentKey::new("default", format!("s{i}"));
    (0..).map(named).find(|key| home.holds(key) == of_home).unwrap()
}

/// Scenario: two replicas hold one partition each; then they swap.
/// Guarantees: every question about one agent is answered by the replica that holds it, also when the agent was never
/// seen, and refused by the other one with the word that sends the caller on.
#[tokio::test]
async fn one_agent_is_asked_about_where_it_is_held() {
    let cluster = cluster();
    let (one, two) = (cluster.holder().await, cluster.replica());
    let (home, away) = (cluster.home(), cluster.bus.partition(&stranger(false)));
    cluster.bus.give(away, two.id);
    cluster.run(&execution_of(&key(), "e1", 1_000.0)).await;
    cluster.run(&execution_of(&stranger(false), "e2", 1_000.0)).await;
    for swapped in [false, true] {
        if swapped {
            cluster.bus.give(home, two.id);
            cluster.bus.give(away, one.id);
        }
        let (holder, other) = if swapped { (&two, &one) } else { (&one, &two) };
        for (near, far, agent) in [
            (holder, other, key()),
            (holder, other, stranger(true)),
            (other, holder, stranger(false)),
        ] {
            until("it has left", async || far.ask(&agent).await.is_err()).await;
            until("it has come", async || near.ask(&agent).await.is_ok()).await;
            let asked = v1::JudgeSinceRequest {
                key: Some((&agent).into()),
                since: Some(to_wire(System.now())),
                executions_wanted: 1,
            };
            let told = v1::ReportAgentInfectedRequest {
                key: Some((&agent).into()),
                reason: "canary leaked".to_owned(),
                ..v1::ReportAgentInfectedRequest::default()
            };
            assert!(near.client.clone().judge_since(asked.clone()).await.is_ok());
            let refusals = [
                far.ask(&agent).await.map(|_| ()),
                far.client.clone().judge_since(asked).await.map(|_| ()),
                far.client
                    .clone()
                    .report_agent_infected(told.clone())
                    .await
                    .map(|_| ()),
            ];
            for refusal in refusals {
                assert!(not_owner::is(&refusal.unwrap_err()), "{agent} swapped: {swapped}");
            }
            let case = near.client.clone().report_agent_infected(told).await.unwrap();
            assert!(!case.into_inner().case_id.is_empty());
            assert_eq!(cluster.quarantine.opened(&agent), 1);
        }
    }
}

/// Guarantees: every replica lists all agents of a run, and says which ones it judges; what it holds shows in its
/// state.
#[tokio::test]
async fn each_lists_all_and_says_which_it_judges() {
    let cluster = cluster();
    let (one, two) = (cluster.holder().await, cluster.replica());
    cluster.bus.give(cluster.bus.partition(&stranger(false)), two.id);
    let agents = [key(), stranger(true), stranger(false)];
    for agent in &agents {
        cluster.run(&execution_of(agent, "sick", 9_000.0)).await;
    }
    until("agent a is suspect", async || one.agent().await.suspect).await;
    until("both hold one", async || {
        [&one, &two]
            .iter()
            .all(|replica| replica.state().partitions_held == 1)
    })
    .await;
    for (replica, holds_home) in [(&one, true), (&two, false)] {
        let request = v1::ListAgentsRequest {
            run_id: "default".to_owned(),
            ..v1::ListAgentsRequest::default()
        };
        let list = replica
            .client
            .clone()
            .list_agents(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!((list.total, list.seen_last_hour, list.agents.len()), (3, 3, 3));
        for state in list.agents {
            let agent = AgentKey::try_from(state.key.clone().unwrap()).unwrap();
            assert_eq!(state.live, cluster.home().holds(&agent) == holds_home, "{agent}");
            assert_eq!(state.suspect, agent == key() && holds_home);
            let samples = if agent == key() { 15 } else { 0 };
            assert_eq!(state.baseline_samples, samples, "profiles are known to all");
        }
        assert!(replica.state().profiles_known && replica.state().cases_known);
    }
}
