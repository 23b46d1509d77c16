//! Several replicas of the sentinel that share the agents, with everything around them.

use crate::around::baseline::Baseline;
use crate::around::quarantine::Quarantine;
use crate::bus::Bus;
use crate::fixtures::key;
use crate::world::deciding;
use immune_bus::{Partition, Record};
use immune_domain::AgentKey;
use immune_domain::policy::{Detector, Policies};
use immune_domain::vitals::Vitals;
use immune_proto::v1;
use immune_proto::v1::sentinel_service_client::SentinelServiceClient;
use immune_runtime::clock;
use immune_runtime::grpc::inproc::pair;
use immune_runtime::grpc::server::serve_in_process;
use immune_runtime::grpc::{Peers, RoleChannel};
use immune_sentinel::replay::Settings;
use immune_sentinel::{Config, Dependencies, Metrics, Service, State};
use immune_store::VitalsStore;
use immune_store::memory::{Limits, MemoryVitals};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Status, Streaming};

/// What the replicas share.
pub struct Cluster {
    pub bus: Bus,
    pub store: Arc<MemoryVitals>,
    pub quarantine: Quarantine,
    pub policies: Policies,
    pub config: Config,
    pub baseline: Peers,
}

/// One replica. Dropping it kills it.
pub struct Replica {
    /// Its number on the bus.
    pub id: usize,
    pub client: SentinelServiceClient<RoleChannel>,
    pub service: Service,
    metrics: Metrics,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl Cluster {
    /// With so many partitions, and this replica of baseline.
    pub fn new(partitions: u16, baseline: &Baseline) -> Self {
        Cluster::with(partitions, Peers::one(baseline.serve()))
    }

    pub fn with(partitions: u16, baseline: Peers) -> Self {
        Cluster {
            bus: Bus::new(partitions),
            store: Arc::new(MemoryVitals::new(Limits::default())),
            quarantine: Quarantine::new(),
            policies: deciding(Detector::Specified),
            config: Config {
                tick_interval_ms: 20,
                ..Config::default()
            },
            baseline,
        }
    }

    /// Starts a replica that holds nothing yet.
    pub fn replica(&self) -> Replica {
        let (id, member) = self.bus.join();
        let metrics = Metrics::default();
        let service = Service::new(
            self.config.clone(),
            Dependencies {
                bus: member,
                store: self.store.clone(),
                baseline: self.baseline.clone(),
                quarantine: Peers::one(self.quarantine.serve()),
                policies: self.policies.clone().into(),
                clock: clock::system(),
                metrics: metrics.clone(),
                replay: Settings::default(),
            },
        );
        let (channel, connections) = pair();
        let routes = Routes::new(service.grpc());
        tokio::spawn(serve_in_process(routes, connections, CancellationToken::new()));
        let shutdown = CancellationToken::new();
        Replica {
            id,
            client: SentinelServiceClient::new(channel),
            running: tokio::spawn(service.clone().run(shutdown.clone())),
            service,
            metrics,
            shutdown,
        }
    }

    /// Starts a replica that holds the partition of agent `a`, and everything that it needs.
    pub async fn holder(&self) -> Replica {
        let replica = self.replica();
        self.give(&replica).await;
        replica
    }

    /// Gives the partition of agent `a` to a replica, and waits until it is judged there.
    pub async fn give(&self, replica: &Replica) {
        let before = self.bus.begun(self.home()).len();
        self.bus.give(self.home(), replica.id);
        let begun = async || self.bus.begun(self.home()).len() > before;
        crate::world::until("the partition is judged", begun).await;
    }

    /// The partition of agent `a`.
    pub fn home(&self) -> Partition {
        self.bus.partition(&key())
    }

    /// What ingestion does with an execution.
    pub async fn run(&self, vitals: &Vitals) {
        self.store.append(std::slice::from_ref(vitals)).await.unwrap();
        self.bus.publish(Record::Vitals(vitals.clone()));
    }

    /// What ingestion does with executions of agent `a`; waits until they are judged.
    pub async fn run_judged(&self, executions: &[Vitals]) {
        let before = self.bus.acked(self.home());
        for vitals in executions {
            self.run(vitals).await;
        }
        let acked = async || self.bus.acked(self.home()) >= before + executions.len();
        crate::world::until("they are judged", acked).await;
    }
}

impl Replica {
    /// What it says of an agent.
    pub async fn ask(&self, key: &AgentKey) -> Result<Option<v1::AgentState>, Status> {
        let request = v1::GetAgentRequest {
            key: Some(key.into()),
        };
        let answer = self.client.clone().get_agent(request).await?;
        Ok(answer.into_inner().agent)
    }

    /// What it says of agent `a`.
    pub async fn agent(&self) -> v1::AgentState {
        self.ask(&key()).await.unwrap().unwrap()
    }

    pub fn state(&self) -> State {
        *self.service.state().borrow()
    }

    /// Reports that it gave up because another replica, or a case, answers them.
    pub fn withdrawn(&self) -> u64 {
        self.metrics.withdrawn.get()
    }

    pub async fn verdicts(&self) -> Verdicts {
        let request = v1::WatchVerdictsRequest {};
        Verdicts(
            self.client
                .clone()
                .watch_verdicts(request)
                .await
                .unwrap()
                .into_inner(),
        )
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // First the loop, so that nothing is ended properly; then what it has started.
        self.running.abort();
        self.shutdown.cancel();
    }
}

/// The verdicts of a replica.
pub struct Verdicts(Streaming<v1::WatchVerdictsResponse>);

impl Verdicts {
    /// The next one: execution, and why it does not teach.
    pub async fn next(&mut self) -> (String, String) {
        let message = timeout(Duration::from_secs(10), self.0.message()).await;
        let verdict = message.expect("a verdict").unwrap().unwrap();
        assert_eq!(verdict.teaches, verdict.reason.is_empty());
        (verdict.execution_id, verdict.reason)
    }
}
