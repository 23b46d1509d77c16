//! OTLP over gRPC and HTTP: the whole system in one process, bare sinks and rotel, each on one core, in turn.

use super::bare::Kind;
use super::client::Wire;
use super::load::{self, Done};
use super::pinned::{Server, cpu_seconds, on_server_core};
use super::requests::Requests;
use super::table::{Row, Table};
use super::{Settings, smallest};
use immune_test_servers::free_port;
use immune_tests::process::Process;
use immune_tests::wait_for;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Agents that send.
const AGENTS: usize = 2_000;

/// How long a server is under load in a round, and how long what it queued is counted as well.
const LOADED: Duration = Duration::from_secs(2);
const SETTLED: Duration = Duration::from_millis(700);

/// What an OpenTelemetry Collector 0.153 took at most on one core of another machine of this kind (6.73 us a span), spans
/// per second, and the 99th percentile of its answers there, milliseconds. Its cost is no target here: where that was
/// measured the bare walk took 0.84 us, and a quarter of the Collector's is twice that.
const COLLECTOR_RATE: f64 = 148_000.0;
const COLLECTOR_P99: f64 = 51.0;

/// One server under test.
struct Party {
    name: &'static str,
    port: u16,
    id: u32,
    costs: Vec<f64>,
}

pub async fn measure(settings: &Settings, rows: &mut Table) {
    let mut ours = system().await;
    let requests = Arc::new(Mutex::new(Requests::new(AGENTS)));
    let rotel = rotel(settings).await;
    let mut executions = 0;
    for (wire, walk, prost) in [
        (Wire::Grpc, Kind::GrpcWalk, Kind::GrpcProst),
        (Wire::Http, Kind::HttpWalk, Kind::HttpProst),
    ] {
        let sinks = [sink(walk).await, sink(prost).await];
        let port = |(grpc, http): (u16, u16)| if wire == Wire::Grpc { grpc } else { http };
        let mut parties = vec![
            party(
                "ours",
                port((ours.otlp_grpc, ours.otlp_http)),
                ours.id().expect("it runs"),
            ),
            party("bare walk", sinks[0].port, sinks[0].id()),
            party("bare prost", sinks[1].port, sinks[1].id()),
        ];
        if let Some((server, http)) = &rotel {
            parties.push(party("rotel", port((server.port, *http)), server.id()));
        }
        for round in 0..settings.rounds {
            eprintln!("spans over {wire:?}: round {} of {}", round + 1, settings.rounds);
            for party in &mut parties {
                let done = loaded(party, wire, &requests).await;
                assert_eq!(done.refused, 0, "{} refused spans", party.name);
                if party.name == "ours" {
                    executions += done.executions;
                }
            }
        }
        rows.push(row(wire, &parties));
    }
    let mut done = load::open(ours.otlp_grpc, &requests, COLLECTOR_RATE, Duration::from_secs(10)).await;
    executions += done.executions;
    rows.push(
        Row::new("OTLP gRPC, answers at 148,000 spans/s, p99", "ms", done.at(0.99))
            .beside("p50", done.at(0.5))
            .beside("requests put off", done.shed as f64)
            .at_most("the Collector elsewhere", COLLECTOR_P99),
    );
    rows.push(honesty(&ours, executions).await);
    ours.kill();
}

/// Every execution that was acknowledged is counted, once: by ingestion's own counter, since a store in memory keeps only
/// the newest.
async fn honesty(ours: &Process, acknowledged: u64) -> Row {
    let counted = counter(ours.metrics, "immune_ingestion_executions_total").await;
    Row::new(
        "acknowledged executions missing or counted twice",
        "executions",
        counted.abs_diff(acknowledged) as f64,
    )
    .beside("acknowledged", acknowledged as f64)
    .at_most("none", 0.0)
}

/// A counter of the system, all labels together.
async fn counter(port: u16, name: &str) -> u64 {
    let page = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await;
    let page = page
        .expect("metrics are served")
        .text()
        .await
        .expect("metrics are text");
    let values = page
        .lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum::<f64>() as u64
}

fn party(name: &'static str, port: u16, id: u32) -> Party {
    Party {
        name,
        port,
        id,
        costs: Vec::new(),
    }
}

async fn loaded(party: &mut Party, wire: Wire, requests: &Arc<Mutex<Requests>>) -> Done {
    let before = cpu_seconds(party.id);
    let done = load::closed(wire, party.port, requests, LOADED).await;
    tokio::time::sleep(SETTLED).await;
    let used = cpu_seconds(party.id) - before;
    party.costs.push(used / done.spans as f64 * 1e6);
    done
}

fn row(wire: Wire, parties: &[Party]) -> Row {
    let cost = |name: &str| {
        let found = parties.iter().find(|party| party.name == name);
        found.map(|party| smallest(&party.costs))
    };
    let path = match wire {
        Wire::Grpc => "OTLP gRPC, whole process: receive, vitals, window, detection, baseline, store",
        Wire::Http => "OTLP HTTP, the same",
    };
    let mut row = Row::new(path, "CPU s per million spans", cost("ours").unwrap_or(f64::NAN));
    for name in ["bare walk", "bare prost", "rotel"] {
        if let Some(cost) = cost(name) {
            row = row.beside(name, cost);
        }
    }
    row.at_most_times(2.0, "bare walk")
}

/// All roles in one process on the servers' core, everything in memory, nobody to act.
pub async fn system() -> Process {
    let mut process = Process::prepare();
    process.configure(json!({
        "store": { "url": "memory:" },
        "log": { "filter": "warn" },
    }));
    on_server_core(|| process.spawn());
    wait_for("the system listens", Duration::from_secs(30), || async {
        process.api().is_healthy().await.then_some(())
    })
    .await;
    process
}

pub async fn sink(kind: Kind) -> Server {
    let port = free_port();
    let program = std::env::current_exe().expect("a running program has a path");
    let arguments = ["sink", kind.word(), &port.to_string()].map(str::to_owned);
    Server::start(&program, &arguments, port).await
}

/// rotel, if it is said where it is, and its port for HTTP.
async fn rotel(settings: &Settings) -> Option<(Server, u16)> {
    let Some(tools) = &settings.tools else {
        eprintln!("rotel is left out: --tools says where `make bench-compare` has installed it");
        return None;
    };
    let program = agent_of(tools).unwrap_or_else(|| panic!("no rotel in {}", tools.display()));
    let (grpc, http) = (free_port(), free_port());
    let arguments = [
        "start",
        "--otlp-grpc-endpoint",
        &format!("127.0.0.1:{grpc}"),
        "--otlp-http-endpoint",
        &format!("127.0.0.1:{http}"),
        "--exporter",
        "blackhole",
    ]
    .map(str::to_owned);
    Some((Server::start(&program, &arguments, grpc).await, http))
}

/// Where its package keeps the program.
fn agent_of(tools: &Path) -> Option<PathBuf> {
    let libraries = std::fs::read_dir(tools.join("lib")).ok()?.flatten();
    libraries
        .map(|python| python.path().join("site-packages/rotel/rotel-agent"))
        .find(|program| program.is_file())
}
