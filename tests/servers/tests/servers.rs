//! The servers that other tests rely on.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking"
)]

use immune_test_servers::{Influx, Postgres, Redis};
use std::time::{Duration, Instant};

/// Scenario: each server is started, killed, started again and stopped.
/// Guarantees: what PostgreSQL has committed is there after the kill; nothing is left running or on disk.
#[tokio::test]
async fn servers_come_and_go() {
    let (postgres, redis, influx) = tokio::join!(Postgres::start(), Redis::start(), Influx::start());
    influx.create_database("tests").await;
    let url = postgres.database().await;
    assert!(url.ends_with("/test_0"), "{url}");
    postgres.sql("test_0", "CREATE TABLE t AS SELECT 1 AS n").await;
    tokio::join!(postgres.kill(), redis.kill(), influx.kill());
    tokio::join!(postgres.start_again(), redis.start_again(), influx.start_again());
    assert_eq!(postgres.sql("test_0", "SELECT n FROM t").await, "1");
    tokio::join!(postgres.stop(), redis.stop(), influx.stop());
    let folders = [postgres.folder(), redis.folder(), influx.folder()].map(std::path::Path::to_owned);
    drop((postgres, redis, influx));
    let deadline = Instant::now() + Duration::from_secs(30);
    while folders.iter().any(|folder| folder.exists()) {
        assert!(Instant::now() < deadline, "{folders:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
