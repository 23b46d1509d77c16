//! Several replicas on a bus with partitions.

use crate::bus::Bus;
use crate::sentinel::Scripted;
use crate::store::Troubled;
use crate::world::{DEADLINE, Replica, alice, eventually, execution_of, peers, quick, sentinels};
use immune_baseline::Config;
use immune_bus::Record;
use immune_domain::AgentKey;
use immune_domain::vitals::Vitals;
use immune_proto::v1;
use immune_proto::v1::watch_profiles_response::Change;
use immune_runtime::access::with_person;
use immune_runtime::grpc::not_owner;
use immune_store::BaselineStore;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const PARTITIONS: u16 = 4;

/// A bus, a store and two replicas of the sentinel.
struct World {
    bus: Bus,
    store: Arc<Troubled>,
    sentinels: [Scripted; 2],
    addresses: Vec<String>,
}

impl World {
    async fn new() -> Self {
        let (sentinels, addresses) = sentinels().await;
        World {
            bus: Bus::new(PARTITIONS),
            store: Arc::new(Troubled::new(0, 0)),
            sentinels,
            addresses,
        }
    }

    fn start_with(&self, config: Config) -> (usize, Replica) {
        let (id, member) = self.bus.join();
        let sentinel = peers(&self.addresses, CancellationToken::new());
        (id, Replica::start(self.store.clone(), member, sentinel, config))
    }

    fn start(&self) -> (usize, Replica) {
        self.start_with(quick())
    }

    /// Publishes an execution and has it judged, by one replica of the sentinel or the other.
    fn teach(&self, vitals: &Vitals) {
        self.bus.publish(&[Record::Vitals(vitals.clone())]);
        let sentinel = vitals.latency_ms as usize % 2;
        self.sentinels[sentinel].judge(vitals, true);
    }

    async fn samples(&self, key: &AgentKey) -> u64 {
        let stored = self.store.get(key).await.unwrap();
        stored.map_or(0, |stored| stored.profile.sample_count)
    }

    async fn has_samples(&self, key: &AgentKey, samples: u64) {
        let what = format!("{samples} samples of {key}");
        eventually(&what, async || (self.samples(key).await == samples).then_some(())).await;
    }
}

/// An agent of a partition.
fn agent_in(bus: &Bus, partition: u16) -> AgentKey {
    let mut keys = (0..).map(|i| AgentKey::new("default", format!("agent-{i}")));
    keys.find(|key| bus.partition(key) == partition).unwrap()
}

/// Scenario: two replicas with two partitions each; agents of all of them are judged by two replicas of the sentinel.
/// Guarantees: every agent is learned by the replica that holds it, whichever sentinel judged; the other says that it
/// is not the owner, also of a reset; either counts all that are ready.
#[tokio::test]
async fn two_replicas_share_the_agents() {
    let world = World::new().await;
    let replicas = [world.start(), world.start()];
    for partition in 0..PARTITIONS {
        world
            .bus
            .assign(partition, replicas[usize::from(partition % 2)].0);
    }
    let agents: Vec<AgentKey> = (0..PARTITIONS)
        .map(|partition| agent_in(&world.bus, partition))
        .collect();
    for i in 0..15 {
        agents.iter().for_each(|key| world.teach(&execution_of(key, i)));
    }
    for (partition, key) in agents.iter().enumerate() {
        world.has_samples(key, 15).await;
        let (holder, other) = (&replicas[partition % 2].1, &replicas[1 - partition % 2].1);
        let profile = eventually("the profile", async || {
            let profile = holder.profile_of(key).await.unwrap();
            profile.filter(|profile| profile.sample_count == 15)
        });
        assert_eq!(profile.await.state(), v1::ProfileState::Active);
        assert!(not_owner::is(&other.profile_of(key).await.unwrap_err()));
        let request = v1::ResetProfileRequest {
            key: Some(key.into()),
            reason: String::new(),
        };
        let request = with_person(request, &alice());
        assert!(not_owner::is(
            &other.client.clone().reset_profile(request).await.unwrap_err()
        ));
    }
    for (_, replica) in &replicas {
        replica.holds(2).await;
        let request = v1::CountReadyProfilesRequest::default();
        let ready = replica
            .client
            .clone()
            .count_ready_profiles(request)
            .await
            .unwrap();
        assert_eq!(ready.into_inner().count, 4);
    }
}

