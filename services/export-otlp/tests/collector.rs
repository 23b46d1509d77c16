//! What an OTLP backend receives, over gRPC and over HTTP, through the official protobuf services.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use immune_domain::healing::Healing;
use immune_export_otlp::{Config, Exporter, Protocol};
use immune_runtime::config::Secret;
use immune_store::conformance::samples::{agent, alongside, at, case, healing, released, row, vitals};
use immune_store::observed::{Observer, observe};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A backend that keeps what it is sent.
#[derive(Clone, Default)]
struct Backend {
    metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    logs: Arc<Mutex<Vec<ExportLogsServiceRequest>>>,
    keys: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl MetricsService for Backend {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let key = request
            .metadata()
            .get("x-api-key")
            .map(|key| key.to_str().unwrap().to_owned());
        self.keys.lock().unwrap().extend(key);
        self.metrics.lock().unwrap().push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Backend {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.logs.lock().unwrap().push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

impl Backend {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(MetricsServiceServer::new(self.clone()))
            .add_service(LogsServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        format!("http://{address}")
    }

    /// The last value of each counter's and gauge's series, by its name and its attributes.
    fn numbers(&self) -> BTreeMap<String, f64> {
        let mut numbers = BTreeMap::new();
        for request in self.metrics.lock().unwrap().iter() {
            let scopes = request
                .resource_metrics
                .iter()
                .flat_map(|resource| &resource.scope_metrics);
            for metric in scopes.flat_map(|scope| &scope.metrics) {
                let points = match metric.data.as_ref().unwrap() {
                    metric::Data::Sum(sum) => &sum.data_points,
                    metric::Data::Gauge(gauge) => &gauge.data_points,
                    metric::Data::Histogram(histogram) => {
                        for point in &histogram.data_points {
                            let name = format!("{}{}", metric.name, shown(&point.attributes));
                            numbers.insert(name, point.sum.unwrap());
                        }
                        continue;
                    }
                    metric::Data::ExponentialHistogram(_) | metric::Data::Summary(_) => panic!("{metric:?}"),
                };
                for point in points {
                    let value = match point.value.unwrap() {
                        number_data_point::Value::AsInt(value) => value as f64,
                        number_data_point::Value::AsDouble(value) => value,
                    };
                    numbers.insert(format!("{}{}", metric.name, shown(&point.attributes)), value);
                }
            }
        }
        numbers
    }

    /// The texts of the log records, with their attributes.
    fn texts(&self) -> Vec<String> {
        let logs = self.logs.lock().unwrap();
        let resources = logs.iter().flat_map(|request| &request.resource_logs);
        let records = resources
            .flat_map(|resource| &resource.scope_logs)
            .flat_map(|scope| &scope.log_records);
        records
            .map(|record| {
                format!(
                    "{}: {:?} {}",
                    record.severity_text,
                    record.body,
                    shown(&record.attributes)
                )
            })
            .collect()
    }
}

fn shown(attributes: &[KeyValue]) -> String {
    let text = |value: &any_value::Value| match value {
        any_value::Value::StringValue(text) => text.clone(),
        other => format!("{other:?}"),
    };
    let mut all: Vec<String> = attributes
        .iter()
        .map(|pair| {
            let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
            format!("{}={}", pair.key, value.map(text).unwrap_or_default())
        })
        .collect();
    all.sort();
    format!("{{{}}}", all.join(","))
}

/// Scenario: executions, a case that opens and closes, a healing and a row of the action log are stored through
/// observed stores, and the exporter is shut down.
/// Guarantees: the backend has each vital with the agent's attributes, the severity while the case is open and 0
/// afterwards, an event per change as a log record, and the configured header; corrections are not counted twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_sees_vitals_cases_and_healings() {
    let backend = Backend::default();
    let config = Config {
        endpoint: Some(backend.start().await),
        headers: BTreeMap::from([("X-Api-Key".to_owned(), Secret::new("letmein"))]),
        interval_ms: 3_600_000,
        ..Config::default()
    };
    assert!(!format!("{config:?}").contains("letmein"));
    let exporter = Arc::new(
        Exporter::start(&config)
            .unwrap()
            .expect("an endpoint is configured"),
    );
    let observer: Arc<dyn Observer> = exporter.clone();
    let stores = observe(immune_store::memory::stores(), observer);

    let key = agent("a");
    let mut first = vitals(&key, "x1", at(0));
    (first.latency_ms, first.input_tokens, first.output_tokens) = (1_500.0, Some(100), Some(20));
    (first.tool_calls, first.retries, first.success) = (Some(3), None, true);
    let mut corrected = first.clone();
    corrected.revision = 1;
    let mut second = vitals(&key, "x2", at(1));
    (second.latency_ms, second.success, second.input_tokens) = (500.0, false, None);
    (second.output_tokens, second.tool_calls, second.retries) = (None, None, Some(2));
    stores.vitals.append(&[first, second]).await.unwrap();
    stores.vitals.append(&[corrected]).await.unwrap();

    let opened = case(&key, "c", at(2));
    let with = alongside(&opened, "case_opened");
    stores.cases.open_case(&opened, u32::MAX, &with).await.unwrap();
    exporter.flush().await;
    let severity = ("immune.agent.severity", opened.infection.severity);
    assert!(
        backend
            .numbers()
            .iter()
            .any(|(name, value)| (name.split('{').next().unwrap(), *value) == severity),
        "{:#?}",
        backend.numbers()
    );
    let closed = released(&opened, at(3));
    stores
        .cases
        .save_case(&closed, 1, &alongside(&closed, "case_released"))
        .await
        .unwrap();
    let attempt: Healing = healing(&key, "h", at(2));
    stores.healings.begin(&attempt).await.unwrap();
    let ended = immune_store::conformance::samples::with_outcome(
        &attempt,
        immune_store::conformance::samples::succeeded(at(3)),
    );
    assert!(stores.healings.finish(&ended).await.unwrap());
    stores
        .action_log
        .append(&[row(&key, "user_approved", at(3))])
        .await
        .unwrap();
    exporter.shutdown().await;

    let numbers = backend.numbers();
    let who = format!("gen_ai.agent.id={},", key.agent);
    let value = |name: &str| {
        let is_of_agents = name.starts_with("immune.agent.");
        numbers
            .iter()
            .filter(|(series, _)| series.starts_with(name) && (!is_of_agents || series.contains(&who)))
            .map(|(_, value)| *value)
            .sum::<f64>()
    };
    assert_eq!(value("immune.agent.executions"), 2.0, "{numbers:#?}");
    assert_eq!(value("immune.agent.duration"), 2.0, "{numbers:#?}");
    assert_eq!(value("immune.agent.tokens"), 120.0, "{numbers:#?}");
    assert_eq!(value("immune.agent.tool_calls"), 3.0, "{numbers:#?}");
    assert_eq!(value("immune.agent.retries"), 2.0, "{numbers:#?}");
    assert_eq!(value("immune.agent.severity"), 0.0, "a closed case: {numbers:#?}");
    assert_eq!(value("immune.cases"), 2.0, "{numbers:#?}");
    assert_eq!(value("immune.healings"), 1.0, "{numbers:#?}");
    assert!(backend.keys.lock().unwrap().iter().all(|key| key == "letmein"));
    let texts = backend.texts();
    for kind in ["case_opened", "case_released", "user_approved"] {
        assert!(texts.iter().any(|text| text.contains(kind)), "{kind}: {texts:#?}");
    }
}

/// Scenario: no endpoint; an endpoint that is not there; a header that cannot be sent.
/// Guarantees: nothing is started, nothing fails, the mistake is named without its value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_harms_nobody() {
    assert!(Exporter::start(&Config::default()).unwrap().is_none());
    let away = Config {
        endpoint: Some("http://127.0.0.1:9".to_owned()),
        ..Config::default()
    };
    let exporter = Exporter::start(&away)
        .unwrap()
        .expect("an endpoint is configured");
    exporter.vitals(&[vitals(&agent("a"), "x", at(0))]);
    exporter.shutdown().await;
    let wrong = Config {
        headers: BTreeMap::from([("x-key".to_owned(), Secret::new("secret\nvalue"))]),
        ..Config::default()
    };
    let mut mistakes = Vec::new();
    wrong.check("telemetry", &mut mistakes);
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(
        mistakes[0].contains("x-key") && !mistakes[0].contains("secret"),
        "{mistakes:?}"
    );
}

/// Scenario: the backend is reached over TLS, by either protocol, and is away.
/// Guarantees: the process starts, and ends without waiting for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_backend_may_ask_for_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let config = Config {
            endpoint: Some("https://127.0.0.1:1".to_owned()),
            protocol,
            ..Config::default()
        };
        let export = Exporter::start(&config).expect("https is spoken");
        export.expect("there is a backend").shutdown().await;
    }
}
