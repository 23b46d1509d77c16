//! Replicas that come, go and die under load: partitions are shared, nothing is lost or doubled.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_bus_redis::Config;
use immune_test_servers::Redis;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::time::{Duration, Instant};
use world::{Load, Process, Store, prefix, until};

fn config(test: &str) -> Config {
    Config {
        prefix: prefix(test),
        ..Config::default()
    }
}

/// Scenario: under load a second replica joins, then leaves as an operator would end it.
/// Guarantees: they share evenly; what the second gives back is taken over in less than a lease; every execution
/// takes effect once, and each agent's in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_and_hand_over() {
    let url = Redis::shared().await.url();
    let config = config("share");
    let store = Arc::new(Store::default());
    let load = Load::start(&url, &config, 40);
    let first = Process::start(&url, &config, "first", &store);
    until("one replica to hold all", || first.work.held() == 64).await;
    let second = Process::start(&url, &config, "second", &store);
    until("two replicas to share", || {
        first.work.held() == 32 && second.work.held() == 32
    })
    .await;
    let before = second.work.batches.load(std::sync::atomic::Ordering::Relaxed);
    until("the second to work", || {
        second.work.batches.load(std::sync::atomic::Ordering::Relaxed) > before + 100
    })
    .await;
    second.stop().await;
    let stopped = Instant::now();
    until("the first to hold all again", || first.work.held() == 64).await;
    assert!(
        stopped.elapsed() < Duration::from_secs(3),
        "{:?}",
        stopped.elapsed()
    );
    load.finish(&store).await;
    first.stop().await;
}

/// Scenario: one of two replicas is killed under load.
/// Guarantees: the other holds all once the leases are over, not later than two seconds after; every execution takes
/// effect once, and each agent's in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_replica_is_taken_over() {
    let url = Redis::shared().await.url();
    let config = config("killed");
    let store = Arc::new(Store::default());
    let load = Load::start(&url, &config, 40);
    let stays = Process::start(&url, &config, "stays", &store);
    let dies = Process::start(&url, &config, "dies", &store);
    until("two replicas to share", || {
        stays.work.held() == 32 && dies.work.held() == 32
    })
    .await;
    dies.kill();
    let killed = Instant::now();
    until("the other to hold all", || stays.work.held() == 64).await;
    let took = killed.elapsed();
    assert!(
        took > Duration::from_secs(2),
        "taken over after {took:?}, while the lease was valid"
    );
    assert!(took < Duration::from_secs(6), "taken over after {took:?}");
    load.finish(&store).await;
    stays.stop().await;
}

/// Scenario: two replicas by the same name, as of a pod that is started again before the old one has ended.
/// Guarantees: they are told apart and share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namesakes_are_told_apart() {
    let url = Redis::shared().await.url();
    let config = config("namesakes");
    let store = Arc::new(Store::default());
    let one = Process::start(&url, &config, "pod-0", &store);
    let other = Process::start(&url, &config, "pod-0", &store);
    until("both to share", || {
        one.work.held() == 32 && other.work.held() == 32
    })
    .await;
    one.stop().await;
    other.stop().await;
}

/// Scenario: for a while, replicas join, leave and are killed at random under load, one to four at a time.
/// Guarantees: every execution takes effect once, and each agent's in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_leaves_and_deaths_under_load() {
    let seed = std::env::var("IMMUNE_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    println!("IMMUNE_TEST_SEED={seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let url = Redis::shared().await.url();
    let config = Config {
        lease_ms: 1_000,
        partitions: 16,
        ..config("random")
    };
    let store = Arc::new(Store::default());
    let load = Load::start(&url, &config, 30);
    let mut processes = vec![Process::start(&url, &config, "w0", &store)];
    for step in 1..=25 {
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..600))).await;
        let at = chance.random_range(0..processes.len());
        match chance.random_range(0..3) {
            0 if processes.len() > 1 => processes.swap_remove(at).kill(),
            1 if processes.len() > 1 => processes.swap_remove(at).stop().await,
            _ if processes.len() < 4 => {
                processes.push(Process::start(&url, &config, &format!("w{step}"), &store));
            }
            _ => processes.swap_remove(at).kill(),
        }
    }
    load.finish(&store).await;
    let share = 16 / processes.len();
    until("the survivors to share", || {
        processes
            .iter()
            .all(|process| (share..=share + 1).contains(&process.work.held()))
            && processes.iter().map(|process| process.work.held()).sum::<usize>() == 16
    })
    .await;
    for process in processes {
        process.stop().await;
    }
}