/// Scenario: another replica takes a partition over before the bus tells the first, which goes on to receive records
/// and verdicts.
/// Guarantees: the first stores nothing of it any more, answers for it no more, and goes on with its other partitions;
/// every execution counts once.
#[tokio::test]
async fn an_overtaken_replica_stores_nothing() {
    let world = World::new().await;
    let (first, second) = (world.start(), world.start());
    world.bus.assign(0, first.0);
    world.bus.assign(1, first.0);
    let (stolen, kept) = (agent_in(&world.bus, 0), agent_in(&world.bus, 1));
    (0..3).for_each(|i| world.teach(&execution_of(&stolen, i)));
    world.has_samples(&stolen, 3).await;
    world.bus.steal(0, second.0);
    second.1.holds(1).await;
    for i in 3..6 {
        world.teach(&execution_of(&stolen, i));
        world.teach(&execution_of(&kept, i));
    }
    world.has_samples(&stolen, 6).await;
    world.has_samples(&kept, 3).await;
    eventually("the first to give up", async || {
        (first.1.metrics.overtaken.get() == 1).then_some(())
    })
    .await;
    assert!(not_owner::is(&first.1.profile_of(&stolen).await.unwrap_err()));
    assert_eq!(first.1.state.borrow().partitions_held, 1);
    world.bus.tell_lost(0, first.0);
    first.1.holds(1).await;
    assert_eq!(world.samples(&stolen).await, 6);
}

/// Scenario: an execution is learned, its replica is killed, and a correction and a repetition of it come to the one
/// that takes over.
/// Guarantees: neither teaches a second time; what is new is learned.
#[tokio::test]
async fn corrections_after_a_take_over_do_not_teach_again() {
    let world = World::new().await;
    let (id, replica) = world.start();
    world.bus.assign(0, id);
    let key = agent_in(&world.bus, 0);
    (0..2).for_each(|i| world.teach(&execution_of(&key, i)));
    world.has_samples(&key, 2).await;
    replica.kill().await;
    let (id, replica) = world.start();
    world.bus.assign(0, id);
    let corrected = Vitals {
        revision: 1,
        ..execution_of(&key, 0)
    };
    world.teach(&corrected);
    world.teach(&execution_of(&key, 1));
    world.teach(&execution_of(&key, 2));
    world.has_samples(&key, 3).await;
    assert_eq!(replica.metrics.unreplaced.get(), 1);
    assert_eq!(replica.metrics.repeated.get(), 1);
}

/// Scenario: a watch on a replica that holds one partition, gains another with profiles, and loses the first.
/// Guarantees: the snapshot names the partition held; the gained one's profiles are sent, then a snapshot that names
/// it; the loss is not told.
#[tokio::test]
async fn watches_tell_what_is_gained() {
    let world = World::new().await;
    let (first, second) = (world.start(), world.start());
    world.bus.assign(0, first.0);
    world.bus.assign(1, second.0);
    let keys = [agent_in(&world.bus, 0), agent_in(&world.bus, 1)];
    for key in &keys {
        world.teach(&execution_of(key, 0));
        world.has_samples(key, 1).await;
    }
    let mut client = second.1.client.clone();
    let watch = client.watch_profiles(v1::WatchProfilesRequest {}).await;
    let mut watch = watch.unwrap().into_inner();
    let mut next = async || {
        let message = tokio::time::timeout(DEADLINE, watch.message())
            .await
            .expect("a message");
        message
            .expect("no error")
            .and_then(|message| message.change)
            .expect("a change")
    };
    for (partition, key) in [(1, &keys[1]), (0, &keys[0])] {
        world.bus.assign(partition, second.0);
        let told = next().await;
        assert!(
            matches!(&told, Change::Stored(profile) if profile.key == Some(key.into())),
            "{told:?}"
        );
        let told = next().await;
        let is_snapshot = |done: &v1::watch_profiles_response::Snapshot| {
            done.partitions == [u32::from(partition)] && done.partition_count == 4 && done.profiles == 1
        };
        assert!(
            matches!(&told, Change::SnapshotDone(done) if is_snapshot(done)),
            "{told:?}"
        );
    }
    world.bus.assign(1, first.0);
    world.teach(&execution_of(&keys[0], 1));
    let told = next().await;
    assert!(
        matches!(&told, Change::Stored(profile) if profile.sample_count == 2),
        "{told:?}"
    );
}

