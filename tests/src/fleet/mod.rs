//! Thousands of agents in one task: what they do is sent as OTLP over HTTP, and the Agent Lifecycle API that contains
//! and heals them is served beside. Much cheaper than the simulator's agents, which each run for themselves; for
//! tests and figures under load.
//!
//! Every execution that a server has accepted is counted, every action that was carried out is kept: what a fault
//! may not lose or double is held against these.

mod agents;
mod platform;
mod spans;

pub use agents::{Acted, Numbers};

use agents::Agents;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Time between two requests of telemetry.
const TICK: Duration = Duration::from_millis(50);
/// Requests that may be on their way; beyond it the agents wait, as behind a collector whose queue is full.
const REQUESTS_MAX: usize = 64;
/// Wait before a refused request is sent again.
const SEND_AGAIN: Duration = Duration::from_millis(200);

/// How a fleet is started.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where OTLP over HTTP goes, as `http://HOST:PORT`; each request goes to one of them in turn, and to the next
    /// when one does not take it.
    pub targets: Vec<String>,
    /// How many agents.
    pub agents: usize,
    /// Executions per second, of all agents together.
    pub rate: usize,
    /// What is left to chance comes from it.
    pub seed: u64,
    /// Headers of every export, such as an API key.
    pub headers: Vec<(String, String)>,
}

/// A fleet that runs; it stops when dropped.
pub struct Fleet {
    shared: Arc<Shared>,
    sender: Arc<Sender>,
    tasks: JoinSet<()>,
    lifecycle: String,
}

pub(crate) struct Shared {
    agents: Mutex<Agents>,
    accepted: AtomicU64,
    refused: AtomicU64,
    under_way: AtomicU64,
    is_paused: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Agents> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fleet {
    /// Starts the agents and their Lifecycle API.
    ///
    /// # Panics
    /// When loopback has no port, or the client cannot be built.
    pub async fn start(config: Config) -> Self {
        // A second installation is refused and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shared = Arc::new(Shared {
            agents: Mutex::new(Agents::new(config.agents)),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
            is_paused: AtomicBool::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a port");
        let address = listener.local_addr().expect("it is bound");
        let mut tasks = JoinSet::new();
        tasks.spawn(platform::serve(listener, shared.clone()));
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .build()
            .expect("a plain client can be built");
        let sender = Arc::new(Sender { client, config });
        tasks.spawn(run(sender.clone(), shared.clone()));
        Fleet {
            shared,
            sender,
            tasks,
            lifecycle: format!("http://{address}"),
        }
    }

    /// Base of the Agent Lifecycle API.
    pub fn lifecycle_base_url(&self) -> &str {
        &self.lifecycle
    }

    /// The name of an agent.
    pub fn name(&self, n: usize) -> String {
        agents::name(n)
    }

    /// Makes an agent fall ill: it burns four times the tokens and takes three times as long until any
    /// healing action is carried out.
    pub fn infect(&self, n: usize) {
        self.shared.lock().infect(n);
    }

    /// Sends one execution of an agent that nobody can miss, and waits until the platform is asked to quarantine it.
    /// Returns the time from the last byte sent to that.
    ///
    /// # Panics
    /// When it is not asked within ten seconds.
    pub async fn strike(&self, n: usize) -> Duration {
        let asked = self.shared.lock().notice(n);
        let execution = agents::Execution {
            agent: n,
            latency_ms: 20_000.0,
            input_tokens: 50_000,
            output_tokens: 10_000,
        };
        let body = spans::request(&[execution], now(), rand::random());
        // The answer comes after the record is stored and published; the clock runs from the sending.
        let sent = Instant::now();
        let sending = self.sender.send(body, n, &self.shared);
        let (asked, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(10), asked), sending);
        self.shared.accepted.fetch_add(1, Ordering::Relaxed);
        let at = asked
            .expect("a quarantine is asked for in time")
            .expect("the platform lives");
        at.duration_since(sent)
    }

    /// Lets no agent execute, or lets them go on. What is under way goes on.
    pub fn pause(&self, is_paused: bool) {
        self.shared.is_paused.store(is_paused, Ordering::Relaxed);
    }

    /// The fleet in numbers.
    pub fn numbers(&self) -> Numbers {
        let mut numbers = self.shared.lock().numbers();
        numbers.accepted = self.shared.accepted.load(Ordering::Relaxed);
        numbers.refused = self.shared.refused.load(Ordering::Relaxed);
        numbers.under_way = self.shared.under_way.load(Ordering::Relaxed);
        numbers
    }

    /// Every action that was carried out, in order; repetitions with the same idempotency key are not.
    pub fn acted(&self) -> Vec<Acted> {
        self.shared.lock().acted()
    }

    /// Agents that are ill now.
    pub fn ill(&self) -> Vec<String> {
        self.shared.lock().ill()
    }

    /// Agents that are kept from executing now.
    pub fn contained(&self) -> Vec<String> {
        self.shared.lock().contained()
    }

    /// Ends the fleet without waiting for what is under way.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Lets the agents execute at their rate and sends what they did.
async fn run(sender: Arc<Sender>, shared: Arc<Shared>) {
    let mut rng = StdRng::seed_from_u64(sender.config.seed);
    let room = Arc::new(Semaphore::new(REQUESTS_MAX));
    let mut requests = JoinSet::new();
    let mut timer = tokio::time::interval(TICK);
    timer.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut next, mut turn, mut owed) = (0_usize, 0_usize, 0.0_f64);
    loop {
        timer.tick().await;
        while requests.try_join_next().is_some() {}
        owed += sender.config.rate as f64 * TICK.as_secs_f64();
        if shared.is_paused.load(Ordering::Relaxed) {
            owed = 0.0;
            continue;
        }
        let due = owed as usize;
        owed -= due as f64;
        let done: Vec<_> = {
            let mut agents = shared.lock();
            (0..due)
                .filter_map(|_| {
                    next = (next + 1) % agents.len();
                    agents.execute(next, &mut rng)
                })
                .collect()
        };
        if done.is_empty() {
            continue;
        }
        let count = done.len() as u64;
        let body = spans::request(&done, now(), rng.random());
        shared.under_way.fetch_add(count, Ordering::Relaxed);
        let permit = room
            .clone()
            .acquire_owned()
            .await
            .expect("the semaphore stays open");
        let (sender, shared) = (sender.clone(), shared.clone());
        turn += 1;
        requests.spawn(async move {
            sender.send(body, turn, &shared).await;
            shared.under_way.fetch_sub(count, Ordering::Relaxed);
            shared.accepted.fetch_add(count, Ordering::Relaxed);
            drop(permit);
        });
    }
}

struct Sender {
    client: reqwest::Client,
    config: Config,
}

impl Sender {
    /// Sends a request until a server has accepted it, the same bytes each time, as a collector with a queue does.
    async fn send(&self, body: Vec<u8>, turn: usize, shared: &Shared) {
        for attempt in 0.. {
            let target = &self.config.targets[(turn + attempt) % self.config.targets.len()];
            let mut request = self.client.post(format!("{target}/v1/traces"));
            for (name, value) in &self.config.headers {
                request = request.header(name, value);
            }
            let request = request.header("content-type", "application/x-protobuf");
            match request.body(body.clone()).send().await {
                Ok(response) if response.status().is_success() => return,
                Ok(_) | Err(_) => {
                    shared.refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(SEND_AGAIN).await;
                }
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "agents have clocks of their own")]
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.expect("the clock is past 1970").as_nanos()).expect("the clock is before 2554")
}
