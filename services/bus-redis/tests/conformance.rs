//! The conformance suite against a real server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_bus::conformance::Bus;
use immune_bus_redis::Config;
use immune_test_servers::Redis;

async fn bus(names: &[&str], capacity: usize) -> Bus {
    let redis = Redis::shared().await;
    let config = Config {
        prefix: world::prefix("conformance"),
        queue_entries_max: capacity,
        ..Config::default()
    };
    let bus = world::with(&redis.url(), config);
    Bus {
        publisher: bus.publisher(),
        consumers: names.iter().map(|name| bus.consumer(name, "worker")).collect(),
        keeps: Box::new(bus),
    }
}

immune_bus::conformance!(bus);
