//! Figures of the whole system that more than one program prints: how long approvals take, and how long a bad execution
//! goes unanswered.

use crate::cluster::{Cluster, Options, Servers};
use crate::fleet::{Config, Fleet};
use crate::wait_for;
use crate::wiring::{System, Wiring};
use immune_test_servers::Postgres;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Agents of the fleet.
pub const AGENTS: usize = 2_000;
/// Executions per second of all of them together.
pub const RATE: usize = 2_000;
/// Measured approvals per number of clients, and the numbers of clients.
const APPROVALS: usize = 400;
const CLIENTS: [usize; 3] = [1, 8, 32];
/// Measured detections.
const STRIKES: usize = 100;
const LEARN_MAX: Duration = Duration::from_secs(180);

/// Milliseconds, of many of a kind.
pub struct Took(Vec<f64>);

impl Took {
    fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Took(values)
    }

    /// Within which a share of them was done.
    pub fn at(&self, share: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * share).round() as usize]
    }
}

/// Approvals by so many clients at once.
pub struct Approvals {
    /// How many clients.
    pub clients: usize,
    /// From the call to its answer, when the decision is committed.
    pub ours: Took,
    /// The bare transaction.
    pub bare: Took,
}

/// Approvals over REST on PostgreSQL, beside the same number of clients that do the bare minimum with pgbench. The
/// server waits for the disk, as in production.
pub async fn approvals() -> Vec<Approvals> {
    let (postgres, redis, influx) = tokio::join!(
        Postgres::start_with(&[]),
        immune_test_servers::Redis::start(),
        immune_test_servers::Influx::start()
    );
    let servers = Servers {
        postgres,
        redis,
        influx,
    };
    let mut cluster = Cluster::prepare(servers, Options::default()).await;
    // Its platform contains and heals the agents, which rest: decisions are what is measured.
    let fleet = fleet(cluster.otlp_http()).await;
    fleet.pause(true);
    let mut settings = levers(&fleet);
    settings["policy"]["defaults"]["severity_requiring_approval"] = json!(0.0);
    cluster.start_with(settings).await;
    let mut measured = Vec::new();
    for (round, clients) in CLIENTS.into_iter().enumerate() {
        let agents: Vec<String> = (0..APPROVALS)
            .map(|n| fleet.name(round * APPROVALS + n))
            .collect();
        let ours = Took::new(approve(&cluster, clients, agents).await);
        let bare = Took::new(pgbench(&cluster, clients).await);
        measured.push(Approvals { clients, ours, bare });
    }
    fleet.stop().await;
    measured
}

/// Opens cases by the platform's word and approves them; milliseconds of each approval.
async fn approve(cluster: &Cluster, clients: usize, agents: Vec<String>) -> Vec<f64> {
    let (api, agents) = (cluster.api(), Arc::new(agents));
    let ids = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut opening = tokio::task::JoinSet::new();
    let next = Arc::new(AtomicUsize::new(0));
    for _ in 0..8 {
        let (api, next, ids, agents) = (api.clone(), next.clone(), ids.clone(), agents.clone());
        opening.spawn(async move {
            while let Some(agent) = agents.get(next.fetch_add(1, Ordering::Relaxed)) {
                let path = format!("/api/agents/{agent}/infected");
                // Opening is not what is measured: it is repeated where it was refused.
                let body = wait_for(
                    "the platform's word is taken",
                    Duration::from_secs(60),
                    || async {
                        let (status, body) = api.post(&path, json!({ "reason": "bench" })).await?;
                        status.is_success().then_some(body)
                    },
                )
                .await;
                let id = body["case_id"].as_str().expect("a case is open").to_owned();
                ids.lock().expect("nobody panics").push(id);
            }
        });
    }
    opening.join_all().await;
    let ids = Arc::new(ids.lock().expect("nobody panics").clone());
    let next = Arc::new(AtomicUsize::new(0));
    let mut deciding = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (api, next, ids) = (api.clone(), next.clone(), ids.clone());
        deciding.spawn(async move {
            let mut took = Vec::new();
            while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
                let started = Instant::now();
                let (status, body) = api.decide(id, "approve").await.expect("REST answers");
                assert_eq!(status, StatusCode::OK, "{body}");
                took.push(started.elapsed().as_secs_f64() * 1e3);
            }
            took
        });
    }
    deciding.join_all().await.into_iter().flatten().collect()
}

