//! What was acknowledged survives `kill -9`, whether it went to InfluxDB or to the spill. The test starts itself as a
//! child that appends and acknowledges on its standard error, while the server comes and goes, and kills it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_store::conformance::samples::{agent, at, vitals};
use immune_store_influx::{Config, InfluxStore, Metrics, Secret};
use immune_test_servers::Influx;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Names the server to the child; a run without it is the parent's.
const URL: &str = "IMMUNE_TEST_CRASH_URL";
const FOLDER: &str = "IMMUNE_TEST_CRASH_FOLDER";
const ROUND: &str = "IMMUNE_TEST_CRASH_ROUND";
const WRITERS: usize = 6;
const ROUNDS: usize = 6;

fn config(url: &str, folder: &Path) -> Config {
    Config {
        url: url.to_owned(),
        user: Some("immune".into()),
        password: Some(Secret::new("not-a-secret")),
        spill_dir: Some(folder.to_owned()),
        write_seconds: 2.0,
        backoff_seconds: 0.01,
        backoff_seconds_max: 0.1,
        ..Config::default()
    }
}

/// Not a test of its own: what the child runs. Does nothing unless the parent names a server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_appends_until_it_is_killed() {
    let Ok(url) = std::env::var(URL) else { return };
    let folder = std::env::var_os(FOLDER).unwrap();
    let round = std::env::var(ROUND).unwrap();
    let store = InfluxStore::open(config(&url, Path::new(&folder)), Metrics::default())
        .await
        .unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let (store, round) = (store.vitals(), round.clone());
        tokio::spawn(async move {
            for n in 0..100_000 {
                let id = format!("{round}-{writer}-{n}");
                let record = vitals(&agent(&format!("a{writer}")), &id, at(n));
                store.append(&[record]).await.unwrap();
                // One write per line: lines of several writers do not mix.
                let _ = std::io::stderr().write_all(format!("ACK {id}\n").as_bytes());
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

fn start_child(url: &str, folder: &Path, round: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_appends_until_it_is_killed",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(URL, url)
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Scenario: six times our process is killed at some moment; every second time the server is away for the second half
/// of the round, and comes back after the kill.
/// Guarantees: every acknowledged record is in InfluxDB in the end, and there is at most one more per writer and round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_kill_9() {
    let server = Influx::start().await;
    server.create_database("immune").await;
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let mut child = start_child(&server.url(), folder.path(), round);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (enough, half) = (300 + 97 * round, 150);
        let mut seen = 0;
        while let Ok(Ok(Some(line))) = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await
        {
            let Some(id) = line.strip_prefix("ACK ") else {
                continue;
            };
            acknowledged.push(id.to_owned());
            seen += 1;
            if seen == half && round % 2 == 1 {
                server.stop().await;
            }
            if seen == enough {
                child.start_kill().unwrap();
            }
        }
        child.wait().await.unwrap();
        assert!(seen >= enough, "round {round}: only {seen} were acknowledged");
        if round % 2 == 1 {
            server.start_again().await;
        }
    }
    let metrics = Metrics::default();
    let store = InfluxStore::open(config(&server.url(), folder.path()), metrics.clone())
        .await
        .unwrap();
    world::until("the spill is empty", || async { metrics.spill_bytes.get() == 0 }).await;
    let mut stored = std::collections::HashSet::new();
    for writer in 0..WRITERS {
        let found = store
            .vitals()
            .recent(&agent(&format!("a{writer}")), at(0), 10_000)
            .await
            .unwrap();
        stored.extend(found.into_iter().map(|record| record.execution.to_string()));
    }
    let lost: Vec<&String> = acknowledged.iter().filter(|id| !stored.contains(*id)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    assert!(stored.len() <= acknowledged.len() + WRITERS * ROUNDS);
}
