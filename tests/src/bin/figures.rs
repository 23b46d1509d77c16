//! `make bench`: figures of the whole system in both wirings, on this machine, as tables of Markdown. An argument
//! (`approvals`, `detection`, `roles`) asks for one part.

use immune_tests::cluster::{Cluster, Options, Servers};
use immune_tests::measure::{self, AGENTS, RATE, fleet, learned, levers};
use immune_tests::node::Node;
use immune_tests::wiring::Wiring;
use std::time::Duration;

/// How long load is measured.
const LOADED: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() {
    let only = std::env::args().nth(1);
    let is_wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    if is_wanted("approvals") {
        approvals().await;
    }
    if is_wanted("detection") {
        for wiring in [Wiring::OneProcess, Wiring::Cluster] {
            detection(wiring).await;
        }
    }
    if is_wanted("roles") {
        roles().await;
    }
}

/// Approvals over REST on PostgreSQL, beside the bare transaction.
async fn approvals() {
    println!(
        "\n| clients | approve over REST p50 / p99 | bare UPDATE + INSERT (pgbench) p50 / p99 | ratio of p50 |"
    );
    println!("|---|---|---|---|");
    for of in measure::approvals().await {
        let (ours, bare) = (of.ours.at(0.5), of.bare.at(0.5));
        println!(
            "| {} | {ours:.2} / {:.2} ms | {bare:.2} / {:.2} ms | {:.1} |",
            of.clients,
            of.ours.at(0.99),
            of.bare.at(0.99),
            ours / bare
        );
    }
}

/// From the last byte of a bad execution to the platform being asked to quarantine the agent, under load.
async fn detection(wiring: Wiring) {
    let took = measure::detection(wiring).await;
    let name = match wiring {
        Wiring::OneProcess => "one process, SQLite",
        Wiring::Streams => "six processes, PostgreSQL, InfluxDB",
        Wiring::Cluster => "six processes, PostgreSQL, Redis, InfluxDB",
    };
    println!(
        "\n{name}, {RATE} executions/s of {AGENTS} agents: last byte of a bad span to quarantine requested: \
         p50 {:.1} ms, p99 {:.1} ms",
        took.at(0.5),
        took.at(0.99)
    );
}

/// Memory and processor time of each role, idle and under load.
async fn roles() {
    let servers = Servers::start().await;
    let mut cluster = Cluster::prepare(servers, Options::default()).await;
    let fleet = fleet(cluster.otlp_http()).await;
    fleet.pause(true);
    cluster.start_with(levers(&fleet)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle: Vec<f64> = cluster.nodes.iter().map(mebibytes).collect();
    fleet.pause(false);
    learned(&cluster.api()).await;
    let (before, accepted) = (cpu(&cluster), fleet.numbers().accepted);
    tokio::time::sleep(LOADED).await;
    let (after, accepted) = (cpu(&cluster), fleet.numbers().accepted - accepted);
    println!(
        "\n{:.0} executions/s accepted over {LOADED:?}",
        accepted as f64 / LOADED.as_secs_f64()
    );
    println!("\n| role | idle | loaded | CPU per 1,000 executions/s |");
    println!("|---|---|---|---|");
    for (n, node) in cluster.nodes.iter().enumerate() {
        let used = (after[n] - before[n]) / accepted as f64 * 1_000.0;
        println!(
            "| {} | {:.0} MiB | {:.0} MiB | {:.1} % of a core |",
            node.role,
            idle[n],
            mebibytes(node),
            used * 100.0
        );
    }
    fleet.stop().await;
}

fn cpu(cluster: &Cluster) -> Vec<f64> {
    cluster
        .nodes
        .iter()
        .map(|node| node.cpu_seconds().unwrap_or_default())
        .collect()
}

fn mebibytes(node: &Node) -> f64 {
    node.memory().unwrap_or_default() as f64 / 1_048_576.0
}
