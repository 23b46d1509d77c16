//! `make cluster`: the six roles as processes of their own on PostgreSQL, Redis and InfluxDB, with simulated agents that
//! fall ill, for trying it out. Everything ends with this program and leaves nothing behind.

use immune_simulator::Simulator;
use immune_tests::cluster::{Cluster, Options, Servers};
use immune_tests::node::Node;
use serde_json::json;
use std::time::Duration;

#[tokio::main]
async fn main() {
    println!("starting PostgreSQL, Redis and InfluxDB ...");
    let servers = Servers::start().await;
    let mut cluster = Cluster::prepare(servers, Options::default()).await;
    let agents = Simulator::start(immune_simulator::Config {
        otlp_endpoint: cluster.otlp_grpc(),
        infect_every: Some(Duration::from_secs(30)),
        ..immune_simulator::Config::default()
    })
    .await
    .expect("the simulator starts");
    println!("starting the six roles ...");
    let config = json!({ "levers": { "lifecycle": { "base_url": agents.lifecycle_base_url() } } });
    cluster.start_with(config).await;
    show(&cluster);
    println!("12 simulated agents; one falls ill every 30 s. Ctrl-C ends everything.");
    tokio::signal::ctrl_c().await.expect("signals can be awaited");
    println!("stopping ...");
    agents.stop().await;
    cluster.stop().await;
}

fn show(cluster: &Cluster) {
    println!("\n{:<12} {:<24} {:<28} log", "role", "gRPC", "health and metrics");
    for node in &cluster.nodes {
        let Node { role, metrics, .. } = node;
        let health = format!("http://127.0.0.1:{metrics}/readyz");
        println!(
            "{role:<12} {:<24} {health:<28} {}",
            node.address(),
            node.log().display()
        );
    }
    if let Some(servers) = &cluster.servers {
        println!("\nPostgreSQL   127.0.0.1:{}", servers.postgres.port());
        println!("Redis        {}", servers.redis.url());
        println!("InfluxDB     {}", servers.influx.url());
    }
    println!(
        "\nOTLP         {} (gRPC), {} (HTTP)",
        cluster.otlp_grpc(),
        cluster.otlp_http()[0]
    );
    println!("REST         {}", cluster.rest());
    println!(
        "try          target/debug/immune get agents --server {}\n",
        cluster.rest()
    );
}
