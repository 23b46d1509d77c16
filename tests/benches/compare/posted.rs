//! Records that platforms post as JSON, one per request, beside a server that parses them and does nothing.

use super::bare::Kind;
use super::client::{Answer, Client};
use super::pinned::cpu_seconds;
use super::spans::{sink, system};
use super::table::{Row, Table};
use super::{Settings, smallest};
use bytes::Bytes;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const CONNECTIONS: usize = 4;
const AGENTS: u64 = 1_000;
const LOADED: Duration = Duration::from_secs(2);

pub async fn measure(settings: &Settings, rows: &mut Table) {
    let ours = system().await;
    let bare = sink(Kind::Json).await;
    let (mut costs, mut limits) = (Vec::new(), Vec::new());
    for round in 0..settings.rounds {
        eprintln!("posted records: round {} of {}", round + 1, settings.rounds);
        costs.push(cost(ours.rest, ours.id().expect("it runs")).await);
        limits.push(cost(bare.port, bare.id()).await);
    }
    rows.push(
        Row::new(
            "one record posted as JSON",
            "CPU s per million requests",
            smallest(&costs),
        )
        .beside("bare serde_json", smallest(&limits))
        .at_most_times(2.0, "bare serde_json"),
    );
}

async fn cost(port: u16, id: u32) -> f64 {
    let before = cpu_seconds(id);
    let (count, until) = (Arc::new(AtomicU64::new(0)), Instant::now() + LOADED);
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let count = count.clone();
        senders.spawn(async move {
            let mut client = Client::to_path(port, "/api/v1/vitals").await;
            while Instant::now() < until {
                let n = count.fetch_add(1, Ordering::Relaxed);
                let answer = client.post(body(n), "application/json").await;
                assert_eq!(answer, Answer::Taken { refused: 0 }, "a posted record is taken");
            }
        });
    }
    senders.join_all().await;
    (cpu_seconds(id) - before) / count.load(Ordering::Relaxed) as f64 * 1e6
}

fn body(n: u64) -> Bytes {
    let body = json!({
        "agent_id": format!("agent-{}", n % AGENTS),
        "agent_type": "assistant",
        "latency_ms": 812.5,
        "token_count": 1_020,
        "tool_calls": 3,
        "retries": 0,
        "success": true,
        "timestamp": super::now().as_secs_f64(),
    });
    Bytes::from(body.to_string())
}
