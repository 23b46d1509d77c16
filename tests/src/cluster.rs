//! The six roles as processes of their own, on real servers: what `make cluster` starts, and what the flow and fault
//! tests of the second wiring run on.

use crate::api::Api;
use crate::certificates::Authority;
use crate::node::{Node, ROLES};
use crate::process::{binary, merge};
use crate::wait_for;
use immune_test_servers::{Influx, Postgres, Redis};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a cluster may take to be ready on a loaded machine.
const START_MAX: Duration = Duration::from_secs(120);

/// How a cluster is built.
#[derive(Debug, Clone)]
pub struct Options {
    /// Replicas of each role, in the order of [`ROLES`].
    pub replicas: [usize; 6],
    /// Whether Redis carries the vitals; without it baseline and sentinel have one replica each.
    pub has_redis: bool,
    /// Configuration of every process, over the cluster's own.
    pub config: Value,
    /// Whether roles know each other by certificates; else by a token.
    pub has_tls: bool,
    /// Addresses that stand in front of the servers (PostgreSQL, Redis, InfluxDB), such as a proxy's.
    pub in_front: [Option<SocketAddr>; 3],
}

impl Default for Options {
    fn default() -> Self {
        Options {
            replicas: [1; 6],
            has_redis: true,
            has_tls: false,
            config: json!({}),
            in_front: [None; 3],
        }
    }
}

/// The servers of a cluster.
pub struct Servers {
    /// Workflow.
    pub postgres: Postgres,
    /// The bus.
    pub redis: Redis,
    /// Vitals.
    pub influx: Influx,
}

impl Servers {
    /// Starts all three.
    pub async fn start() -> Self {
        let (postgres, redis, influx) = tokio::join!(Postgres::start(), Redis::start(), Influx::start());
        Servers {
            postgres,
            redis,
            influx,
        }
    }
}

/// A place of its own on each server, and what the processes are told of it.
async fn place(postgres: &Postgres, redis: &Redis, influx: &Influx, options: &Options) -> Value {
    static PLACES: AtomicU32 = AtomicU32::new(0);
    let number = PLACES.fetch_add(1, Ordering::Relaxed);
    let name = format!("immune_{number}");
    influx.create_database(&name).await;
    let moved = |url: String, own: u16, front: Option<SocketAddr>| match front {
        Some(front) => url.replace(&format!(":{own}"), &format!(":{}", front.port())),
        None => url,
    };
    let [front_postgres, front_redis, front_influx] = options.in_front;
    let (user, password) = influx.user();
    let mut config = json!({
        "store": { "url": moved(postgres.database().await, postgres.port(), front_postgres) },
        "influx": {
            "url": moved(influx.url(), influx.port(), front_influx),
            "database": name,
            "user": user,
            "password": password,
        },
    });
    if !options.has_tls {
        merge(
            &mut config,
            json!({ "grpc": { "token": "the-roles-of-this-machine-know-each-other-by-it" } }),
        );
    }
    if options.has_redis {
        // Redis has sixteen databases.
        let url = format!("{}{}", moved(redis.url(), redis.port(), front_redis), number % 16);
        merge(&mut config, json!({ "redis": { "url": url } }));
    }
    config
}

/// A cluster that runs.
pub struct Cluster {
    /// Its processes, in the order of [`ROLES`].
    pub nodes: Vec<Node>,
    /// Its servers, unless they are shared with others.
    pub servers: Option<Servers>,
    /// Who signs the certificates of its roles, where they have any.
    pub authority: Option<Authority>,
    shared: Value,
    over: Value,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts servers and processes, and waits until every one is ready.
    pub async fn start(options: Options) -> Self {
        let servers = Servers::start().await;
        Cluster::on(servers, options).await
    }

    /// Starts the processes on servers that run.
    pub async fn on(servers: Servers, options: Options) -> Self {
        let mut cluster = Cluster::prepare(servers, options).await;
        cluster.nodes.iter_mut().for_each(Node::start);
        cluster.ready().await;
        cluster
    }

    /// Chooses ports and writes the configurations, and starts no process.
    pub async fn prepare(servers: Servers, options: Options) -> Self {
        let Servers {
            postgres,
            redis,
            influx,
        } = &servers;
        let shared = place(postgres, redis, influx, &options).await;
        let mut cluster = Cluster::new(shared, options).await;
        cluster.servers = Some(servers);
        cluster
    }

    /// The same on the servers that all tests of this process share.
    pub async fn prepare_on_shared(options: Options) -> Self {
        let (postgres, redis, influx) = tokio::join!(Postgres::shared(), Redis::shared(), Influx::shared());
        let shared = place(postgres, redis, influx, &options).await;
        Cluster::new(shared, options).await
    }

