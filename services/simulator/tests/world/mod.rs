//! A simulation, its lever, and a receiver of its telemetry, all on loopback.
#![allow(dead_code, reason = "each test binary uses a part")]

use immune_domain::AgentKey;
use immune_levers::{Ask, Order};
use immune_levers_lifecycle::{Base, Config as LeverConfig, Lifecycle};
use immune_simulator::{Config, Handle, Simulator};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// Whatever was received, request by request.
#[derive(Clone, Default)]
pub struct Receiver(pub Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Receiver {
    /// A receiver and its endpoint.
    pub async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let receiver = Receiver::default();
        let server = tonic::transport::Server::builder().add_service(
            TraceServiceServer::new(receiver.clone()).max_decoding_message_size(64 * 1_024 * 1_024),
        );
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (receiver, endpoint)
    }

    pub fn spans(&self) -> Vec<Span> {
        let requests = self.0.lock().unwrap();
        let scopes = requests
            .iter()
            .flat_map(|r| &r.resource_spans)
            .flat_map(|r| &r.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The execution spans of an agent.
    pub fn executions(&self, agent: &str) -> Vec<Span> {
        let is_of = |span: &Span| text(&span.attributes, "immune.agent.id").as_deref() == Some(agent);
        self.spans().into_iter().filter(is_of).collect()
    }
}

pub fn value(attributes: &[KeyValue], name: &str) -> Option<Value> {
    attributes.iter().find(|kv| kv.key == name)?.value.clone()?.value
}

pub fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    match value(attributes, name)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

pub fn int(attributes: &[KeyValue], name: &str) -> Option<i64> {
    match value(attributes, name)? {
        Value::IntValue(n) => Some(n),
        _ => None,
    }
}

/// A quick simulation that sends its telemetry nowhere in particular.
pub fn quick() -> Config {
    // Port 9 discards; exports fail, which agents do not mind.
    Config {
        otlp_endpoint: "http://127.0.0.1:9".to_owned(),
        agents: 3,
        pace: 0.05,
        ..Config::default()
    }
}

pub async fn start(config: Config) -> Handle {
    println!("seed {}", config.seed);
    Simulator::start(config).await.unwrap()
}

pub fn lever(url: &str) -> Lifecycle {
    let base = Base {
        url: url.to_owned(),
        ..Base::default()
    };
    Lifecycle::new(&LeverConfig {
        bases: vec![base],
        deadline_seconds: 3.0,
        request_seconds: 1.5,
        retries_max: 3,
        backoff_seconds: 0.01,
        backoff_seconds_max: 0.1,
        settle_seconds: 0.3,
        ..LeverConfig::default()
    })
    .unwrap()
}

pub fn ask(agent: &str, idempotency_key: &str, order: Order) -> Ask {
    Ask {
        key: AgentKey::new("default", agent),
        case: "case-1".into(),
        idempotency_key: idempotency_key.to_owned(),
        order,
        reason: "a test".to_owned(),
        parameters: BTreeMap::from([("probation_executions".to_owned(), json!(5))]),
        workload: BTreeMap::new(),
    }
}

/// Waits for a condition, at most 10 s.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "waited in vain: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