/// Scenario: the store is away while a partition is gained and executions come, then again while the role stops.
/// Guarantees: the role says what is wrong, keeps trying and loses nothing; it stops in time without the store.
#[tokio::test]
async fn a_store_that_is_away_is_waited_for() {
    let world = World::new().await;
    let (id, replica) = world.start();
    world.store.set_away(true);
    world.bus.assign(0, id);
    let key = agent_in(&world.bus, 0);
    let has_error = async || replica.state.borrow().store_error.is_some().then_some(());
    eventually("the store's error", has_error).await;
    assert!(!replica.state.borrow().is_loaded);
    world.teach(&execution_of(&key, 0));
    world.store.set_away(false);
    world.has_samples(&key, 1).await;
    replica.holds(1).await;
    assert_eq!(replica.state.borrow().store_error, None);
    world.store.set_away(true);
    world.teach(&execution_of(&key, 1));
    eventually("the store's error", has_error).await;
    let stopping = Instant::now();
    replica.stop().await;
    assert!(
        stopping.elapsed() < Duration::from_secs(8),
        "{:?}",
        stopping.elapsed()
    );
    world.store.set_away(false);
    let (id, _replica) = world.start();
    world.bus.assign(0, id);
    world.has_samples(&key, 2).await;
}

/// Scenario: more executions come than may wait, and none has a verdict; then all have.
/// Guarantees: reading stops at the limit, and goes on until every one is learned.
#[tokio::test]
async fn a_full_memory_makes_the_bus_wait() {
    let world = World::new().await;
    let (id, _replica) = world.start_with(Config {
        waiting_max: 10,
        learn_late_seconds: 0,
        ..quick()
    });
    world.bus.assign(0, id);
    let key = agent_in(&world.bus, 0);
    let executions: Vec<Vitals> = (0..40).map(|i| execution_of(&key, i)).collect();
    for vitals in &executions {
        world.bus.publish(&[Record::Vitals(vitals.clone())]);
    }
    eventually("the limit", async || (world.bus.delivered() == 10).then_some(())).await;
    for vitals in &executions {
        assert!(world.bus.delivered() <= 10 || world.samples(&key).await > 0);
        world.sentinels[0].judge(vitals, true);
    }
    world.has_samples(&key, 40).await;
}

/// Scenario: the role stops, and another replica has its partitions at once.
/// Guarantees: what had its verdict is stored before the end, and nothing is learned twice.
#[tokio::test]
async fn stopping_hands_over() {
    let world = World::new().await;
    let (id, replica) = world.start_with(Config {
        flush_interval_ms: 60_000,
        ..quick()
    });
    world.bus.assign(0, id);
    replica.holds(1).await;
    let key = agent_in(&world.bus, 0);
    (0..5).for_each(|i| world.teach(&execution_of(&key, i)));
    eventually("the deliveries", async || {
        (world.bus.delivered() == 5).then_some(())
    })
    .await;
    assert_eq!(world.samples(&key).await, 0, "nothing is flushed yet");
    replica.stop().await;
    let (id, _replica) = world.start();
    world.bus.assign(0, id);
    world.has_samples(&key, 5).await;
    assert_eq!(world.bus.holder(0), Some(id));
}
