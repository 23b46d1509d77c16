//! The vitals bus of a process: in memory where ingestion, baseline and sentinel are together, over Redis where it is
//! configured, else over gRPC streams.

use crate::channels::Channels;
use crate::config::Config;
use crate::roles::Role;
use crate::wiring::keep;
use anyhow::Context;
use immune_bus::local::local;
use immune_bus::{Consumer, Publisher};
use immune_bus_grpc::{GrpcPublisher, Receiver};
use immune_bus_redis::RedisBus;
use immune_proto::v1::vitals_bus_service_server::VitalsBusServiceServer;
use immune_runtime::health::Readiness;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Batches that may wait for each consumer of the bus in memory.
const LOCAL_BATCHES_MAX: usize = 256;
/// How long the last publications may take when the process stops.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// The ends of the bus that the roles of this process hold.
#[derive(Default)]
pub struct Bus {
    /// For ingestion.
    pub publisher: Option<Arc<dyn Publisher>>,
    /// For baseline.
    pub baseline: Option<Box<dyn Consumer>>,
    /// For sentinel.
    pub sentinel: Option<Box<dyn Consumer>>,
    /// What ingestion in another process publishes to, with the role whose server serves it.
    pub receivers: Vec<(Role, VitalsBusServiceServer<Receiver>)>,
    /// What must be closed.
    pub closing: Closing,
}

/// What of the bus must be closed when the process stops.
#[derive(Default)]
pub struct Closing {
    grpc: Option<Arc<GrpcPublisher>>,
    redis: Option<Arc<RedisBus>>,
}

/// Which bus a configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Local,
    Grpc,
    Redis,
}

fn kind(config: &Config) -> Kind {
    let is_together = [Role::Ingestion, Role::Baseline, Role::Sentinel]
        .into_iter()
        .all(|role| config.has(role) && config.peers.of(role).is_none());
    match (&config.redis, is_together) {
        (Some(_), _) => Kind::Redis,
        (None, true) => Kind::Local,
        (None, false) => Kind::Grpc,
    }
}

/// Name of the bus that a configuration asks for.
pub(crate) fn name(config: &Config) -> &'static str {
    match kind(config) {
        Kind::Local => "local",
        Kind::Grpc => "grpc",
        Kind::Redis => "redis",
    }
}

impl Bus {
    /// Opens the ends that the roles of this process need. Consumers end when `work` is cancelled.
    ///
    /// # Errors
    /// When Redis is configured and cannot be meant; one that is away is no error.
    pub async fn open(
        config: &Config,
        channels: &Channels,
        registry: &mut Registry,
        work: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut bus = Bus::default();
        let consumers = [(Role::Baseline, "baseline"), (Role::Sentinel, "sentinel")];
        match kind(config) {
            Kind::Local => {
                let (publisher, ends) = local(&consumers.map(|(_, name)| name), LOCAL_BATCHES_MAX);
                bus.publisher = Some(Arc::new(publisher));
                for ((role, _), end) in consumers.into_iter().zip(ends) {
                    bus.put(role, Box::new(end));
                }
            }
            Kind::Grpc => {
                let metrics = immune_bus_grpc::Metrics::register(registry);
                if config.has(Role::Ingestion) {
                    let to = consumers.map(|(role, name)| (name.to_owned(), channels.peers(role)));
                    let publisher = GrpcPublisher::new(to.to_vec(), &config.bus, metrics.clone());
                    let publisher = Arc::new(publisher);
                    bus.publisher = Some(publisher.clone());
                    bus.closing.grpc = Some(publisher);
                }
                for (role, name) in consumers.into_iter().filter(|(role, _)| config.has(*role)) {
                    let (receiver, end) = immune_bus_grpc::server(name, &config.bus, &metrics, work.clone());
                    bus.receivers.push((role, receiver));
                    bus.put(role, Box::new(end));
                }
            }
            Kind::Redis => {
                let settings = config
                    .redis
                    .as_ref()
                    .expect("this kind is chosen where Redis is configured");
                let address = settings.address()?.context("redis.url is missing")?;
                let metrics = immune_bus_redis::Metrics::register(registry);
                let redis = RedisBus::connect(address, settings.bus.clone(), metrics);
                if config.has(Role::Ingestion) {
                    bus.publisher = Some(redis.publisher());
                }
                for (role, name) in consumers.into_iter().filter(|(role, _)| config.has(*role)) {
                    let worker = format!("{name}-{}", uuid::Uuid::new_v4().simple());
                    bus.put(role, redis.consumer(name, &worker));
                }
                bus.closing.redis = Some(Arc::new(redis));
            }
        }
        Ok(bus)
    }

    fn put(&mut self, role: Role, end: Box<dyn Consumer>) {
        match role {
            Role::Baseline => self.baseline = Some(end),
            Role::Sentinel => self.sentinel = Some(end),
            Role::Ingestion | Role::Quarantine | Role::Healer | Role::Dashboard => {}
        }
    }
}

impl Closing {
    /// Waits, for a stated time, until what was published is with its consumers.
    pub async fn flush(&self) {
        if let Some(grpc) = &self.grpc {
            let left = grpc.close(FLUSH_MAX).await;
            if left.unpublished > 0 || left.unsettled > 0 {
                tracing::warn!(
                    left.unpublished,
                    left.unsettled,
                    "the bus closed with batches under way"
                );
            }
        }
    }

    /// Says in the readiness whether Redis answers.
    pub fn report(&self, readiness: &Readiness, shutdown: &CancellationToken) {
        if let Some(redis) = self.redis.clone() {
            let ask = move || {
                let redis = redis.clone();
                async move { redis.ping().await }
            };
            keep(readiness.condition("Redis"), ask, shutdown.clone());
        }
    }

    /// Gives leases back, so that other replicas take over at once.
    pub async fn close(&self) {
        if let Some(redis) = &self.redis {
            redis.close(FLUSH_MAX).await;
        }
    }
}
