//! The role under test with everything around it.

use crate::sentinel::Scripted;
use immune_baseline::{Config, Dependencies, Metrics, Service, State};
use immune_bus::local::{LocalPublisher, local};
use immune_bus::{Consumer, Publisher, Record};
use immune_domain::case::Person;
use immune_domain::policy::LivePolicies;
use immune_domain::vitals::{Completeness, Source, Vitals};
use immune_domain::{AgentKey, Timestamp};
use immune_proto::v1;
use immune_proto::v1::baseline_service_client::BaselineServiceClient;
use immune_runtime::access::{RoleName, with_person};
use immune_runtime::clock;
use immune_runtime::grpc::inproc::pair;
use immune_runtime::grpc::server::serve_in_process;
use immune_runtime::grpc::{ClientSecurity, Options, Peers, RoleChannel, Target};
use immune_store::BaselineStore;
use immune_store::memory::MemoryBaselines;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;

/// How long a test waits for what must happen.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until something is so.
pub async fn eventually<T>(what: &str, mut is_so: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = is_so().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// One replica of the role.
pub struct Replica {
    pub client: BaselineServiceClient<RoleChannel>,
    pub state: watch::Receiver<State>,
    pub metrics: Metrics,
    pub shutdown: CancellationToken,
    pub running: JoinHandle<()>,
}

impl Replica {
    pub fn start(
        store: Arc<dyn BaselineStore>,
        bus: Box<dyn Consumer>,
        sentinel: Peers,
        config: Config,
    ) -> Self {
        let (shutdown, metrics) = (CancellationToken::new(), Metrics::default());
        let dependencies = Dependencies {
            store,
            bus,
            sentinel,
            policies: LivePolicies::default(),
            clock: clock::system(),
            metrics: metrics.clone(),
        };
        let service = Service::new(config, dependencies);
        let (channel, connections) = pair();
        let routes = Routes::new(service.grpc());
        tokio::spawn(serve_in_process(routes, connections, CancellationToken::new()));
        let state = service.state();
        let running = tokio::spawn(service.run(shutdown.clone()));
        Replica {
            client: BaselineServiceClient::new(channel),
            state,
            metrics,
            shutdown,
            running,
        }
    }

    pub async fn profile_of(&self, key: &AgentKey) -> Result<Option<v1::Profile>, Status> {
        let request = v1::GetProfileRequest {
            key: Some(key.into()),
        };
        let answer = self.client.clone().get_profile(request).await?;
        Ok(answer.into_inner().profile)
    }

    /// Waits until it holds so many partitions, with their profiles.
    pub async fn holds(&self, count: usize) {
        eventually("partitions", async || {
            let state = self.state.borrow();
            (state.is_loaded && state.partitions_held == count).then_some(())
        })
        .await;
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(DEADLINE, self.running)
            .await
            .unwrap()
            .unwrap();
    }

    /// Ends it where it stands, as a killed process ends.
    pub async fn kill(self) {
        self.running.abort();
        let _ = self.running.await;
    }
}

/// Options that make tests quick.
pub fn quick() -> Config {
    Config {
        flush_interval_ms: 10,
        ..Config::default()
    }
}

/// One replica on the in-process bus.
pub struct World {
    pub store: Arc<MemoryBaselines>,
    pub sentinel: Scripted,
    pub bus: LocalPublisher,
    pub replica: Replica,
}

impl World {
    pub fn start(store: Arc<MemoryBaselines>) -> Self {
        let sentinel = Scripted::new();
        let (bus, consumers) = local(&["baseline"], 64);
        let consumer = Box::new(consumers.into_iter().next().unwrap());
        let replica = Replica::start(store.clone(), consumer, Peers::one(sentinel.serve()), quick());
        World {
            store,
            sentinel,
            bus,
            replica,
        }
    }

    pub fn client(&self) -> BaselineServiceClient<RoleChannel> {
        self.replica.client.clone()
    }

    pub async fn send(&self, vitals: &Vitals) {
        self.bus
            .publish(Arc::from([Record::Vitals(vitals.clone())]))
            .await
            .unwrap();
    }

    /// Sends executions and has them judged.
    pub async fn teach(&self, range: Range<u32>, teaches: bool) {
        for i in range {
            let vitals = execution(i);
            self.send(&vitals).await;
            self.sentinel.judge(&vitals, teaches);
        }
    }

    /// A person has the profile reset; whether there was one.
    pub async fn reset(&self) -> bool {
        let request = v1::ResetProfileRequest {
            key: Some(key().into()),
            reason: "the test wants it".to_owned(),
        };
        let request = with_person(request, &alice());
        let answer = self.client().reset_profile(request).await.unwrap();
        answer.into_inner().existed
    }

    pub async fn profile(&self) -> Option<v1::Profile> {
        self.replica.profile_of(&key()).await.unwrap()
    }

    /// Waits until the profile has so many samples.
    pub async fn profile_with(&self, samples: u64) -> v1::Profile {
        eventually(&format!("a profile with {samples} samples"), async || {
            self.profile()
                .await
                .filter(|profile| profile.sample_count == samples)
        })
        .await
    }

    pub async fn stop(self) -> Arc<MemoryBaselines> {
        self.replica.stop().await;
        self.store
    }
}

/// The replicas of the sentinel at these addresses, for as long as the token is not cancelled.
pub fn peers(addresses: &[String], shutdown: CancellationToken) -> Peers {
    let target = Target::parse(RoleName::Sentinel, &addresses.join(",")).unwrap();
    let (options, metrics) = (Options::default(), Default::default());
    Peers::resolve(&target, ClientSecurity::Stranger, &options, &metrics, shutdown)
}

/// Several replicas of a sentinel, each listening on a port of its own.
pub async fn sentinels<const N: usize>() -> ([Scripted; N], Vec<String>) {
    let sentinels = std::array::from_fn(|_| Scripted::new());
    let mut addresses = Vec::new();
    for sentinel in &sentinels {
        addresses.push(sentinel.listen(0, CancellationToken::new()).await);
    }
    (sentinels, addresses)
}

/// Somebody who is known.
pub fn alice() -> Person {
    Person {
        subject: "alice".to_owned(),
        via: "api_key".to_owned(),
    }
}

pub fn key() -> AgentKey {
    AgentKey::new("default", "a")
}

/// The i-th execution of the first agent: latency 1,000 + i milliseconds.
pub fn execution(i: u32) -> Vitals {
    execution_of(&key(), i)
}

/// The i-th execution, which began just now rather than long ago.
pub fn now(i: u32) -> Vitals {
    let mut vitals = execution(i);
    let now = clock::system().now();
    (vitals.started_at, vitals.timestamp, vitals.received_at) = (now, now, now);
    vitals
}

/// The i-th execution of an agent.
pub fn execution_of(key: &AgentKey, i: u32) -> Vitals {
    let now = Timestamp::from_micros(1_700_000_000_000_000 + i64::from(i) * 1_000_000);
    Vitals {
        key: key.clone(),
        execution: format!("e{i}").into(),
        revision: 0,
        started_at: now,
        timestamp: now,
        received_at: now,
        latency_ms: 1_000.0 + f64::from(i),
        input_tokens: None,
        output_tokens: None,
        token_count: Some(100),
        tool_calls: None,
        retries: Some(0),
        success: true,
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::default(),
    }
}

pub fn latency(profile: &v1::Profile) -> &v1::Moments {
    let is_latency = |m: &&v1::Moments| m.metric == i32::from(v1::Metric::Latency);
    profile.moments.iter().find(is_latency).unwrap()
}
