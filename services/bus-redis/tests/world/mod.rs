//! What the tests of the bus over Redis have in common: processes of their own, and workers that keep the place
//! with their state, as baseline does.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a test fails by panicking; not every test file uses everything"
)]

use immune_bus::conformance::vitals;
use immune_bus::{Arrival, Batch, Begin, BusError, Consumer, Partition, Place, Record};
use immune_bus_redis::{Config, Metrics, RedisBus};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a test waits for what must happen.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A bus of a test, with keys of its own.
pub fn bus(url: &str, prefix: &str) -> RedisBus {
    let config = Config {
        prefix: prefix.to_owned(),
        ..Config::default()
    };
    with(url, config)
}

/// A bus with a configuration.
pub fn with(url: &str, config: Config) -> RedisBus {
    counted(url, config, &Metrics::default())
}

/// A bus with a configuration that counts there. What it logs is shown when `RUST_LOG` asks for it.
pub fn counted(url: &str, config: Config, metrics: &Metrics) -> RedisBus {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _is_set = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_test_writer()
        .try_init();
    let mut mistakes = Vec::new();
    config.check("redis", &mut mistakes);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    RedisBus::connect(url.parse().unwrap(), config, metrics.clone())
}

/// A prefix that no other test has.
pub fn prefix(test: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{test}-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A bare connection to the server.
pub async fn bare(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One record of an agent: its `n`-th execution.
pub fn record(agent: &str, n: i64) -> Record {
    Record::Vitals(vitals(agent, n))
}

/// Publishes until it succeeds, as ingestion's senders do; returns how often it failed.
pub async fn publish(bus: &RedisBus, batch: Batch) -> u32 {
    let publisher = bus.publisher();
    let started = Instant::now();
    let mut failures = 0;
    loop {
        match publisher.publish(batch.clone()).await {
            Ok(()) => return failures,
            Err(error @ BusError::Away { .. }) => {
                failures += 1;
                assert!(
                    started.elapsed() < DEADLINE,
                    "not published within {DEADLINE:?}: {error:?}"
                );
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Publishes the executions of so many agents, one of each at a time, until it is told to stop; then says how many
/// each had.
pub struct Load {
    stop: Arc<std::sync::atomic::AtomicBool>,
    task: tokio::task::JoinHandle<(i64, u32)>,
    agents: usize,
}

impl Load {
    pub fn start(url: &str, config: &Config, agents: usize) -> Self {
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let bus = with(url, config.clone());
        let is_over = stop.clone();
        let task = tokio::spawn(async move {
            let (mut n, mut failures) = (0, 0);
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let batch: Batch = (0..agents)
                    .map(|agent| record(&format!("agent-{agent}"), n))
                    .collect();
                failures += publish(&bus, batch).await;
                n += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (n, failures)
        });
        Load { stop, task, agents }
    }

    /// Stops, waits until all took effect, and asserts that each did once and in order.
    pub async fn finish(self, store: &Store) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let (executions, failures) = self.task.await.unwrap();
        assert!(executions > 0);
        let all = self.agents * executions as usize;
        until("all executions to take effect", || store.count() >= all).await;
        store.is_whole(self.agents, executions);
        let repeated = store.repeated();
        println!("{all} executions once each; {failures} publications failed; {repeated} came again");
    }
}

/// The store of a consumer: what each agent's executions were, in the order in which they took effect, and the place
/// of each partition, changed together. A writer that was overtaken is refused, as by baseline's store.
#[derive(Default)]
pub struct Store(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    tenures: BTreeMap<u16, (u64, Option<Place>)>,
    agents: BTreeMap<String, Vec<i64>>,
    seen: HashSet<String>,
    repeated: u64,
    refused: u64,
    last: u64,
}

impl Store {
    fn take_over(&self, partition: Partition) -> (u64, Option<Place>) {
        let mut kept = self.0.lock().unwrap();
        kept.last += 1;
        let tenure = kept.last;
        let entry = kept.tenures.entry(partition.index).or_default();
        entry.0 = tenure;
        (tenure, entry.1.clone())
    }

    fn put(&self, partition: Partition, tenure: u64, place: &Place, batch: &Batch) -> bool {
        let mut kept = self.0.lock().unwrap();
        let entry = kept.tenures.entry(partition.index).or_default();
        if entry.0 != tenure {
            kept.refused += 1;
            return false;
        }
        entry.1 = Some(place.clone());
        for record in batch.iter() {
            let Record::Vitals(vitals) = record else {
                continue;
            };
            assert!(partition.holds(&vitals.key));
            // A publication that failed and was repeated may be there twice: the id tells.
            if kept.seen.insert(vitals.execution.to_string()) {
                let agent = vitals.key.agent.to_string();
                kept.agents
                    .entry(agent)
                    .or_default()
                    .push(vitals.token_count.unwrap() as i64);
            } else {
                kept.repeated += 1;
            }
        }
        true
    }

    /// How many executions took effect.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().seen.len()
    }

    /// How many came again.
    pub fn repeated(&self) -> u64 {
        self.0.lock().unwrap().repeated
    }

    /// Asserts that each agent had `executions` executions, each once and in order.
    pub fn is_whole(&self, agents: usize, executions: i64) {
        let kept = self.0.lock().unwrap();
        assert_eq!(kept.agents.len(), agents);
        for (agent, had) in &kept.agents {
            assert_eq!(*had, (0..executions).collect::<Vec<_>>(), "{agent}");
        }
    }
}

/// What a worker holds and did.
#[derive(Default)]
pub struct Work {
    pub held: Mutex<HashSet<u16>>,
    pub batches: std::sync::atomic::AtomicU64,
}

impl Work {
    pub fn held(&self) -> usize {
        self.held.lock().unwrap().len()
    }
}

/// Works until the bus closes: each batch and its place go into the store together, then it is acknowledged.
pub async fn work(mut consumer: Box<dyn Consumer>, store: Arc<Store>, work: Arc<Work>) {
    let mut tenures: BTreeMap<u16, u64> = BTreeMap::new();
    while let Some(arrival) = consumer.next().await {
        match arrival {
            Arrival::Gained(partition) => {
                let (tenure, place) = store.take_over(partition);
                assert!(tenures.insert(partition.index, tenure).is_none(), "gained twice");
                assert!(work.held.lock().unwrap().insert(partition.index));
                consumer.begin(partition, Begin::After(place)).await;
            }
            Arrival::Lost(partition) => {
                assert!(tenures.remove(&partition.index).is_some(), "lost twice");
                work.held.lock().unwrap().remove(&partition.index);
            }
            Arrival::Batch(delivery) => {
                let tenure = tenures[&delivery.partition.index];
                let place = delivery.place.clone().unwrap();
                work.batches.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if store.put(delivery.partition, tenure, &place, &delivery.batch) {
                    delivery.ack();
                }
            }
        }
    }
}

/// A process: a runtime of its own that can be killed.
pub struct Process {
    runtime: Option<tokio::runtime::Runtime>,
    pub bus: Arc<RedisBus>,
    pub work: Arc<Work>,
    done: Option<tokio::task::JoinHandle<()>>,
}

impl Process {
    /// Starts a worker of `baseline`.
    pub fn start(url: &str, config: &Config, worker: &str, store: &Arc<Store>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let bus = Arc::new(with(url, config.clone()));
        let done = Arc::new(Work::default());
        let consumer = {
            let _within = runtime.enter();
            bus.consumer("baseline", worker)
        };
        let task = runtime.spawn(work(consumer, store.clone(), done.clone()));
        Process {
            runtime: Some(runtime),
            bus,
            work: done,
            done: Some(task),
        }
    }

    /// Ends it as kill -9 would: nothing runs any more, nothing is given back.
    pub fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    /// Ends it as an operator would.
    pub async fn stop(mut self) {
        self.bus.close(Duration::from_secs(10)).await;
        self.done.take().unwrap().await.unwrap();
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
