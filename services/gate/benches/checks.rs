//! How long a check takes, with 1,000 and with 100,000 contained agents: the decision alone, and over both protocols with
//! 32 clients, paced (as gateways ask) and as fast as they can. Clients and server share the machine. Prints a table of
//! Markdown; times are milliseconds.

use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use immune_domain::case::{self, Case, Context};
use immune_domain::detection::{Deviations, Infection, WindowSummary};
use immune_domain::policy::{LivePolicies, Policy};
use immune_domain::{AgentKey, Timestamp};
use immune_gate::{Config, Dependencies, Gate, Metrics};
use serde_json::json;
use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

const CONTAINED: [usize; 2] = [1_000, 100_000];
const CLIENTS: usize = 32;
/// Connections of HTTP/2; a gateway has one per thread.
const CONNECTIONS: usize = 4;
/// Checks of each client, and the time between two when they are paced: 2,000 checks per second in all.
const CHECKS: usize = 500;
const PACE: Duration = Duration::from_millis(16);
const DECISIONS: usize = 200_000;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(measure());
}

async fn measure() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    println!("| contained | what | checks/s | p50 | p99 | longest |");
    println!("|---|---|---|---|---|---|");
    for contained in CONTAINED {
        let config: Config = serde_json::from_value(json!({
            "listen": "127.0.0.1:0",
            "identity": [{ "header": { "name": "x-agent-id" } }],
        }))
        .expect("a configuration");
        let dependencies = Dependencies {
            cases: immune_store::memory::stores().cases,
            policies: LivePolicies::default(),
            metrics: Metrics::default(),
        };
        let gate = Gate::bind(config, dependencies)
            .await
            .expect("bound")
            .expect("on");
        let (address, probe, mut state) = (gate.address(), gate.probe(), gate.state());
        let stop = CancellationToken::new();
        let serving = tokio::spawn(gate.run(stop.clone()));
        state.wait_for(|state| state.is_loaded).await.expect("it runs");
        let cases: Vec<Case> = (0..contained).map(case).collect();
        probe.hold(&cases);
        drop(cases);

        let mut took = Vec::with_capacity(DECISIONS);
        let began = Instant::now();
        for n in 0..DECISIONS {
            let agent = name(n * 7_919 % (2 * contained));
            let at = Instant::now();
            black_box(probe.may_act("default", &agent));
            took.push(at.elapsed());
        }
        row(contained, "decision", took, began.elapsed());
        for (what, pace) in [("gRPC, paced", Some(PACE)), ("gRPC, at once", None)] {
            let began = Instant::now();
            row(
                contained,
                what,
                by_grpc(address, contained, pace).await,
                began.elapsed(),
            );
        }
        for (what, pace) in [("HTTP, paced", Some(PACE)), ("HTTP, at once", None)] {
            let began = Instant::now();
            row(
                contained,
                what,
                by_http(address, contained, pace).await,
                began.elapsed(),
            );
        }
        stop.cancel();
        serving.await.expect("it ends");
    }
}

fn row(contained: usize, what: &str, mut took: Vec<Duration>, in_all: Duration) {
    took.sort_unstable();
    let ms = |at: usize| took[at].as_secs_f64() * 1e3;
    let last = took.len() - 1;
    println!(
        "| {contained} | {what} | {:.0} | {:.4} | {:.4} | {:.3} |",
        took.len() as f64 / in_all.as_secs_f64(),
        ms(last / 2),
        ms(last * 99 / 100),
        ms(last)
    );
}

/// When a client asks: not all at the same moment.
fn turn(client: usize, pace: Duration) -> tokio::time::Interval {
    let share = client as f64 / CLIENTS as f64;
    tokio::time::interval_at(tokio::time::Instant::now() + pace.mul_f64(share), pace)
}

/// Every client's turn: which agent it asks about next.
fn turns(client: usize, contained: usize) -> impl Iterator<Item = String> {
    (0..CHECKS).map(move |n| name((client * CHECKS + n) * 7_919 % (2 * contained)))
}

async fn by_grpc(address: SocketAddr, contained: usize, pace: Option<Duration>) -> Vec<Duration> {
    let channel = || {
        Channel::from_shared(format!("http://{address}"))
            .expect("an address")
            .connect_lazy()
    };
    let channels: Vec<Channel> = (0..CONNECTIONS).map(|_| channel()).collect();
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let mut stub = AuthorizationClient::new(channels[client % CONNECTIONS].clone());
        clients.spawn(async move {
            let mut took = Vec::with_capacity(CHECKS);
            let mut next = pace.map(|pace| turn(client, pace));
            for agent in turns(client, contained) {
                if let Some(next) = &mut next {
                    next.tick().await;
                }
                let request = request(agent);
                let at = Instant::now();
                black_box(stub.check(request).await.expect("an answer"));
                took.push(at.elapsed());
            }
            // The first one has made the connection.
            took.split_off(1)
        });
    }
    clients.join_all().await.concat()
}

async fn by_http(address: SocketAddr, contained: usize, pace: Option<Duration>) -> Vec<Duration> {
    let mut clients = tokio::task::JoinSet::new();
    let url = format!("http://{address}/check");
    for client in 0..CLIENTS {
        let url = url.clone();
        clients.spawn(async move {
            let stub = reqwest::Client::builder().no_proxy().build().expect("a client");
            let mut took = Vec::with_capacity(CHECKS);
            let mut next = pace.map(|pace| turn(client, pace));
            for agent in turns(client, contained) {
                if let Some(next) = &mut next {
                    next.tick().await;
                }
                let at = Instant::now();
                let answer = stub
                    .get(&url)
                    .header("x-agent-id", agent)
                    .send()
                    .await
                    .expect("an answer");
                black_box(answer.bytes().await.expect("a body"));
                took.push(at.elapsed());
            }
            took.split_off(1)
        });
    }
    clients.join_all().await.concat()
}

fn name(n: usize) -> String {
    format!("shop/checkout/agent-{n}")
}

/// A check with headers as a browser's or an SDK's request has them.
fn request(agent: String) -> CheckRequest {
    let mut headers: HashMap<String, String> = (0..16)
        .map(|n| (format!("x-header-{n}"), "a value of middling length".to_owned()))
        .collect();
    headers.insert("x-agent-id".to_owned(), agent);
    let http = HttpRequest {
        method: "POST".to_owned(),
        path: "/v1/chat/completions".to_owned(),
        host: "models.example".to_owned(),
        headers,
        ..Default::default()
    };
    CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(Request {
                http: Some(http),
                ..Default::default()
            }),
            ..Default::default()
        }),
    }
}

fn case(n: usize) -> Case {
    let at = Timestamp::from_micros(1_767_225_600_000_000);
    let infection = Infection {
        id: format!("i-{n}").into(),
        key: AgentKey::new("default", name(n)),
        detected_at: at,
        severity: 8.0,
        anomalies: vec![],
        deviations: Deviations::default(),
        hypotheses: vec![],
        ruled_out: vec![],
        window: WindowSummary::default(),
        evidence: vec![],
        baseline_version: 1,
        evidence_score: None,
        workload: Default::default(),
    };
    let id = format!("0197a1b2-0000-7000-8000-{n:012}");
    case::open(id.into(), infection, &Policy::default(), Context::default(), at).0
}
