//! The sentinel with everything around it: a baseline and a quarantine that say what the test says and write down
//! what they hear, the in-memory store of vitals, the in-process bus, real gRPC in between.

use crate::around::baseline::Baseline;
use crate::around::quarantine::Quarantine;
use crate::fixtures::{execution, key, profile};
use immune_bus::local::{LocalPublisher, local};
use immune_bus::{Publisher, Record};
use immune_domain::ExecutionId;
use immune_domain::baseline::Profile;
use immune_domain::detection::Infection;
use immune_domain::policy::{Detector, Policies, Policy};
use immune_domain::vitals::Vitals;
use immune_proto::v1;
use immune_proto::v1::sentinel_service_client::SentinelServiceClient;
use immune_runtime::clock;
use immune_runtime::grpc::inproc::pair;
use immune_runtime::grpc::server::serve_in_process;
use immune_runtime::grpc::{Peers, RoleChannel};
use immune_sentinel::replay::Settings;
use immune_sentinel::{Config, Dependencies, Metrics, Service};
use immune_store::VitalsStore;
use immune_store::memory::{Limits, MemoryVitals};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// How long a test waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(10);

/// The sentinel and what is around it.
pub struct World {
    pub quarantine: Quarantine,
    pub store: Arc<MemoryVitals>,
    pub bus: LocalPublisher,
    pub client: SentinelServiceClient<RoleChannel>,
    pub shutdown: CancellationToken,
}

impl World {
    /// Starts with a ready profile for agent `a`: latency 1,000 ms, deviation 100. The specified rule decides.
    pub async fn start() -> Self {
        World::start_from(deciding(Detector::Specified), &[]).await
    }

    /// Starts with the guarded detector, and with executions on record.
    pub async fn start_guarded(history: &[Vitals]) -> Self {
        World::start_from(deciding(Detector::Guarded), history).await
    }

    /// Starts with these profiles beside that of agent `a`. The specified rule decides.
    pub async fn start_with(config: Config, profiles: Vec<Profile>) -> Self {
        World::start_as(config, deciding(Detector::Specified), &[], profiles).await
    }

    async fn start_from(policies: Policies, history: &[Vitals]) -> Self {
        let config = Config {
            tick_interval_ms: 20,
            ..Config::default()
        };
        World::start_as(config, policies, history, Vec::new()).await
    }

    async fn start_as(
        config: Config,
        policies: Policies,
        history: &[Vitals],
        mut profiles: Vec<Profile>,
    ) -> Self {
        profiles.push(profile());
        let quarantine = Quarantine::new();
        let baseline = Baseline::holding(&[0], 1, profiles);
        let store = Arc::new(MemoryVitals::new(Limits::default()));
        store.append(history).await.unwrap();
        let (bus, consumers) = local(&["sentinel"], 64);
        let service = Service::new(
            config,
            Dependencies {
                bus: Box::new(consumers.into_iter().next().unwrap()),
                store: store.clone(),
                baseline: Peers::one(baseline.serve()),
                quarantine: Peers::one(quarantine.serve()),
                policies: policies.into(),
                clock: clock::system(),
                metrics: Metrics::default(),
                replay: Settings::default(),
            },
        );
        let (channel, connections) = pair();
        tokio::spawn(serve_in_process(
            Routes::new(service.grpc()),
            connections,
            CancellationToken::new(),
        ));
        let shutdown = CancellationToken::new();
        tokio::spawn(service.run(shutdown.clone()));
        let client = SentinelServiceClient::new(channel);
        let world = World {
            quarantine,
            store,
            bus,
            client,
            shutdown,
        };
        // One execution makes the agent known; when it shows its profile, the watch has begun.
        world.run(&execution("first", 1_000.0)).await;
        world
            .until("the profile is known", async |world| {
                world.agent().await.baseline_samples == 15
            })
            .await;
        world
    }

    /// What ingestion does with an execution.
    pub async fn run(&self, vitals: &Vitals) {
        self.store.append(std::slice::from_ref(vitals)).await.unwrap();
        self.bus
            .publish(Arc::from([Record::Vitals(vitals.clone())]))
            .await
            .unwrap();
    }

    pub async fn retract(&self, execution: &str) {
        let record = Record::Retracted(key(), ExecutionId::from(execution));
        self.bus.publish(Arc::from([record])).await.unwrap();
    }

    /// What the sentinel says of agent `a`.
    pub async fn agent(&self) -> v1::AgentState {
        let request = v1::GetAgentRequest {
            key: Some(key().into()),
        };
        self.client
            .clone()
            .get_agent(request)
            .await
            .unwrap()
            .into_inner()
            .agent
            .unwrap()
    }

    pub fn reports(&self) -> Vec<Infection> {
        self.quarantine.reports.lock().unwrap().clone()
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, holds: impl AsyncFn(&World) -> bool) {
        until(what, async || holds(self).await).await;
    }
}

/// Waits until something holds.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(DEADLINE, wait).await;
    assert!(waited.is_ok(), "waited in vain until {what}");
}

/// This detector decides about every agent.
pub fn deciding(detector: Detector) -> Policies {
    Policies {
        defaults: Policy {
            detector,
            ..Policy::default()
        },
        ..Policies::default()
    }
}