/// A conditional UPDATE of one row and an INSERT into an audit table, in one transaction; milliseconds of each.
async fn pgbench(cluster: &Cluster, clients: usize) -> Vec<f64> {
    let postgres = &cluster.servers.as_ref().expect("servers of its own").postgres;
    let database = format!("bare_{clients}");
    postgres
        .sql("postgres", &format!("CREATE DATABASE {database}"))
        .await;
    let make = "CREATE TABLE c (id int PRIMARY KEY, version int NOT NULL, state text NOT NULL);
        INSERT INTO c SELECT n, 1, 'waiting' FROM generate_series(1, 10000) n;
        CREATE TABLE audit (at timestamptz DEFAULT now(), id int, what text);";
    postgres.sql(&database, make).await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let script = "\\set id random(1, 10000)\nBEGIN;\nUPDATE c SET version = version + 1, state = 'approved' WHERE id = :id \
                  AND version >= 1;\nINSERT INTO audit (id, what) VALUES (:id, 'approve');\nCOMMIT;\n";
    std::fs::write(folder.path().join("script"), script).expect("a file can be written");
    let ran = tokio::process::Command::new(postgres.program("pgbench"))
        .args(["-n", "-f", "script", "-M", "prepared", "-l", "--log-prefix=took"])
        .args([
            "-c",
            &clients.to_string(),
            "-j",
            "2",
            "-t",
            &(APPROVALS * 4 / clients).to_string(),
        ])
        .arg(postgres.url(&database))
        .current_dir(folder.path())
        .output()
        .await
        .expect("pgbench runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let logs = std::fs::read_dir(folder.path())
        .expect("the folder is there")
        .flatten();
    logs.filter(|file| file.file_name().to_string_lossy().starts_with("took"))
        .filter_map(|file| std::fs::read_to_string(file.path()).ok())
        .flat_map(|log| {
            let micros = |line: &str| line.split(' ').nth(2).and_then(|text| text.parse::<f64>().ok());
            log.lines().filter_map(micros).collect::<Vec<_>>()
        })
        .map(|micros| micros / 1e3)
        .collect()
}

/// From the last byte of a bad execution to the platform being asked to quarantine the agent, under load.
pub async fn detection(wiring: Wiring) -> Took {
    let mut system = System::prepare(wiring).await;
    let fleet = fleet(vec![system.otlp_http()]).await;
    let mut settings = levers(&fleet);
    // The guarded detector does not believe a lone execution; what is measured is the way of one that alone decides.
    settings["policy"]["defaults"]["detector"] = json!("specified");
    system.start(settings).await;
    learned(&system.api()).await;
    let mut took = Vec::new();
    for n in 0..STRIKES {
        took.push(fleet.strike(n * (AGENTS / STRIKES)).await.as_secs_f64() * 1e3);
    }
    fleet.stop().await;
    Took::new(took)
}

/// The fleet, sending there.
pub async fn fleet(targets: Vec<String>) -> Fleet {
    Fleet::start(Config {
        targets,
        agents: AGENTS,
        rate: RATE,
        seed: 1,
        headers: Vec::new(),
    })
    .await
}

/// The fleet is the platform, too.
pub fn levers(fleet: &Fleet) -> Value {
    json!({
        // Agents are struck one by one within seconds: the figure is of each alone.
        "sentinel": { "fleet": { "enabled": false } },
        "levers": { "lifecycle": { "base_url": fleet.lifecycle_base_url() } },
        "policy": { "defaults": { "blast_radius": { "agents": 100_000 } } },
    })
}

/// Waits until every agent has a baseline.
pub async fn learned(api: &crate::api::Api) {
    wait_for("every agent has a baseline", LEARN_MAX, || async {
        let ready = api.get("/api/v1/baselines/count").await?;
        (ready["count"].as_u64()? >= AGENTS as u64).then_some(())
    })
    .await;
    // Baselines settle.
    tokio::time::sleep(Duration::from_secs(10)).await;
}
