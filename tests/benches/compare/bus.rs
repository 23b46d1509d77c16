//! The bus over Redis beside `redis-benchmark`, both with an append-only file that is synchronised every second.

use super::pinned::{cpu_seconds_of, started_on_server_core};
use super::table::{Row, Table};
use super::{Settings, smallest};
use immune_bus::conformance::vitals;
use immune_bus::{Batch, Record};
use immune_bus_redis::{Config, Metrics, RedisBus};
use immune_test_servers::Redis;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Executions of a request of 512 spans (with no context, so a little small), and requests of a round, several of them under way.
const EXECUTIONS: usize = 128;
const REQUESTS: usize = 400;
const UNDER_WAY: usize = 8;

/// Of one entry of redis-benchmark, bytes, and how many it writes.
const ENTRY: usize = 16_384;
const ENTRIES: usize = 6_000;

pub async fn measure(settings: &Settings, rows: &mut Table) {
    let options = ["--appendonly", "yes", "--appendfsync", "everysec"];
    let redis = started_on_server_core(Redis::start_with(&options)).await;
    let address = redis.url().parse().expect("a URL of Redis");
    let bus = RedisBus::connect(address, Config::default(), Metrics::default());
    let publisher = bus.publisher();
    let batches: Vec<Batch> = (0..REQUESTS)
        .map(|n| {
            let first = n * EXECUTIONS;
            let records = (first..first + EXECUTIONS).map(|execution| {
                Record::Vitals(vitals(&format!("agent-{}", execution % 10_000), execution as i64))
            });
            records.collect()
        })
        .collect();
    let (mut costs, mut rates, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..settings.rounds {
        eprintln!("bus: round {} of {}", round + 1, settings.rounds);
        let (before, started) = (cpu_seconds_of("redis-server"), Instant::now());
        for together in batches.chunks(UNDER_WAY) {
            let calls = together.iter().map(|batch| publisher.publish(batch.clone()));
            for published in futures::future::join_all(calls).await {
                published.expect("Redis takes what is published");
            }
        }
        let executions = (EXECUTIONS * REQUESTS) as f64;
        costs.push((cpu_seconds_of("redis-server") - before) / executions * 1e6);
        rates.push(executions / started.elapsed().as_secs_f64());
        bare.push(benchmark(redis.port()));
    }
    let best = |figures: &[f64]| figures.iter().copied().fold(0.0, f64::max);
    rows.push(
        Row::new(
            "bus, processor time of Redis",
            "us per execution",
            smallest(&costs),
        )
        .beside("executions/s published", best(&rates))
        .beside("redis-benchmark XADD of 16 kB, MB/s", best(&bare))
        .at_most("one", 1.0),
    );
    bus.close(Duration::from_secs(5)).await;
}

/// Megabytes per second.
fn benchmark(port: u16) -> f64 {
    let mut child = Command::new("redis-benchmark")
        .args([
            "-p",
            &port.to_string(),
            "-n",
            &ENTRIES.to_string(),
            "-c",
            "8",
            "--csv",
            "-x",
        ])
        .args(["XADD", "bench", "MAXLEN", "~", "2000", "*", "d"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-benchmark is there");
    let mut input = child.stdin.take().expect("its input is ours");
    std::io::Write::write_all(&mut input, &[b'x'; ENTRY]).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    // "test","rps",... then one line of figures, all quoted.
    let rps = text
        .lines()
        .last()
        .and_then(|line| line.rsplit("\",\"").nth(6)?.trim_matches('"').parse::<f64>().ok());
    rps.unwrap_or_else(|| panic!("redis-benchmark says its rate: {text}")) * ENTRY as f64 / 1e6
}
