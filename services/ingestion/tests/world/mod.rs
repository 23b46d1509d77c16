//! The role with its real receivers on free loopback ports, and senders for them.
#![allow(dead_code, reason = "each test takes what it needs")]

pub mod case;
pub mod consumer;
pub mod gate;
pub mod telemetry;

use immune_bus::Publisher;
use immune_bus::local::{LocalConsumer, local};
use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, AgentKey, RunId, Timestamp};
use immune_door::Door;
use immune_ingestion::{Config, Dependencies, Metrics, Receivers, Service};
use immune_runtime::access::KeyRing;
use immune_runtime::clock::{Clock, System};
use immune_runtime::grpc;
use immune_store::VitalsStore;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use reqwest::{RequestBuilder, Response};
use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// How long a test waits for what must come.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// Type of OTLP in protobuf.
pub const PROTOBUF: &str = "application/x-protobuf";
/// Type of OTLP in JSON.
pub const JSON: &str = "application/json";

/// The machine's clock, an hour late until it is put right: what is built meanwhile has been up for an hour. A role
/// that has just started would hold executions that began before it for torn by a restart.
#[derive(Default)]
struct Late {
    is_right: AtomicBool,
}

impl Clock for Late {
    fn now(&self) -> Timestamp {
        let late = if self.is_right.load(Ordering::SeqCst) {
            Duration::ZERO
        } else {
            Duration::from_secs(3_600)
        };
        System.now().minus(late)
    }
}

/// A running role.
pub struct World {
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub store: Arc<dyn VitalsStore>,
    pub consumer: LocalConsumer,
    pub service: Service,
    pub shutdown: CancellationToken,
    client: reqwest::Client,
    running: JoinHandle<std::io::Result<()>>,
    /// The other end of the channel to the baseline role, which nobody serves.
    _baseline: Box<dyn Any + Send>,
}

/// What a world is made of.
pub struct Plan {
    pub config: Config,
    pub store: Arc<dyn VitalsStore>,
    pub keys: KeyRing,
    /// Another door than one with these keys.
    pub door: Option<Door>,
    /// Batches that fit into the bus.
    pub bus_capacity: usize,
    /// Another bus than the one in process, whose consumer then gets nothing.
    pub bus: Option<Arc<dyn Publisher>>,
}

impl Default for Plan {
    fn default() -> Self {
        let mut config = Config::default();
        config.grpc_listen.set_port(0);
        config.http_listen.set_port(0);
        Plan {
            config,
            store: immune_store::memory::stores().vitals,
            keys: KeyRing::default(),
            door: None,
            bus_capacity: 4_096,
            bus: None,
        }
    }
}

impl World {
    pub async fn start() -> World {
        World::of(Plan::default()).await
    }

    pub async fn of(plan: Plan) -> World {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (channel, incoming) = grpc::inproc::pair();
        let (publisher, mut consumers) = local(&["test"], plan.bus_capacity);
        let clock = Arc::new(Late::default());
        let dependencies = Dependencies {
            store: plan.store.clone(),
            bus: plan.bus.unwrap_or_else(|| Arc::new(publisher)),
            baseline: grpc::Peers::one(channel),
            door: plan.door.unwrap_or_else(|| Door::of_keys(plan.keys)),
            clock: clock.clone(),
            metrics: Metrics::default(),
        };
        let receivers = Receivers::bind(&plan.config).await.expect("free ports");
        let (grpc, http) = (receivers.grpc_address(), receivers.http_address());
        let service = Service::new(plan.config, dependencies);
        clock.is_right.store(true, Ordering::SeqCst);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(receivers.run(service.clone(), shutdown.clone()));
        let consumer = consumers.pop().expect("one consumer");
        World {
            http,
            grpc,
            store: plan.store,
            consumer,
            service,
            shutdown,
            client: reqwest::Client::new(),
            running,
            _baseline: Box::new(incoming),
        }
    }

    /// Stops the role and waits until everything is stored.
    pub async fn stop(self) -> (Arc<dyn VitalsStore>, LocalConsumer) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(DEADLINE, self.running)
            .await
            .expect("draining ends in time");
        ended.expect("no panic").expect("the listeners were served");
        (self.store, self.consumer)
    }

    /// A POST by HTTP.
    pub fn post(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let url = format!("http://{}{path}", self.http);
        reqwest::Client::new()
            .post(url)
            .header("content-type", content_type)
            .body(body)
            .timeout(DEADLINE)
    }

    /// Spans in protobuf by HTTP.
    pub async fn post_traces(&self, request: &ExportTraceServiceRequest) -> Response {
        self.post("/v1/traces", PROTOBUF, request.encode_to_vec())
            .send()
            .await
            .expect("an answer")
    }

    /// A client by gRPC.
    pub async fn traces(&self) -> TraceServiceClient<Channel> {
        let url = format!("http://{}", self.grpc);
        TraceServiceClient::connect(url)
            .await
            .expect("a connection")
            .max_encoding_message_size(usize::MAX)
    }

    /// All records of an agent in a run.
    pub async fn records(&self, run: &str, agent: &str) -> Vec<Vitals> {
        records(&*self.store, run, agent).await
    }

    /// The one record of an agent in the default run, as soon as it is there.
    pub async fn record(&self, agent: &str) -> Vitals {
        eventually(agent, async || {
            let mut records = self.records(RunId::default().as_str(), agent).await;
            assert!(records.len() <= 1, "{records:?}");
            records.pop()
        })
        .await
    }
}

/// All records of an agent in a run.
pub async fn records(store: &dyn VitalsStore, run: &str, agent: &str) -> Vec<Vitals> {
    let key = AgentKey {
        run: RunId::new(run),
        agent: AgentId::new(agent),
    };
    store
        .recent(&key, Timestamp::from_micros(0), 10_000)
        .await
        .expect("the store answers")
}

/// Asks until there is an answer, at most [`DEADLINE`].
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, asking)
        .await
        .unwrap_or_else(|_| panic!("{what}: not in time"))
}