    async fn new(shared: Value, options: Options) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("immune-cluster-")
            .tempdir()
            .expect("a temporary directory can be made");
        let nodes: Vec<Node> = ROLES
            .iter()
            .zip(options.replicas)
            .flat_map(|(role, count)| (0..count).map(move |replica| (*role, replica)))
            .map(|(role, replica)| Node::prepare(role, replica, folder.path()))
            .collect();
        let authority = options.has_tls.then(|| Authority::new(folder.path()));
        if let Some(authority) = &authority {
            ROLES.iter().for_each(|role| authority.issue(role, 86_400));
        }
        let mut cluster = Cluster {
            nodes,
            servers: None,
            authority,
            shared,
            over: options.config,
            folder,
        };
        cluster.configure();
        cluster.migrate().await;
        cluster
    }

    /// Starts every process with a configuration over the cluster's own, and waits until all are ready.
    pub async fn start_with(&mut self, config: Value) {
        merge(&mut self.over, config);
        self.configure();
        self.nodes.iter_mut().for_each(Node::start);
        self.ready().await;
    }

    /// Writes every process's configuration, with the addresses of all replicas as they are now.
    pub fn configure(&mut self) {
        let peers: serde_json::Map<String, Value> = ROLES
            .iter()
            .map(|role| {
                let addresses: Vec<String> = self.of(role).map(Node::address).collect();
                ((*role).to_owned(), json!(addresses.join(",")))
            })
            .collect();
        merge(&mut self.shared, json!({ "peers": peers }));
        for node in &self.nodes {
            let mut over = self.over.clone();
            if let Some(authority) = &self.authority {
                merge(&mut over, authority.config(node.role));
            }
            node.configure(&self.shared, &over);
        }
    }

    /// Adds a replica of a role, which the others know once they are configured and started anew.
    pub fn add(&mut self, role: &'static str) -> usize {
        let node = Node::prepare(role, self.of(role).count(), self.folder.path());
        self.nodes.push(node);
        self.configure();
        self.nodes.len() - 1
    }

    async fn migrate(&self) {
        let node = self.nodes.first().expect("a cluster has a process");
        let mut command = tokio::process::Command::new(binary());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("IMMUNE_"))
        {
            command.env_remove(name);
        }
        let ran = command
            .args(["migrate", "--config"])
            .arg(node.file())
            .output()
            .await;
        let ran = ran.expect("the binary can be started");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "immune migrate: {said}");
    }

    /// Waits until every process says that it is ready.
    pub async fn ready(&mut self) {
        for n in 0..self.nodes.len() {
            self.node_ready(n).await;
        }
    }

    /// Waits until one process says that it is ready.
    pub async fn node_ready(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let url = format!("http://127.0.0.1:{}", node.metrics);
        let api = Api::new(url);
        let started = std::time::Instant::now();
        loop {
            let answer = api.send(reqwest::Method::GET, "/readyz", None).await;
            if answer.as_ref().is_some_and(|(status, _)| status.is_success()) {
                return;
            }
            assert!(
                started.elapsed() < START_MAX && node.is_running(),
                "{} {} is not ready: {answer:?}\n{}",
                node.role,
                node.replica,
                node.tail(30)
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The replicas of a role.
    pub fn of<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a Node> {
        self.nodes.iter().filter(move |node| node.role == role)
    }

    /// The place of a replica in `nodes`.
    pub fn place(&self, role: &str, replica: usize) -> usize {
        let found = |node: &Node| node.role == role && node.replica == replica;
        self.nodes.iter().position(found).expect("the replica is there")
    }

    /// A client of the first dashboard's REST.
    pub fn api(&self) -> Api {
        Api::new(self.rest())
    }

    /// Where the first dashboard's REST is.
    pub fn rest(&self) -> String {
        let node = self.of("dashboard").next().expect("there is a dashboard");
        format!("http://127.0.0.1:{}", node.rest)
    }

    /// Where agents send OTLP over HTTP: one URL per replica of ingestion.
    pub fn otlp_http(&self) -> Vec<String> {
        self.of("ingestion")
            .map(|node| format!("http://127.0.0.1:{}", node.otlp.1))
            .collect()
    }

    /// Where agents send OTLP over gRPC: the first replica of ingestion.
    pub fn otlp_grpc(&self) -> String {
        let node = self.of("ingestion").next().expect("there is an ingestion");
        format!("http://127.0.0.1:{}", node.otlp.0)
    }

    /// Sends SIGTERM to all, doors first, and waits until each has drained and ended with status 0.
    pub async fn stop(&mut self) {
        for role in [
            "ingestion",
            "dashboard",
            "sentinel",
            "baseline",
            "healer",
            "quarantine",
        ] {
            for node in self.nodes.iter_mut().filter(|node| node.role == role) {
                if !node.is_running() {
                    continue;
                }
                node.terminate();
                let name = format!("{} {}", node.role, node.replica);
                let node = std::sync::Mutex::new(node);
                let ended = || async { node.lock().expect("one task").ended() };
                let status = wait_for(&format!("{name} drains"), Duration::from_secs(40), ended).await;
                assert_eq!(status, 0, "{name} ends well");
            }
        }
    }
}
