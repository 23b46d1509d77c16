//! A primary, its replica, and a sentinel that replaces the primary.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_bus_redis::Config;
use immune_test_servers::{Redis, free_port};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use world::{Load, Process, Store, bare, prefix, until};

/// How long a server may be silent before the sentinel replaces it, ms: while it lives, longer than a busy machine
/// stalls one, for a second failover would choose a server that misses what the first one took.
const PATIENT: u32 = 120_000;
/// The same, while the primary is known to be dead.
const HASTY: u32 = 1_000;

/// A sentinel, which ends with the pipe that this process holds.
struct Sentinel {
    port: u16,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    fn start(primary: u16) -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {primary} 1\n\
             sentinel down-after-milliseconds main {PATIENT}\nsentinel failover-timeout main 5000\n",
            folder.path().display()
        );
        std::fs::write(&file, text).unwrap();
        let script =
            "redis-server \"$0\" --sentinel >/dev/null & sentinel=$!; cat >/dev/null; kill $sentinel";
        let child = Command::new("sh")
            .args(["-c", script])
            .arg(&file)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Sentinel {
            port,
            child,
            _folder: folder,
        }
    }
}

impl Sentinel {
    async fn patience(&self, ms: u32) {
        let url = format!("redis://127.0.0.1:{}/", self.port);
        let mut command = redis::cmd("SENTINEL");
        command
            .arg("SET")
            .arg("main")
            .arg("down-after-milliseconds")
            .arg(ms);
        command.exec_async(&mut bare(&url).await).await.unwrap();
    }

    /// Waits for an answer about its primary.
    async fn says(&self, word: &str, is_it: impl Fn(&redis::Value) -> bool) {
        let url = format!("redis://127.0.0.1:{}/", self.port);
        let mut connection = bare(&url).await;
        let mut command = redis::cmd("SENTINEL");
        command.arg(word).arg("main");
        let wait = async {
            loop {
                let answer: redis::Value = command.query_async(&mut connection).await.unwrap();
                if is_it(&answer) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(world::DEADLINE, wait)
            .await
            .unwrap_or_else(|_| panic!("the sentinel never knew its {word}"));
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ended = self.child.wait();
    }
}

/// What a server says of its replication; nothing while it is away or closes its connections.
async fn info(redis: &Redis) -> Option<String> {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.ok()?;
    let mut command = redis::cmd("INFO");
    command.arg("replication").query_async(&mut connection).await.ok()
}

async fn says(redis: &Redis, answer: &str) {
    let mut last = None;
    let wait = async {
        loop {
            last = info(redis).await;
            if last.as_ref().is_some_and(|info| info.contains(answer)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(world::DEADLINE, wait).await.is_err() {
        panic!("never {answer:?}, at last {last:?}");
    }
}

/// Scenario: under load, every entry confirmed by the replica, the primary is killed; the sentinel makes the replica
/// the primary, and the old one its replica when it comes back.
/// Guarantees: the processes follow; every execution takes effect once, and each agent's in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sentinels_primary_is_followed() {
    let options = ["--appendonly", "yes", "--repl-diskless-sync-delay", "0"];
    let primary = Redis::start_with(&options).await;
    let replica = Redis::start_with(&options).await;
    let mut follow = redis::cmd("REPLICAOF");
    follow.arg("127.0.0.1").arg(primary.port());
    follow.exec_async(&mut bare(&replica.url()).await).await.unwrap();
    says(&replica, "master_link_status:up").await;
    let sentinel = Sentinel::start(primary.port());
    // The first of the two does not exist.
    let url = format!(
        "redis+sentinel://127.0.0.1:{},127.0.0.1:{}/main",
        free_port(),
        sentinel.port
    );
    let config = Config {
        prefix: prefix("sentinel"),
        replicas_min: 1,
        ..Config::default()
    };
    let store = Arc::new(Store::default());
    let load = Load::start(&url, &config, 20);
    let process = Process::start(&url, &config, "w", &store);
    until("work", || store.count() > 500).await;
    // The sentinel must know the replica before it can choose it: it looks every ten seconds.
    sentinel
        .says(
            "REPLICAS",
            |answer| !matches!(answer, redis::Value::Array(replicas) if replicas.is_empty()),
        )
        .await;

    primary.kill().await;
    sentinel.patience(HASTY).await;
    says(&replica, "role:master").await;
    // The sentinel must have seen that too: it would take an old primary that comes back earlier for the primary.
    let port = replica.port();
    sentinel
        .says("GET-MASTER-ADDR-BY-NAME", |answer| {
            format!("{answer:?}").contains(&port.to_string())
        })
        .await;
    sentinel.patience(PATIENT).await;
    primary.start_again().await;
    says(&primary, "role:slave").await;
    says(&primary, "master_link_status:up").await;
    let before = store.count();
    until("work after the failover", || store.count() > before + 500).await;
    load.finish(&store).await;
    process.stop().await;
}
