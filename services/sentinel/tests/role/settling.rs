//! A partition is gained before everything is known that its agents are judged by.

use crate::around::baseline::{Baseline, listen};
use crate::cluster::Cluster;
use crate::fixtures::{execution, execution_of, key, profile, profile_of};
use crate::world::until;
use immune_bus::Partition;
use immune_domain::AgentKey;
use immune_proto::convert::time::to_wire;
use immune_proto::v1;
use immune_runtime::clock::{Clock, System};
use tokio_util::sync::CancellationToken;
use tonic::Code;

/// Scenario: the partition comes before any baseline has one; its executions are on the bus already.
/// Guarantees: nothing is judged and nothing called healthy; the state says what is missing; as soon as the profile is
/// told the executions are judged by it, and the agent is reported.
#[tokio::test]
async fn records_wait_for_their_profiles() {
    let baseline = Baseline::silent();
    let cluster = Cluster::new(4, &baseline);
    let replica = cluster.replica();
    cluster.run(&execution("sick", 9_000.0)).await;
    cluster.bus.give(cluster.home(), replica.id);
    until("it is gained", async || replica.state().partitions_held == 1).await;
    let mut verdicts = replica.verdicts().await;
    until("the cases are known", async || replica.state().cases_known).await;
    assert!(!replica.state().profiles_known && cluster.bus.begun(cluster.home()).is_empty());
    let other = Partition {
        index: (cluster.home().index + 1) % 4,
        count: 4,
    };
    baseline.gain(other, vec![]);
    baseline.gain(cluster.home(), vec![profile()]);
    let (execution, reason) = verdicts.next().await;
    assert_eq!(
        (execution.as_str(), reason.as_str()),
        ("sick", "anomalous_window")
    );
    assert!(replica.state().profiles_known);
    until("it is reported", async || cluster.quarantine.opened(&key()) == 1).await;
}

/// Scenario: no baseline tells anything for longer than the records wait.
/// Guarantees: the platform's word gets through; no execution is called healthy; a healing is not judged; when the
/// profile comes at last, the agent is judged by it.
#[tokio::test]
async fn waiting_for_profiles_has_a_limit() {
    let baseline = Baseline::silent();
    let mut cluster = Cluster::new(4, &baseline);
    cluster.config.settling_ms_max = 50;
    let replica = cluster.holder().await;
    let mut verdicts = replica.verdicts().await;
    cluster.run(&execution("unknown", 9_000.0)).await;
    let (_, reason) = verdicts.next().await;
    assert_eq!(reason, "profiles_unknown");
    let told = AgentKey::new("default", "told");
    let told = (0..)
        .map(|i| AgentKey::new("default", format!("{}{i}", told.agent)))
        .find(|key| cluster.home().holds(key))
        .unwrap();
    let mut vitals = execution_of(&told, "said", 1_000.0);
    vitals.context.platform_infected = Some("canary leaked".to_owned());
    cluster.run(&vitals).await;
    until("the word is reported", async || {
        cluster.quarantine.opened(&told) == 1
    })
    .await;
    let asked = v1::JudgeSinceRequest {
        key: Some(key().into()),
        since: Some(to_wire(System.now())),
        executions_wanted: 1,
    };
    let refusal = replica.client.clone().judge_since(asked).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Unavailable);
    baseline.gain(cluster.home(), vec![profile()]);
    until("it is reported", async || cluster.quarantine.opened(&key()) == 1).await;
}

/// Scenario: quarantine never says that it has told every open case.
/// Guarantees: the records wait no longer than their limit; a sick agent is reported.
#[tokio::test]
async fn waiting_for_cases_has_a_limit() {
    let mut cluster = Cluster::new(4, &Baseline::holding(&[0, 1, 2, 3], 4, vec![profile()]));
    cluster.quarantine = cluster.quarantine.reticent();
    cluster.config.settling_ms_max = 50;
    let replica = cluster.holder().await;
    cluster.run(&execution("sick", 9_000.0)).await;
    until("it is reported", async || cluster.quarantine.opened(&key()) == 1).await;
    assert!(!replica.state().cases_known && replica.state().profiles_known);
}

/// Scenario: a partition is lost while it waits, and gained again.
/// Guarantees: its deliveries begin once, for the second time of holding it.
#[tokio::test]
async fn a_partition_that_was_lost_meanwhile_begins_anew() {
    let baseline = Baseline::silent();
    let cluster = Cluster::new(4, &baseline);
    let (one, two) = (cluster.replica(), cluster.replica());
    cluster.bus.give(cluster.home(), one.id);
    until("it is gained", async || one.state().partitions_held == 1).await;
    cluster.bus.give(cluster.home(), two.id);
    until("it is lost", async || one.state().partitions_held == 0).await;
    cluster.bus.give(cluster.home(), one.id);
    cluster.run(&execution("well", 1_000.0)).await;
    baseline.gain(cluster.home(), vec![profile()]);
    until("it is judged", async || one.ask(&key()).await.is_ok()).await;
    let mut verdicts = one.verdicts().await;
    assert_eq!(verdicts.next().await, ("well".to_owned(), String::new()));
    let begun = cluster.bus.begun(cluster.home()).len();
    assert!(
        begun <= 2,
        "{begun} beginnings for two replicas that could have one"
    );
}

/// Scenario: two replicas of baseline hold one half of the agents each, then one half moves to the other, and one of
/// its profiles was forgotten on the way.
/// Guarantees: agents of both halves are judged by their profiles; what is told of one half takes nothing from the
/// other; the forgotten profile is gone.
#[tokio::test]
async fn profiles_come_from_every_baseline() {
    let halves = [0, 1].map(|index| Partition { index, count: 2 });
    let agents = |half: Partition| {
        let named = (0..).map(|i: u32| AgentKey::new("default", format!("p{i}")));
        named
            .filter(move |key| half.holds(key))
            .take(2)
            .collect::<Vec<_>>()
    };
    let (left, right) = (agents(halves[0]), agents(halves[1]));
    let profiles = |keys: &[AgentKey]| keys.iter().map(profile_of).collect::<Vec<_>>();
    let baselines = [
        Baseline::holding(&[0], 2, profiles(&left)),
        Baseline::holding(&[1], 2, profiles(&right)),
    ];
    let end = CancellationToken::new();
    let _ends = end.clone().drop_guard();
    let cluster = Cluster::with(2, listen(&baselines, end).await);
    let replica = cluster.replica();
    halves.iter().for_each(|half| cluster.bus.give(*half, replica.id));
    for agent in left.iter().chain(&right) {
        cluster.run(&execution_of(agent, "sick", 9_000.0)).await;
        until("it is reported", async || cluster.quarantine.opened(agent) == 1).await;
    }
    baselines[1].lose(halves[1]);
    baselines[0].gain(halves[1], profiles(&right[..1]));
    let samples = async |agent: &AgentKey| replica.ask(agent).await.unwrap().unwrap().baseline_samples;
    until("one is forgotten", async || samples(&right[1]).await == 0).await;
    for agent in left.iter().chain(&right[..1]) {
        assert_eq!(samples(agent).await, 15, "{agent}");
    }
}
