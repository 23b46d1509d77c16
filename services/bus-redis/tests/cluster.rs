//! A Redis Cluster of three primaries with a replica each.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_bus_redis::Config;
use immune_test_servers::{Redis, free_port};
use redis::{FromRedisValue, Value, cmd};
use std::sync::Arc;
use std::time::Duration;
use world::{Load, Process, Store, bare, prefix, until};

struct Node {
    redis: Redis,
    bus_port: u16,
    id: String,
}

impl Node {
    async fn start() -> Self {
        let bus_port = free_port();
        let redis = Redis::start_with(&[
            "--appendonly",
            "yes",
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus_port.to_string(),
            "--cluster-node-timeout",
            "2000",
            "--repl-diskless-sync-delay",
            "0",
        ])
        .await;
        let id = ask(&redis, &["CLUSTER", "MYID"]).await;
        Node { redis, bus_port, id }
    }

    async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        ask(&self.redis, words).await
    }

    async fn says(&self, words: &[&str], answer: &str) -> bool {
        let text: String = self.ask(words).await;
        text.contains(answer)
    }
}

async fn ask<T: FromRedisValue>(redis: &Redis, words: &[&str]) -> T {
    let mut command = cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut bare(&redis.url()).await).await.unwrap()
}

/// Waits until a node's answer contains a text.
async fn says(node: &Node, words: &[&str], answer: &str) {
    let wait = async {
        while !node.says(words, answer).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(world::DEADLINE, wait)
        .await
        .unwrap_or_else(|_| panic!("{words:?} never said {answer:?}"));
}

/// Three primaries with a replica each, all slots served.
async fn cluster() -> Vec<Node> {
    let mut nodes = Vec::new();
    for _ in 0..6 {
        nodes.push(Node::start().await);
    }
    for (node, (from, to)) in nodes
        .iter()
        .zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")])
    {
        let _: Value = node.ask(&["CLUSTER", "ADDSLOTSRANGE", from, to]).await;
    }
    for (i, node) in nodes.iter().enumerate() {
        let epoch = (i + 1).to_string();
        let _: Value = node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
    }
    for node in &nodes[1..] {
        let (port, bus_port) = (node.redis.port().to_string(), node.bus_port.to_string());
        let _: Value = nodes[0]
            .ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port])
            .await;
    }
    for node in &nodes {
        says(node, &["CLUSTER", "INFO"], "cluster_known_nodes:6").await;
        says(node, &["CLUSTER", "INFO"], "cluster_state:ok").await;
    }
    for i in 0..3 {
        let _: Value = nodes[i + 3].ask(&["CLUSTER", "REPLICATE", &nodes[i].id]).await;
    }
    for node in &nodes[3..] {
        says(node, &["INFO", "replication"], "master_link_status:up").await;
    }
    nodes
}

/// Moves a slot with all its keys from one primary to another, while it is in use.
async fn move_slot(nodes: &[Node], slot: &str, from: &Node, to: &Node) {
    let _: Value = to.ask(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &from.id]).await;
    let _: Value = from.ask(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &to.id]).await;
    let port = to.redis.port().to_string();
    loop {
        let keys: Vec<String> = from.ask(&["CLUSTER", "GETKEYSINSLOT", slot, "10"]).await;
        if keys.is_empty() {
            break;
        }
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "REPLACE", "KEYS"];
        words.extend(keys.iter().map(String::as_str));
        let _: Value = from.ask(&words).await;
    }
    for node in [to, from].into_iter().chain(&nodes[..3]) {
        let _: Value = node.ask(&["CLUSTER", "SETSLOT", slot, "NODE", &to.id]).await;
    }
}

/// Scenario: two replicas at work on a cluster under load, every entry confirmed by a replica; a partition's slot
/// moves from one primary to another; then a primary is killed, its replica takes its place, and it comes back.
/// Guarantees: every execution takes effect once, and each agent's in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_and_primaries_die_under_load() {
    let nodes = cluster().await;
    // One of the two does not exist: the other tells of the rest.
    let url = format!(
        "redis+cluster://127.0.0.1:{},127.0.0.1:{}",
        free_port(),
        nodes[1].redis.port()
    );
    let config = Config {
        prefix: prefix("cluster"),
        partitions: 16,
        replicas_min: 1,
        ..Config::default()
    };
    let store = Arc::new(Store::default());
    let load = Load::start(&url, &config, 40);
    let first = Process::start(&url, &config, "first", &store);
    let second = Process::start(&url, &config, "second", &store);
    let more = |count: usize| {
        let enough = store.count() + count;
        let store = store.clone();
        move || store.count() >= enough
    };
    until("work", more(1_000)).await;
    until("two replicas to share", || {
        first.work.held() == 8 && second.work.held() == 8
    })
    .await;

    let entries = format!("{}:{{vitals.3}}:entries", config.prefix);
    let slot: u16 = nodes[0].ask(&["CLUSTER", "KEYSLOT", &entries]).await;
    let owner = usize::from(slot) / 5_461;
    move_slot(&nodes, &slot.to_string(), &nodes[owner], &nodes[(owner + 1) % 3]).await;
    until("work after a slot has moved", more(1_000)).await;

    nodes[0].redis.kill().await;
    says(&nodes[3], &["INFO", "replication"], "role:master").await;
    nodes[0].redis.start_again().await;
    says(&nodes[0], &["INFO", "replication"], "master_link_status:up").await;
    until("work after a primary has died", more(1_000)).await;
    load.finish(&store).await;
    first.stop().await;
    second.stop().await;
}
