//! What real frameworks sent, through the real receivers, as it was sent: transport, path, form and compression.
//! `captures.rs` holds the core against the truth; here the store must end up with what the core says.

mod truth;
mod world;

use immune_domain::vitals::Vitals;
use immune_domain::{RunId, Timestamp};
use immune_ingestion::assemble::{Assembler, Config, Emitted, Runs};
use immune_ingestion::dialect::Dialect;
use immune_ingestion::json;
use immune_store::VitalsStore;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;
use tonic::Request;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use truth::{File, Scenario, Signal, captures, compare, scenarios};
use world::World;

/// Every scenario is a run of its own: some use the same trace ids.
fn run_of(scenario: &Scenario) -> RunId {
    RunId::new(format!("{}/{}", scenario.capture, scenario.scenario))
}

fn decode<T: Message + Default + json::Decode>(file: &File, body: &[u8]) -> T {
    if file.is_json() {
        <T as json::Decode>::decode(body).unwrap_or_else(|e| panic!("{}: {e}", file.file))
    } else {
        <T as Message>::decode(body).unwrap_or_else(|e| panic!("{}: {e}", file.file))
    }
}

async fn by_http(world: &World, client: &reqwest::Client, captures: &Path, run: &RunId, file: &File) {
    let url = format!("http://{}{}", world.http, file.path);
    let mut post = client
        .post(url)
        .header("x-run-id", run.as_str())
        .body(file.raw(captures));
    for (name, value) in file
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("content-"))
    {
        post = post.header(name, value);
    }
    let answer = post.send().await.unwrap_or_else(|e| panic!("{}: {e}", file.file));
    assert_eq!(answer.status(), 200, "{}", file.file);
    assert_eq!(
        answer.headers().get("content-type").expect("a type"),
        &file.headers["content-type"],
        "{}",
        file.file
    );
}

async fn by_grpc(channel: &Channel, captures: &Path, run: &RunId, file: &File, is_gzip: bool) {
    fn with_run<T>(message: T, run: &RunId) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("x-run-id", run.as_str().parse().expect("plain text"));
        request
    }
    let body = file.body(captures);
    macro_rules! export {
        ($client:ident, $message:ty) => {{
            let mut client = $client::new(channel.clone());
            if is_gzip {
                client = client.send_compressed(CompressionEncoding::Gzip);
            }
            let sent = client
                .export(with_run(decode::<$message>(file, &body), run))
                .await;
            sent.unwrap_or_else(|e| panic!("{}: {e}", file.file));
        }};
    }
    match file.signal {
        Signal::Traces => export!(TraceServiceClient, ExportTraceServiceRequest),
        Signal::Logs => export!(LogsServiceClient, ExportLogsServiceRequest),
        Signal::Metrics => export!(MetricsServiceClient, ExportMetricsServiceRequest),
    }
}

/// The records of a run.
async fn stored(store: &dyn VitalsStore, run: &RunId) -> Vec<Vitals> {
    let mut all = Vec::new();
    for agent in store.agents(run, None, 1_000).await.expect("the store answers") {
        all.extend(
            store
                .recent(&agent.key, Timestamp::EPOCH, 1_000)
                .await
                .expect("the store answers"),
        );
    }
    plain(all)
}

/// What the core says when it gets the same requests.
fn by_core(captures: &Path, scenario: &Scenario) -> Vec<Vitals> {
    let run = run_of(scenario);
    let runs = Runs {
        stated: Some(&run),
        otherwise: &run,
    };
    let mut assembler = Assembler::new(Config::default(), Dialect::builtin());
    let now = Timestamp::from_epoch_seconds(1_900_000_000.0).expect("a time");
    let mut emitted = Vec::new();
    for file in &scenario.files {
        let body = file.body(captures);
        match file.signal {
            Signal::Traces => {
                let request: ExportTraceServiceRequest = decode(file, &body);
                assembler.accept(runs, &request, now, &mut emitted);
            }
            Signal::Logs => {
                let request: ExportLogsServiceRequest = decode(file, &body);
                assembler.accept_logs(runs, &request, now, &mut emitted);
            }
            Signal::Metrics => {}
        }
    }
    assembler.drain(now, &mut emitted);
    let mut standing = BTreeMap::new();
    for emitted in emitted {
        match emitted {
            Emitted::Vitals(vitals) => drop(standing.insert(vitals.execution.clone(), vitals)),
            Emitted::Retracted { execution, .. } => drop(standing.remove(&execution)),
        }
    }
    plain(standing.into_values().collect())
}

/// What the records say, without how often and when they were given, in order of their ids.
fn plain(mut vitals: Vec<Vitals>) -> Vec<Vitals> {
    for vitals in &mut vitals {
        vitals.revision = 0;
        vitals.received_at = Timestamp::EPOCH;
    }
    vitals.sort_by(|a, b| a.execution.cmp(&b.execution));
    vitals
}

/// Scenario: every request of every capture to the real receivers as it was sent, then the process ends.
/// Guarantees: every request is taken and answered in its own form, and the store holds what the core says.
#[tokio::test(flavor = "multi_thread")]
async fn captures_over_the_wire() {
    let Some(captures) = captures() else { return };
    let world = World::start().await;
    let client = reqwest::Client::new();
    let channel = Endpoint::new(format!("http://{}", world.grpc))
        .unwrap()
        .connect_lazy();
    let scenarios = scenarios(&captures);
    let mut requests = BTreeMap::new();
    for scenario in &scenarios {
        let run = run_of(scenario);
        for file in &scenario.files {
            *requests.entry(file.transport.as_str()).or_insert(0) += 1;
            match file.transport.as_str() {
                "http" => by_http(&world, &client, &captures, &run, file).await,
                "grpc" => {
                    by_grpc(
                        &channel,
                        &captures,
                        &run,
                        file,
                        scenario.scenario.contains("gzip"),
                    )
                    .await
                }
                other => panic!("{}: transport {other}", file.file),
            }
        }
    }
    drop(channel);
    let (store, _consumer) = world.stop().await;
    let mut executions = 0;
    for scenario in &scenarios {
        let (wire, core) = (
            stored(&*store, &run_of(scenario)).await,
            by_core(&captures, scenario),
        );
        let name = run_of(scenario);
        assert_eq!(compare(scenario, &wire), compare(scenario, &core), "{name}");
        assert_eq!(wire, core, "{name}");
        executions += wire.len();
    }
    println!(
        "{} scenarios, requests {requests:?}, {executions} executions",
        scenarios.len()
    );
    assert!(executions > 0 && requests.len() == 2);
}
