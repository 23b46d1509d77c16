//! The cluster under load, and the accounts that are held at the end.

use crate::fault::Fault;
use crate::table::{self, Row};
use immune_test_servers::{Influx, Postgres, Redis};
use immune_tests::cluster::{Cluster, Options, Servers};
use immune_tests::fleet::{Config, Fleet};
use immune_tests::proxy::{Line, Proxy};
use immune_tests::wait_for;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Replicas of ingestion, baseline, sentinel, quarantine, healer and dashboard.
const REPLICAS: [usize; 6] = [2, 2, 2, 2, 2, 1];
/// Agents that fall ill with each fault.
const ILL_PER_FAULT: usize = 3;
/// The disk of InfluxDB, which is filled.
const DISK_MEBIBYTES: u32 = 384;
const LEARN_MAX: Duration = Duration::from_secs(180);
const RECOVER_MAX: Duration = Duration::from_secs(100);

/// A cluster under load.
pub struct World {
    /// Its processes and servers.
    pub cluster: Cluster,
    fleet: Fleet,
    lines: [Proxy; 3],
    person: JoinHandle<()>,
    approved: Arc<Mutex<BTreeSet<String>>>,
    rng: StdRng,
    seed: u64,
    agents: usize,
    infected: BTreeSet<usize>,
    ill_now: Vec<usize>,
    rows: Vec<Row>,
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

impl World {
    /// Starts everything and waits until every agent has a baseline.
    pub async fn start() -> Self {
        let seed = std::env::var("IMMUNE_SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(rand::random);
        let (agents, rate) = (
            setting("IMMUNE_FAULTS_AGENTS", 400),
            setting("IMMUNE_FAULTS_RATE", 400),
        );
        println!("IMMUNE_SEED={seed}: {agents} agents, {rate} executions/s");
        let (postgres, redis, influx) = tokio::join!(
            Postgres::start(),
            Redis::start(),
            Influx::start_on_disk(DISK_MEBIBYTES)
        );
        let servers = Servers {
            postgres,
            redis,
            influx,
        };
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let lines = [
            Proxy::to(at(servers.postgres.port())).await,
            Proxy::to(at(servers.redis.port())).await,
            Proxy::to(at(servers.influx.port())).await,
        ];
        let options = Options {
            replicas: REPLICAS,
            has_tls: true,
            in_front: [0, 1, 2].map(|n: usize| Some(lines[n].address())),
            ..Options::default()
        };
        let mut cluster = Cluster::prepare(servers, options).await;
        let fleet = Fleet::start(Config {
            targets: cluster.otlp_http(),
            agents,
            rate,
            seed,
            headers: Vec::new(),
        })
        .await;
        let base = fleet.lifecycle_base_url().to_owned();
        // Room for all that fall ill together: what is tried here is faults, not the blast radius or the fleet check.
        cluster
            .start_with(json!({
                "sentinel": { "fleet": { "enabled": false } },
                "levers": { "lifecycle": { "base_url": base } },
                "policy": { "defaults": { "blast_radius": { "agents": 1_000 } } },
            }))
            .await;
        let approved = Arc::<Mutex<BTreeSet<String>>>::default();
        let person = tokio::spawn(approve(cluster.api(), approved.clone()));
        let world = World {
            cluster,
            fleet,
            lines,
            person,
            approved,
            rng: StdRng::seed_from_u64(seed),
            seed,
            agents,
            infected: BTreeSet::new(),
            ill_now: Vec::new(),
            rows: Vec::new(),
        };
        // Ready, as the sentinel knows it, and then as many executions again: who falls ill at the very moment when
        // its baseline becomes ready teaches it.
        let api = world.cluster.api();
        wait_for("every agent has a baseline", LEARN_MAX, || async {
            let known = api.get("/api/agents?limit=10000").await?;
            let known = known.as_array()?;
            (known.len() == agents && known.iter().all(|agent| agent["has_baseline"] == true)).then_some(())
        })
        .await;
        let before = world.fleet.numbers().accepted;
        wait_for("agents execute with a baseline", LEARN_MAX, || async {
            (world.fleet.numbers().accepted > before + 15 * agents as u64).then_some(())
        })
        .await;
        world
    }

    /// The servers, which are this cluster's own.
    pub fn servers(&self) -> &Servers {
        self.cluster
            .servers
            .as_ref()
            .expect("the cluster has servers of its own")
    }

    /// Some agents fall ill, which never were before.
    pub fn infect_some(&mut self) {
        for _ in 0..ILL_PER_FAULT {
            let n = loop {
                let n = self.rng.random_range(0..self.agents);
                if self.infected.insert(n) {
                    break n;
                }
            };
            self.fleet.infect(n);
            self.ill_now.push(n);
        }
    }

    /// Lets a fault last, with agents falling ill in the middle of it.
    pub async fn last(&mut self, time: Duration) {
        tokio::time::sleep(time / 2).await;
        self.infect_some();
        tokio::time::sleep(time / 2).await;
    }

    /// Changes a line to a server, and opens it again.
    pub async fn line(&mut self, server: usize, line: Line, time: Duration) {
        self.lines[server].set(line);
        self.last(time).await;
        self.lines[server].set(Line::Open);
    }

    /// Waits until a process that was asked to has drained.
    pub async fn drained(&mut self, place: usize) {
        let started = Instant::now();
        let node = &mut self.cluster.nodes[place];
        loop {
            if let Some(status) = node.ended() {
                assert_eq!(status, 0, "{} {} ends well", node.role, node.replica);
                return;
            }
            assert!(
                started.elapsed() < Duration::from_secs(25),
                "{} does not drain",
                node.role
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Writes a new certificate for a role; negative seconds: it has ended.
    pub fn certificate(&self, role: &str, seconds: i64) {
        let authority = self
            .cluster
            .authority
            .as_ref()
            .expect("this cluster has certificates");
        authority.issue(role, seconds);
    }

    /// One fault: agents fall ill, it happens, is mended, and everybody recovers.
    pub async fn meet(&mut self, fault: Fault) {
        if fault == Fault::FullDisk && !self.servers().influx.has_disk() {
            println!("{}: not done, this process may not mount a disk", fault.name());
            return;
        }
        let before = self.fleet.numbers();
        self.ill_now.clear();
        self.infect_some();
        let started = Instant::now();
        fault.happen(self).await;
        let lasted = started.elapsed();
        let mended = Instant::now();
        let names: Vec<String> = self.ill_now.iter().map(|n| self.fleet.name(*n)).collect();
        self.recovered(&fault.name(), &names).await;
        let after = self.fleet.numbers();
        let row = Row {
            fault: fault.name(),
            lasted,
            recovered: mended.elapsed(),
            infected: names.len(),
            refused: after.refused - before.refused,
            accepted: after.accepted - before.accepted,
        };
        println!(
            "{}: {:.1} s, recovered in {:.1} s",
            row.fault,
            lasted.as_secs_f64(),
            row.recovered.as_secs_f64()
        );
        self.rows.push(row);
    }

    /// Waits until the agents are healed and free, and their cases closed as healed.
    async fn recovered(&self, fault: &str, names: &[String]) {
        let api = self.cluster.api();
        let started = Instant::now();
        loop {
            let cases = api.cases().await.unwrap_or_default();
            let is_healed = |name: &String| {
                let case = cases.iter().find(|case| case["agent_id"] == name.as_str());
                case.is_some_and(|case| case["state"] == "healed")
            };
            let contained = self.fleet.contained();
            let left: Vec<&String> = names
                .iter()
                .filter(|name| !is_healed(name) || contained.contains(name))
                .collect();
            if left.is_empty() {
                return;
            }
            if started.elapsed() > RECOVER_MAX {
                let open: Vec<&Value> = cases
                    .iter()
                    .filter(|case| left.iter().any(|name| case["agent_id"] == name.as_str()))
                    .collect();
                panic!("after {fault}, {left:?} have not recovered: {open:#?}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Lets the agents rest, and waits until everything that was done is accepted.
    pub async fn settle(&mut self) {
        self.fleet.pause(true);
        wait_for("everything is accepted", Duration::from_secs(60), || async {
            (self.fleet.numbers().under_way == 0).then_some(())
        })
        .await;
    }

    /// Prints what happened.
    pub fn print(&self) {
        println!(
            "\nseed {}, {} agents, replicas {REPLICAS:?}",
            self.seed, self.agents
        );
        table::print(&self.rows);
    }

    /// What a fault may not lose or double.
    pub async fn hold_accounts(&self) {
        let api = self.cluster.api();
        let numbers = self.fleet.numbers();
        let total = wait_for(
            "every accepted execution is counted",
            Duration::from_secs(60),
            || async {
                let total = api.get("/api/v1/vitals/total-executions").await?["total"].as_u64()?;
                (total >= numbers.accepted).then_some(total)
            },
        )
        .await;
        assert_eq!(
            total, numbers.accepted,
            "every accepted execution is counted once"
        );

        let cases = api.cases().await.expect("the cases");
        let mut of_agent: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for case in &cases {
            of_agent.entry(text(&case["agent_id"])).or_default().push(case);
        }
        let infected: BTreeSet<String> = self.infected.iter().map(|n| self.fleet.name(*n)).collect();
        for (agent, cases) in &of_agent {
            assert!(infected.contains(agent), "{agent} was never ill: {cases:#?}");
            assert_eq!(cases.len(), 1, "{agent} fell ill once: {cases:#?}");
        }
        assert_eq!(of_agent.len(), infected.len(), "every infection has a case");

        let acted = self.fleet.acted();
        let approved = self
            .approved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for case in &cases {
            let id = text(&case["case_id"]);
            let effective = acted.iter().filter(|act| act.case == id && act.cured).count();
            assert_eq!(effective, 1, "case {id} has one effective healing: {case:#}");
            assert_eq!(case["state"], "healed", "{case:#}");
        }
        let known: BTreeSet<String> = cases.iter().map(|case| text(&case["case_id"])).collect();
        let lost: Vec<&String> = approved.difference(&known).collect();
        assert!(
            lost.is_empty(),
            "approvals that were acknowledged and are gone: {lost:?}"
        );
        assert_eq!(
            self.fleet.contained(),
            Vec::<String>::new(),
            "nobody is contained"
        );
        assert_eq!(self.fleet.ill(), Vec::<String>::new(), "nobody was released ill");
    }

    /// Everything drains and ends well.
    pub async fn stop(mut self) {
        self.person.abort();
        self.cluster.stop().await;
        self.fleet.stop().await;
    }
}

/// A person who approves whatever waits.
async fn approve(api: immune_tests::api::Api, approved: Arc<Mutex<BTreeSet<String>>>) {
    loop {
        for case in api.cases().await.unwrap_or_default() {
            let id = text(&case["case_id"]);
            if case["state"] == "awaiting_approval"
                && let Some((StatusCode::OK, _)) = api.decide(&id, "approve").await
            {
                approved.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
