//! Reading what is being written.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_domain::Timestamp;
use immune_store::conformance::samples::{agent, at, vitals};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use world::World;

const AGENTS: usize = 200;
const ROUNDS: u32 = 60;

/// Scenario: agents are listed and read while a batch with a new execution of each is written, again and again.
/// Guarantees: no read fails, although InfluxDB shows points of which only some columns are written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_half_written_are_no_damage() {
    let world = World::new().await;
    let store = world.store().vitals();
    let is_done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (store, is_done) = (store.clone(), is_done.clone());
        tokio::spawn(async move {
            for n in 0..ROUNDS {
                let batch: Vec<_> = (0..AGENTS)
                    .map(|a| vitals(&agent(&format!("a{a}")), &format!("e{a}-{n}"), at(i64::from(n))))
                    .collect();
                store.append(&batch).await.unwrap();
            }
            is_done.store(true, Ordering::Release);
        })
    };
    let mut reads = 0;
    while !is_done.load(Ordering::Acquire) {
        let page = store.agents(&agent("a").run, None, 1_000).await.unwrap();
        for summary in page.iter().take(20) {
            store.recent(&summary.key, Timestamp::EPOCH, 30).await.unwrap();
        }
        reads += 1;
    }
    writer.await.unwrap();
    assert!(reads > 0);
}
