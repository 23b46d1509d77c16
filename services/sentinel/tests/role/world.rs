//! The sentinel with everything around it: a baseline and a quarantine that say what the test says and write down
//! what they hear, the in-memory store of vitals, the in-process bus, real gRPC in between.

use immune_bus::local::{LocalPublisher, local};
use immune_bus::{Publisher, Record};
use immune_domain::baseline::{Moments, Profile, State};
use immune_domain::detection::Infection;
use immune_domain::policy::{Detector, Policies, Policy};
use immune_domain::vitals::{Completeness, Source, Vitals};
use immune_domain::{AgentKey, ExecutionId, Timestamp};
use immune_proto::v1;
use immune_proto::v1::baseline_service_client::BaselineServiceClient;
use immune_proto::v1::baseline_service_server::BaselineServiceServer;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_proto::v1::quarantine_service_server::QuarantineServiceServer;
use immune_proto::v1::sentinel_service_client::SentinelServiceClient;
use immune_runtime::clock::{self, Clock};
use immune_runtime::grpc::inproc::pair;
use immune_runtime::grpc::server::serve_in_process;
use immune_sentinel::{Config, Dependencies, Metrics, Service};
use immune_store::VitalsStore;
use immune_store::memory::{Limits, MemoryVitals};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Response, Status};

pub type WatchStream<T> = ReceiverStream<Result<T, Status>>;

/// How long a test waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(10);

/// What the roles around the sentinel say and hear.
#[derive(Clone)]
pub struct Around {
    /// Told to every watcher of profiles at once.
    pub profiles: Arc<Mutex<Vec<Profile>>>,
    /// Told to every watcher of cases at once, as open.
    pub open_cases: Arc<Mutex<Vec<v1::Case>>>,
    /// Told to the watchers that there are.
    pub cases: broadcast::Sender<Result<v1::Case, Status>>,
    /// What quarantine accepted.
    pub reports: Arc<Mutex<Vec<Infection>>>,
    /// How often quarantine is to be unavailable first.
    pub refusals: Arc<Mutex<u32>>,
    /// Executions of contained agents that quarantine heard of.
    pub executions: Arc<Mutex<Vec<String>>>,
}

impl Around {
    fn new() -> Self {
        Around {
            profiles: Arc::default(),
            open_cases: Arc::default(),
            cases: broadcast::Sender::new(64),
            reports: Arc::default(),
            refusals: Arc::default(),
            executions: Arc::default(),
        }
    }

    /// The messages of a watch: first some, then a stream that stays open.
    pub fn stream<T: Send + 'static>(first: Vec<T>) -> (WatchStream<T>, mpsc::Sender<Result<T, Status>>) {
        let (sender, receiver) = mpsc::channel(first.len() + 64);
        first
            .into_iter()
            .for_each(|message| sender.try_send(Ok(message)).expect("room for all"));
        (ReceiverStream::new(receiver), sender)
    }
}

/// The sentinel and what is around it.
pub struct World {
    pub around: Around,
    pub store: Arc<MemoryVitals>,
    pub bus: LocalPublisher,
    pub client: SentinelServiceClient<Channel>,
    pub shutdown: CancellationToken,
}

impl World {
    /// Starts with a ready profile for agent `a`: latency 1,000 ms, deviation 100.
    pub async fn start() -> Self {
        World::start_with(Around::new()).await
    }

    pub async fn start_with(around: Around) -> Self {
        World::start_from(around, Policies::default(), &[]).await
    }

    /// Starts with the guarded detector, and with executions on record.
    pub async fn start_guarded(history: &[Vitals]) -> Self {
        let defaults = Policy {
            detector: Detector::Guarded,
            ..Policy::default()
        };
        let policies = Policies {
            defaults,
            ..Policies::default()
        };
        World::start_from(Around::new(), policies, history).await
    }

    async fn start_from(around: Around, policies: Policies, history: &[Vitals]) -> Self {
        around.profiles.lock().unwrap().push(profile());
        let store = Arc::new(MemoryVitals::new(Limits::default()));
        store.append(history).await.unwrap();
        let (to_baseline, connections) = pair();
        let routes = Routes::new(BaselineServiceServer::new(around.clone()));
        tokio::spawn(serve_in_process(routes, connections, CancellationToken::new()));
        let (to_quarantine, connections) = pair();
        let routes = Routes::new(QuarantineServiceServer::new(around.clone()));
        tokio::spawn(serve_in_process(routes, connections, CancellationToken::new()));
        let (bus, consumers) = local(&["sentinel"], 64);
        let service = Service::new(
            Config {
                tick_interval_ms: 20,
                ..Config::default()
            },
            Dependencies {
                bus: Box::new(consumers.into_iter().next().unwrap()),
                store: store.clone(),
                baseline: BaselineServiceClient::new(to_baseline),
                quarantine: QuarantineServiceClient::new(to_quarantine),
                policies,
                clock: clock::system(),
                metrics: Metrics::default(),
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
            around,
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
        self.around.reports.lock().unwrap().clone()
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, holds: impl AsyncFn(&World) -> bool) {
        let wait = async {
            while !holds(self).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(DEADLINE, wait).await;
        assert!(waited.is_ok(), "waited in vain until {what}");
    }
}

pub fn key() -> AgentKey {
    AgentKey::new("default", "a")
}

pub fn profile() -> Profile {
    let latency = Moments {
        count: 15,
        mean: 1_000.0,
        stddev: 100.0,
    };
    Profile {
        key: key(),
        version: 7,
        state: State::Active,
        sample_count: 15,
        moments: [latency, Moments::default(), Moments::default()],
        updated_at: Timestamp::EPOCH,
    }
}

/// An execution that ended just now.
pub fn execution(id: &str, latency_ms: f64) -> Vitals {
    let now = clock::System.now();
    let mut vitals = Vitals {
        key: key(),
        execution: id.into(),
        revision: 0,
        // Measured by the agent; these tests run faster than their agents say they do.
        started_at: now,
        timestamp: now,
        received_at: now.plus(Duration::from_micros((latency_ms * 1e3) as u64)),
        latency_ms,
        input_tokens: None,
        output_tokens: None,
        token_count: None,
        tool_calls: None,
        retries: Some(0),
        success: true,
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::default(),
    };
    vitals.context.trace_id = Some(format!("trace-{id}"));
    vitals.context.agent_type = Some("research".to_owned());
    vitals
}

/// Helper of the scripted roles.
pub fn ok<T>(message: T) -> Result<Response<T>, Status> {
    Ok(Response::new(message))
}
