//! The baseline role over its real gRPC service, with the in-memory store and bus, and a sentinel that says what the
//! test says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use immune_baseline::{Config, Dependencies, Metrics, Service};
use immune_bus::local::{LocalPublisher, local};
use immune_bus::{Publisher, Record};
use immune_domain::policy::Policies;
use immune_domain::vitals::{Completeness, Source, Vitals};
use immune_domain::{AgentKey, Timestamp};
use immune_proto::v1;
use immune_proto::v1::baseline_service_client::BaselineServiceClient;
use immune_proto::v1::sentinel_service_client::SentinelServiceClient;
use immune_proto::v1::sentinel_service_server::{SentinelService, SentinelServiceServer};
use immune_proto::v1::watch_profiles_response::Change;
use immune_runtime::clock;
use immune_runtime::grpc::inproc::pair;
use immune_runtime::grpc::server::serve_in_process;
use immune_store::BaselineStore;
use immune_store::memory::MemoryBaselines;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{BroadcastStream, ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// A sentinel that gives the verdicts of the test, and repeats those given before to every new watcher.
#[derive(Clone)]
struct Scripted {
    given: Arc<Mutex<Vec<v1::WatchVerdictsResponse>>>,
    stream: broadcast::Sender<Result<v1::WatchVerdictsResponse, Status>>,
}

impl Scripted {
    fn new() -> Self {
        Scripted {
            given: Arc::default(),
            stream: broadcast::Sender::new(1_024),
        }
    }

    fn judge(&self, vitals: &Vitals, teaches: bool) {
        let verdict = v1::WatchVerdictsResponse {
            key: Some((&vitals.key).into()),
            execution_id: vitals.execution.to_string(),
            revision: vitals.revision,
            teaches,
            reason: String::new(),
        };
        self.given.lock().unwrap().push(verdict.clone());
        let _ = self.stream.send(Ok(verdict));
    }

    /// Breaks every watch.
    fn break_watches(&self) {
        let _ = self.stream.send(Err(Status::unavailable("broken by the test")));
    }
}

#[tonic::async_trait]
impl SentinelService for Scripted {
    type WatchVerdictsStream = ReceiverStream<Result<v1::WatchVerdictsResponse, Status>>;

    async fn watch_verdicts(
        &self,
        _: Request<v1::WatchVerdictsRequest>,
    ) -> Result<Response<Self::WatchVerdictsStream>, Status> {
        let (sender, receiver) = tokio::sync::mpsc::channel(1_024);
        let mut stream = BroadcastStream::new(self.stream.subscribe());
        let given = self.given.lock().unwrap().clone();
        tokio::spawn(async move {
            for verdict in given {
                let _ = sender.send(Ok(verdict)).await;
            }
            while let Some(Ok(next)) = stream.next().await {
                let is_last = next.is_err();
                if sender.send(next).await.is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn judge_since(
        &self,
        _: Request<v1::JudgeSinceRequest>,
    ) -> Result<Response<v1::JudgeSinceResponse>, Status> {
        Err(Status::unimplemented("not expected"))
    }

    async fn report_agent_infected(
        &self,
        _: Request<v1::ReportAgentInfectedRequest>,
    ) -> Result<Response<v1::ReportAgentInfectedResponse>, Status> {
        Err(Status::unimplemented("not expected"))
    }

    async fn get_agent(
        &self,
        _: Request<v1::GetAgentRequest>,
    ) -> Result<Response<v1::GetAgentResponse>, Status> {
        Err(Status::unimplemented("not expected"))
    }

    async fn list_agents(
        &self,
        _: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsResponse>, Status> {
        Err(Status::unimplemented("not expected"))
    }
}

/// The role under test with everything around it.
struct World {
    store: Arc<MemoryBaselines>,
    sentinel: Scripted,
    bus: LocalPublisher,
    client: BaselineServiceClient<Channel>,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl World {
    fn start(store: Arc<MemoryBaselines>) -> Self {
        let (shutdown, sentinel) = (CancellationToken::new(), Scripted::new());
        let (to_sentinel, connections) = pair();
        let routes = Routes::new(SentinelServiceServer::new(sentinel.clone()));
        tokio::spawn(serve_in_process(routes, connections, CancellationToken::new()));
        let (bus, consumers) = local(&["baseline"], 64);
        let service = Service::new(
            Config {
                flush_interval_ms: 10,
                ..Config::default()
            },
            Dependencies {
                store: store.clone(),
                bus: Box::new(consumers.into_iter().next().unwrap()),
                sentinel: SentinelServiceClient::new(to_sentinel),
                policies: Policies::default(),
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
        let running = tokio::spawn(service.run(shutdown.clone()));
        World {
            store,
            sentinel,
            bus,
            client: BaselineServiceClient::new(channel),
            shutdown,
            running,
        }
    }

    async fn send(&self, vitals: &Vitals) {
        self.bus
            .publish(Arc::from([Record::Vitals(vitals.clone())]))
            .await
            .unwrap();
    }

    /// Sends executions and has them judged.
    async fn teach(&self, range: std::ops::Range<u32>, teaches: bool) {
        for i in range {
            let vitals = execution(i);
            self.send(&vitals).await;
            self.sentinel.judge(&vitals, teaches);
        }
    }

    async fn profile(&self) -> Option<v1::Profile> {
        let request = v1::GetProfileRequest {
            key: Some(key().into()),
        };
        self.client
            .clone()
            .get_profile(request)
            .await
            .unwrap()
            .into_inner()
            .profile
    }

    /// Waits until the profile has so many samples.
    async fn profile_with(&self, samples: u64) -> v1::Profile {
        let wait = async {
            loop {
                if let Some(profile) = self
                    .profile()
                    .await
                    .filter(|profile| profile.sample_count == samples)
                {
                    return profile;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(10), wait).await;
        match found {
            Ok(profile) => profile,
            Err(_) => panic!(
                "no profile with {samples} samples; there is {:?}",
                self.profile().await
            ),
        }
    }

    async fn stop(self) -> Arc<MemoryBaselines> {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.running)
            .await
            .unwrap()
            .unwrap();
        self.store
    }
}

fn key() -> AgentKey {
    AgentKey::new("default", "a")
}

/// The i-th execution: latency 1,000 + i milliseconds.
fn execution(i: u32) -> Vitals {
    let now = Timestamp::from_micros(1_700_000_000_000_000 + i64::from(i) * 1_000_000);
    Vitals {
        key: key(),
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

fn latency(profile: &v1::Profile) -> &v1::Moments {
    profile
        .moments
        .iter()
        .find(|m| m.metric == i32::from(v1::Metric::Latency))
        .unwrap()
}

/// Guarantees: the fifteenth healthy execution makes the profile active, its moments are those of the samples, and
/// it counts as ready.
#[tokio::test]
async fn fifteen_healthy_executions_make_a_baseline() {
    let world = World::start(Arc::default());
    world.teach(0..14, true).await;
    let profile = world.profile_with(14).await;
    assert_eq!(profile.state(), v1::ProfileState::Learning);
    world.teach(14..15, true).await;
    let profile = world.profile_with(15).await;
    assert_eq!(profile.state(), v1::ProfileState::Active);
    assert_eq!(latency(&profile).mean, 1_007.0);
    assert!((latency(&profile).stddev - 20.0f64.sqrt()).abs() < 1e-9);
    let request = v1::CountReadyProfilesRequest {
        run_id: String::new(),
    };
    assert_eq!(
        world
            .client
            .clone()
            .count_ready_profiles(request)
            .await
            .unwrap()
            .into_inner()
            .count,
        1
    );
}

/// Scenario: executions without a verdict, and with the verdict that they must not teach, before healthy ones.
/// Guarantees: only the healthy ones are in the profile.
#[tokio::test]
async fn only_healthy_executions_teach() {
    let world = World::start(Arc::default());
    (world.send(&execution(1_000_000))).await;
    world.teach(500_000..500_010, false).await;
    world.teach(0..3, true).await;
    assert_eq!(latency(&world.profile_with(3).await).mean, 1_001.0);
}

/// Scenario: redelivery, a correction by late spans, and a withdrawal as a part of another execution.
/// Guarantees: each execution is in the profile once, as it was last known, or not at all.
#[tokio::test]
async fn corrections_replace_and_withdrawals_remove() {
    let world = World::start(Arc::default());
    world.teach(0..4, true).await;
    world.profile_with(4).await;
    world.teach(2..3, true).await;
    let corrected = Vitals {
        revision: 1,
        latency_ms: 5_000.0,
        ..execution(3)
    };
    world.send(&corrected).await;
    world.sentinel.judge(&corrected, false);
    world.profile_with(3).await;
    world
        .bus
        .publish(Arc::from([Record::Retracted(key(), "e2".into())]))
        .await
        .unwrap();
    assert!((latency(&world.profile_with(2).await).mean - 1_000.5).abs() < 1e-9);
}

/// Scenario: the role stops after ten executions and another starts on the same store.
/// Guarantees: it goes on where the first stopped: same version or later, exact moments over all samples.
#[tokio::test]
async fn a_restart_goes_on_where_it_stopped() {
    let first = World::start(Arc::default());
    first.teach(0..10, true).await;
    let before = first.profile_with(10).await;
    let store = first.stop().await;
    assert!(store.get(&key()).await.unwrap().is_some());
    let second = World::start(store);
    assert_eq!(second.profile().await.unwrap(), before);
    second.teach(10..15, true).await;
    let after = second.profile_with(15).await;
    assert!(after.version > before.version);
    assert!(
        (latency(&after).stddev - 20.0f64.sqrt()).abs() < 1e-9,
        "{after:?}"
    );
}

/// Scenario: the watch on verdicts breaks while executions wait.
/// Guarantees: it is begun again, and what the sentinel repeats is learned once.
#[tokio::test]
async fn a_broken_watch_is_begun_again() {
    let world = World::start(Arc::default());
    world.teach(0..3, true).await;
    world.profile_with(3).await;
    world.sentinel.break_watches();
    world.teach(3..6, true).await;
    world.profile_with(6).await;
    world.sentinel.break_watches();
    world.teach(6..7, true).await;
    assert_eq!(latency(&world.profile_with(7).await).mean, 1_003.0);
}

/// Guarantees: a watch tells every profile, says when it has, then tells each change and each reset, and ends when the
/// role stops. A reset profile learns anew.
#[tokio::test]
async fn watches_tell_profiles_changes_and_resets() {
    let world = World::start(Arc::default());
    world.teach(0..2, true).await;
    world.profile_with(2).await;
    let mut watch = world
        .client
        .clone()
        .watch_profiles(v1::WatchProfilesRequest {})
        .await
        .unwrap()
        .into_inner();
    let mut next = async || {
        let message = tokio::time::timeout(Duration::from_secs(10), watch.message())
            .await
            .expect("a message");
        message.expect("no error").map(|message| message.change.unwrap())
    };
    assert!(matches!(next().await, Some(Change::Stored(profile)) if profile.sample_count == 2));
    assert!(matches!(next().await, Some(Change::SnapshotDone(done)) if done.profiles == 1));
    let request = v1::ResetProfileRequest {
        key: Some(key().into()),
    };
    assert!(
        world
            .client
            .clone()
            .reset_profile(request.clone())
            .await
            .unwrap()
            .into_inner()
            .existed
    );
    assert!(matches!(next().await, Some(Change::Removed(key)) if key.agent_id == "a"));
    assert!(world.profile().await.is_none());
    assert!(
        !world
            .client
            .clone()
            .reset_profile(request)
            .await
            .unwrap()
            .into_inner()
            .existed
    );
    world.teach(10..11, true).await;
    assert!(matches!(next().await, Some(Change::Stored(profile)) if profile.sample_count == 1));
    world.stop().await;
    assert!(next().await.is_none());
}

/// Guarantees: a request without a well-formed key is refused with the field's name.
#[tokio::test]
async fn malformed_requests_are_refused() {
    let world = World::start(Arc::default());
    let status = world
        .client
        .clone()
        .get_profile(v1::GetProfileRequest { key: None })
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert_eq!(status.message(), "key: is missing");
}
