//! What the page asks first: the agents, when there are ten thousand.

use super::Settings;
use super::client::Wire;
use super::load;
use super::requests::Requests;
use super::spans::system;
use super::table::{Row, Table};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const AGENTS: usize = 10_000;
const QUESTIONS: usize = 200;

pub async fn measure(_: &Settings, rows: &mut Table) {
    let ours = system().await;
    let requests = Arc::new(Mutex::new(Requests::new(AGENTS)));
    eprintln!("the fleet: {AGENTS} agents");
    let api = ours.api();
    immune_tests::wait_for("the agents are known", Duration::from_secs(60), || async {
        load::closed(Wire::Grpc, ours.otlp_grpc, &requests, Duration::from_secs(1)).await;
        let page = api.get("/api/agents?limit=10000").await?;
        // A few of them have their place at the end of a request, where others stand.
        (page.as_array()?.len() >= AGENTS * 99 / 100).then_some(())
    })
    .await;
    // The load has ended; what it left to do is done.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let address = format!("http://127.0.0.1:{}/api/agents", ours.rest);
    let (mut took, mut bytes) = (Vec::new(), 0);
    for _ in 0..QUESTIONS {
        let started = Instant::now();
        let answer = reqwest::get(&address).await.expect("the page is served");
        bytes = answer.bytes().await.expect("the page is whole").len();
        took.push(started.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize];
    rows.push(
        Row::new(
            "/api/agents of 10,000 agents, a page of 1,000, p99",
            "ms",
            at(0.99),
        )
        .beside("p50", at(0.5))
        .at_most("the target", 50.0),
    );
    rows.push(Row::new("the same, its size", "kB", bytes as f64 / 1e3).at_most("the target", 1_000.0));
}
