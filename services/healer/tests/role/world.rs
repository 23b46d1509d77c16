//! The world of the tests: the role and those around it, connected by gRPC in process.

use crate::platform::Platform;
use crate::quarantine::Quarantine;
use crate::sentinel::Sentinel;
use immune_domain::case::Case;
use immune_domain::diagnosis::Diagnosis;
use immune_domain::healing::Healing;
use immune_domain::policy::{Policies, Policy};
use immune_domain::{AgentKey, CaseId};
use immune_healer::{Config, Dependencies, Metrics, Service, State};
use immune_levers::Levers;
use immune_proto::v1::healer_service_client::HealerServiceClient;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_proto::v1::quarantine_service_server::QuarantineServiceServer;
use immune_proto::v1::sentinel_service_server::SentinelServiceServer;
use immune_runtime::clock::{Clock, Manual, SharedClock, System};
use immune_runtime::grpc::{Peers, RoleChannel};
use immune_runtime::grpc::{inproc, server};
use immune_store::Stores;
use immune_store::healings::HealingFilter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub struct World {
    pub quarantine: Quarantine,
    pub platform: Arc<Platform>,
    pub silent: Arc<AtomicBool>,
    pub stores: Stores,
    pub clock: Arc<Manual>,
    pub config: Config,
    quarantine_channel: RoleChannel,
    sentinel_channel: RoleChannel,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A running healer; dropping it is a crash.
pub struct Healer {
    pub state: watch::Receiver<State>,
    shutdown: CancellationToken,
    pub client: HealerServiceClient<RoleChannel>,
    tasks: Vec<JoinHandle<()>>,
}

impl Healer {
    /// Ends it as SIGTERM does, and waits until it has ended.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let running = self.tasks.pop().unwrap();
        running.await.unwrap();
    }
}

impl Drop for Healer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn serve(routes: Routes) -> (RoleChannel, JoinHandle<()>) {
    let (channel, connections) = inproc::pair();
    let serving = tokio::spawn(async move {
        let _ = server::serve_in_process(routes, connections, CancellationToken::new()).await;
    });
    (channel, serving)
}

impl World {
    pub fn new() -> World {
        World::with_policy(Policy {
            cooldown_seconds: 0,
            ..Policy::default()
        })
    }

    pub fn with_policy(policy: Policy) -> World {
        let quarantine = Quarantine::new(policy);
        let platform = Arc::new(Platform::default());
        let silent = Arc::new(AtomicBool::new(false));
        let sentinel = Sentinel {
            platform: platform.clone(),
            silent: silent.clone(),
        };
        let (quarantine_channel, one) = serve(Routes::new(QuarantineServiceServer::new(quarantine.clone())));
        let (sentinel_channel, two) = serve(Routes::new(SentinelServiceServer::new(sentinel)));
        World {
            quarantine,
            platform,
            silent,
            stores: immune_store::memory::stores(),
            clock: Manual::at(System.now()),
            config: Config {
                lease_ms: 60,
                poll_interval_ms: 5,
                judge_interval_ms: 5,
                ask_again_ms: 1,
                sweep_interval_seconds: 1,
                ..Config::default()
            },
            quarantine_channel,
            sentinel_channel,
            tasks: vec![one, two],
        }
    }

    pub fn healer(&self) -> Healer {
        let clock: SharedClock = self.clock.clone();
        let service = Service::new(
            self.config.clone(),
            Dependencies {
                healings: self.stores.healings.clone(),
                action_log: self.stores.action_log.clone(),
                levers: Levers::default().with(self.platform.clone()),
                quarantine: QuarantineServiceClient::new(self.quarantine_channel.clone()),
                sentinel: Peers::one(self.sentinel_channel.clone()),
                policies: Policies {
                    defaults: self.quarantine.policy.clone(),
                    rules: vec![],
                }
                .into(),
                clock,
                metrics: Metrics::default(),
            },
        );
        let (channel, serving) = serve(Routes::new(service.grpc()));
        let (state, shutdown) = (service.state(), CancellationToken::new());
        let running = tokio::spawn(service.run(shutdown.clone()));
        Healer {
            state,
            shutdown,
            client: HealerServiceClient::new(channel),
            tasks: vec![serving, running],
        }
    }

    /// Waits until the case is in a state, ten seconds at most.
    pub async fn until(&self, case: &str, state: &str) -> Case {
        self.until_that(&format!("{case} is {state}"), || {
            self.quarantine.case(case).state.as_str() == state
        })
        .await;
        self.quarantine.case(case)
    }

    pub async fn until_that(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(tokio::time::Instant::now() < deadline, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub fn stays_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    /// Records of a case, oldest first.
    pub async fn records(&self, case: &str) -> Vec<Healing> {
        let filter = HealingFilter {
            case: Some(CaseId::new(case)),
            limit: 1_000,
            ..HealingFilter::default()
        };
        let mut records = self.stores.healings.list(&filter).await.unwrap();
        records.reverse();
        records
    }

    /// What is remembered: action, successes, failures.
    pub async fn remembered(&self, key: &AgentKey) -> Vec<(&'static str, u32, u32)> {
        let memories = self
            .stores
            .healings
            .memories(key, Diagnosis::PromptDrift)
            .await
            .unwrap();
        memories
            .into_iter()
            .map(|m| (m.action.as_str(), m.successes, m.failures))
            .collect()
    }
}
